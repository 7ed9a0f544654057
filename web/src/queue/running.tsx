/** A running video: large, with its bar and what can be done to it; opened, one watches it grow. */
import { signal } from '@preact/signals'
import { lazy } from 'preact-iso'
import { title, type Video, lengthS } from '../api/objects'
import { wish } from '../live/actions'
import { IconButton } from '../parts/button'
import { length } from '../parts/format'
import { Icon } from '../parts/icon'
import { Poster } from '../parts/poster'
import { Bar, stageWords, timeLeft, TitleLink } from '../parts/progress'
import { words } from '../words'

const Watch = lazy(() => import('../watch/watch').then((module) => module.Watch))

/** The videos that are watched in their cards, also when they run again after a pause. */
const watched = signal<ReadonlySet<string>>(new Set())

export function RunningCard({ video }: { video: Video }) {
  const isOpen = watched.value.has(video.id)
  const turn = (): void => void (watched.value = isOpen ? new Set([...watched.value].filter((id) => id !== video.id)) : new Set([...watched.value, video.id]))
  return (
    <div>
      {isOpen ? <Watch video={video} /> : <Card video={video} />}
      <button type="button" class="quiet" aria-expanded={isOpen} onClick={turn}>
        <Icon name={isOpen ? 'down' : 'right'} />
        {words.queue.watch}
      </button>
    </div>
  )
}

const Card = ({ video }: { video: Video }) => (
  <section class="card running" aria-label={title(video)}>
    <a href={`/ui/videos/${video.id}`} tabIndex={-1} aria-hidden="true">
      <Poster video={video} />
    </a>
    <div class="what">
      <TitleLink video={video} />
      <div class="bar-line">
        <Bar video={video} />
        <span class="number">{words.progress.percent(video.progress)}</span>
      </div>
      <p class="small soft number">{[stageWords(video), timeLeft(video), video.worker].filter(Boolean).join(' · ')}</p>
      <p class="small soft number">
        {length(lengthS(video))} · {video.size} · {words.queue.seed(video.seed)}
      </p>
    </div>
    <div class="acts">
      <IconButton icon="pause" name={words.act.pause} onClick={() => wish([video], 'pause')} />
      <IconButton icon="x" name={words.act.cancel} onClick={() => wish([video], 'cancel')} />
    </div>
  </section>
)
