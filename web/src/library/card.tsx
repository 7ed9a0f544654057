/** A video on the wall: plays under the pointer; a failed one says why and what to do. */
import { signal } from '@preact/signals'
import { contentUrl, title, type Video, lengthS } from '../api/objects'
import { wish } from '../live/actions'
import { length, when } from '../parts/format'
import { Icon } from '../parts/icon'
import { Poster } from '../parts/poster'
import { TitleLink } from '../parts/progress'
import { Smaller } from '../parts/smaller'
import { Star } from '../parts/star'
import { words } from '../words'
import { pick, picked } from '../parts/selection'

/** The one that plays. */
const playing = signal<string | null>(null)

export function Card({ video }: { video: Video }) {
  const isReady = video.status === 'completed'
  const leave = (event: PointerEvent): void => {
    if (event.pointerType === 'mouse' && playing.value === video.id) playing.value = null
  }
  return (
    <article class="clip" aria-label={title(video)} onPointerEnter={() => isReady && (playing.value = video.id)} onPointerLeave={leave}>
      <div class="picture">
        <a href={`/ui/videos/${video.id}`} tabIndex={-1} aria-hidden="true">
          <Poster video={video} />
          {playing.value === video.id && <video src={contentUrl(video, 'video')} autoplay muted loop playsInline />}
        </a>
        <span class="badge number">{length(lengthS(video))}</span>
        {picked.value ? (
          <input
            type="checkbox"
            class="pick"
            aria-label={words.queue.pick(title(video))}
            checked={picked.value.has(video.id)}
            onChange={(event) => pick([video.id], event.currentTarget.checked)}
          />
        ) : (
          <Star video={video} />
        )}
      </div>
      <TitleLink video={video} />
      <p class="small soft number">
        {video.model} · {when(video.completed_at ?? video.created_at)}
      </p>
      {!isReady && <Ended video={video} />}
    </article>
  )
}

/** Why there is no video, and what to do. */
const Ended = ({ video }: { video: Video }) => (
  <div class="ended small">
    <p class={video.error ? 'bad' : 'soft'}>{video.error ? words.failed.at(video.sections_done + 1, video.error.message) : words.failed.cancelled(video.sections_done, video.sections_total)}</p>
    {video.error && <p>{words.failed.advice(video.error.code)}</p>}
    <div class="row">
      <button type="button" onClick={() => wish([video], 'retry')}>
        <Icon name="retry" />
        {words.act.retry}
      </button>
      <Smaller video={video} />
    </div>
  </div>
)
