/** A video on the wall: plays under the pointer; a failed one says why and what to do. */
import { signal } from '@preact/signals'
import { contentUrl, title, type Video, lengthS } from '../api/objects'
import { length, when } from '../parts/format'
import { Poster } from '../parts/poster'
import { TitleLink } from '../parts/progress'
import { Star } from '../parts/star'
import { Stopped } from '../parts/stopped'
import { words } from '../words'
import { pick, picked } from '../parts/selection'

/** The one that plays. It goes on where the wall moves under a pointer that rests. */
const playing = signal<string | null>(null)

/** Where the pointer moved to last. A browser tells it the same place again where something else comes under it. */
let last = { clientX: -1, clientY: -1 }
addEventListener('pointermove', (event) => (last = event))

const isResting = ({ pointerType, clientX, clientY }: PointerEvent): boolean => pointerType === 'mouse' && clientX === last.clientX && clientY === last.clientY

export function Card({ video }: { video: Video }) {
  const isReady = video.status === 'completed'
  const enter = (event: PointerEvent): void => {
    if (isReady && (playing.value === null || !isResting(event))) playing.value = video.id
  }
  const leave = (event: PointerEvent): void => {
    if (event.pointerType === 'mouse' && !isResting(event)) playing.value = null
  }
  return (
    <article class="clip" aria-label={title(video)} onPointerEnter={enter} onPointerMove={enter} onPointerLeave={leave}>
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
      {!isReady && (
        <div class="ended small">
          <Stopped video={video} class={video.error ? '' : 'soft'} />
        </div>
      )}
    </article>
  )
}
