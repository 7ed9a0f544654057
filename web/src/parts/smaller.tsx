/** After a failure for lack of memory: the form with everything of the video, in a smaller size. */
import { useLocation } from 'preact-iso'
import type { Video } from '../api/objects'
import { fillSmaller } from '../video/to-form'
import { words } from '../words'
import { say } from './toast'

export function Smaller({ video }: { video: Video }) {
  const { route } = useLocation()
  if (video.error?.code !== 'out_of_memory') return null
  const fill = async (): Promise<void> => {
    try {
      await fillSmaller(video)
      route('/ui/')
    } catch (error) {
      say((error as Error).message, { isBad: true })
    }
  }
  return (
    <button type="button" onClick={() => void fill()}>
      {words.failed.smaller}
    </button>
  )
}
