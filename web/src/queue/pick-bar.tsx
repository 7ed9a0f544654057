/** Select several videos, and act on all of them. */
import { isOpen, type Video } from '../api/objects'
import { change, each, wish, type Wish } from '../live/actions'
import { world } from '../live/store'
import { words } from '../words'
import { pick, picked } from '../parts/selection'

export const PickButton = () => (
  <button type="button" aria-pressed={picked.value !== null} onClick={() => (picked.value = picked.value ? null : new Set())}>
    {picked.value ? words.act.done : words.act.select}
  </button>
)

/** videos: those that can be selected now. */
export function PickBar({ videos }: { videos: readonly Video[] }) {
  const ids = picked.value ?? new Set<string>()
  const chosen = [...ids].map((id) => world.value.videos.get(id)).filter((video): video is Video => video !== undefined && isOpen(video))
  const act = (what: Wish): void => {
    void wish(chosen.filter((video) => (what === 'resume') === (video.status === 'paused') || what === 'cancel'), what)
    if (what === 'cancel') picked.value = new Set()
  }
  const isAll = videos.length > 0 && videos.every((video) => ids.has(video.id))
  return (
    <div class="pick-bar card row" role="group" aria-label={words.queue.picked(chosen.length)}>
      <label class="row">
        <input type="checkbox" checked={isAll} onChange={(event) => pick(videos.map(({ id }) => id), event.currentTarget.checked)} />
        {words.queue.pickAll(videos.length)}
      </label>
      <strong class="number" role="status">
        {words.queue.picked(chosen.length)}
      </strong>
      <div class="row end">
        <label class="row">
          {words.queue.priority}
          <select class="short" value="" disabled={!chosen.length} onChange={(event) => prioritize(chosen, Number(event.currentTarget.value))}>
            <option value="" disabled hidden />
            {Array.from({ length: 21 }, (_, at) => 10 - at).map((level) => (
              <option key={level}>{level}</option>
            ))}
          </select>
        </label>
        <button type="button" disabled={!chosen.some((video) => video.status === 'paused')} onClick={() => act('resume')}>
          {words.act.resume}
        </button>
        <button type="button" disabled={!chosen.some((video) => video.status !== 'paused')} onClick={() => act('pause')}>
          {words.act.pause}
        </button>
        <button type="button" class="danger" disabled={!chosen.length} onClick={() => act('cancel')}>
          {words.act.cancel}
        </button>
      </div>
    </div>
  )
}

const prioritize = (videos: readonly Video[], priority: number): Promise<unknown> => each(videos, (video) => change(video, { priority }))
