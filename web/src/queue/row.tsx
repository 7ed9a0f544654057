/** A row of the queue: one video, or the waiting videos of a batch. */
import { signal } from '@preact/signals'
import { title, lengthS } from '../api/objects'
import { wish } from '../live/actions'
import { IconButton } from '../parts/button'
import { length } from '../parts/format'
import { Icon } from '../parts/icon'
import { Poster } from '../parts/poster'
import { TitleLink, waitWords } from '../parts/progress'
import { words } from '../words'
import { edit, EditForm, editing } from './edit'
import { Handle, lifted } from './drag'
import type { Entry } from './entries'
import { useSwipe } from './swipe'
import { pick, picked } from '../parts/selection'

export const openBatches = signal<ReadonlySet<string>>(new Set())

/** place: its number in the queue, where it can also be moved. */
export function Row({ entry, place }: { entry: Entry; place?: number }) {
  const [video] = entry.videos
  const ids = entry.videos.map(({ id }) => id)
  const isBatch = entry.videos.length > 1
  const isEdited = !isBatch && editing.value?.video.id === video.id
  const isPaused = video.status === 'paused'
  const rest = isPaused ? 'resume' : 'pause'
  const swipe = useSwipe({ name: words.act[rest], act: () => void wish(entry.videos, rest) }, { name: words.act.cancel, act: () => void wish(entry.videos, 'cancel') })
  return (
    <div class={`queue-row ${entry.isInside ? 'inside' : ''} ${lifted.value?.key === entry.key ? 'lifted' : ''}`} {...swipe}>
      {!picked.value && video.status === 'queued' && <Handle entry={entry} />}
      {picked.value ? (
        <input
          type="checkbox"
          aria-label={words.queue.pick(title(video))}
          checked={ids.every((id) => picked.value?.has(id))}
          onChange={(event) => pick(ids, event.currentTarget.checked)}
        />
      ) : (
        <span class="place number soft" aria-label={place === undefined ? undefined : words.queue.place(place)}>
          {place ?? ''}
        </span>
      )}
      <Poster video={video} />
      <div class="what">
        <div class="row">
          <TitleLink video={video} />
          {isBatch && <span class="times number">{words.queue.times(entry.videos.length)}</span>}
        </div>
        <p class="small soft number">
          {length(lengthS(video))} · {isBatch ? words.queue.seeds(entry.videos.length) : words.queue.seed(video.seed)} ·{' '}
          {isPaused ? words.queue.kept(video.sections_done, video.sections_total) : waitWords(video)}
        </p>
      </div>
      <div class="acts">
        {isBatch && <BatchToggle id={entry.key} count={entry.videos.length} />}
        <IconButton icon={isPaused ? 'play' : 'pause'} name={words.act[rest]} onClick={() => wish(entry.videos, rest)} />
        {!isBatch && <IconButton icon="edit" name={words.act.edit} isPressed={isEdited} onClick={() => edit(video)} />}
        <IconButton icon="x" name={words.act.cancel} onClick={() => wish(entry.videos, 'cancel')} />
      </div>
      {isEdited && <EditForm video={video} />}
    </div>
  )
}

function BatchToggle({ id, count }: { id: string; count: number }) {
  const isOpen = openBatches.value.has(id)
  const toggle = (): void => {
    const now = new Set(openBatches.value)
    isOpen ? now.delete(id) : now.add(id)
    openBatches.value = now
  }
  return (
    <button type="button" class="quiet square" aria-expanded={isOpen} aria-label={isOpen ? words.queue.closeBatch : words.queue.openBatch(count)} onClick={toggle}>
      <Icon name={isOpen ? 'down' : 'right'} />
    </button>
  )
}
