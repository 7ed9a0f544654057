/** Queue: every video that has not ended. */
import { isOpen, title, type Video } from '../api/objects'
import { paused, queued, running } from '../live/store'
import { words } from '../words'

export default function QueueView() {
  return (
    <section class="column">
      <h1>{words.nav.queue}</h1>
      {[...running.value, ...queued.value, ...paused.value].filter(isOpen).map((video) => (
        <Row key={video.id} video={video} />
      ))}
    </section>
  )
}

const Row = ({ video }: { video: Video }) => (
  <p>
    {title(video)} {words.status[video.status]} <progress aria-label={title(video)} max={100} value={video.progress} />
  </p>
)
