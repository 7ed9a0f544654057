import { contentUrl, type Video } from '../api/objects'

/** A video's small picture, in a frame of the video's shape so that nothing jumps. */
export function Poster({ video, class: name = '' }: { video: Video; class?: string }) {
  const [width = 1, height = 1] = video.size.split('x').map(Number)
  const address = contentUrl(video, 'poster')
  return (
    <span class={`poster ${name}`}>
      {video.poster && <img key={address} src={address} alt="" width={width} height={height} loading="lazy" decoding="async" onError={(event) => (event.currentTarget.hidden = true)} />}
    </span>
  )
}
