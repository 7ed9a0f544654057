/** Selecting in a list: the button that begins it, and the bar with all of them, how many, and what can be done to them. */
import type { ComponentChildren } from 'preact'
import type { Video } from '../api/objects'
import { words } from '../words'
import { pick, picked } from './selection'

export const PickButton = ({ class: more }: { class?: string }) => (
  <button type="button" class={more} aria-pressed={picked.value !== null} onClick={() => (picked.value = picked.value ? null : new Set())}>
    {picked.value ? words.act.done : words.act.select}
  </button>
)

/** videos: those that can be selected now. count: of the selected ones that are still here. */
export function PickBar({ videos, count, children }: { videos: readonly Video[]; count: number; children: ComponentChildren }) {
  const isAll = videos.length > 0 && videos.every((video) => picked.value?.has(video.id))
  return (
    <div class="pick-bar card row" role="group" aria-label={words.queue.picked(count)}>
      <label class="row">
        <input type="checkbox" checked={isAll} onChange={(event) => pick(videos.map(({ id }) => id), event.currentTarget.checked)} />
        {words.queue.pickAll(videos.length)}
      </label>
      <strong class="number" role="status">
        {words.queue.picked(count)}
      </strong>
      <div class="row end">{children}</div>
    </div>
  )
}
