import { useRoute } from 'preact-iso'
import { contentUrl } from '../api/objects'
export default function VideoView() {
  const id = useRoute().params['id']!
  return <video controls src={contentUrl({ id }, 'video')} />
}
