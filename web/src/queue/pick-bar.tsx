/** Select several videos, and act on all of them. */
import { isOpen, type Video } from '../api/objects'
import { change, each, move, wish, type Wish } from '../live/actions'
import { queued, world } from '../live/store'
import { words } from '../words'
import { PickBar } from '../parts/pick-bar'
import { picked } from '../parts/selection'

/** videos: those that can be selected now. */
export function QueueBar({ videos }: { videos: readonly Video[] }) {
  const ids = picked.value ?? new Set<string>()
  const chosen = [...ids].map((id) => world.value.videos.get(id)).filter((video): video is Video => video !== undefined && isOpen(video))
  const act = (what: Wish): void => {
    void wish(chosen.filter((video) => (what === 'resume') === (video.status === 'paused') || what === 'cancel'), what)
    if (what === 'cancel') picked.value = new Set()
  }
  const waits = queued.value.filter((video) => ids.has(video.id))
  return (
    <PickBar videos={videos} count={chosen.length}>
      {(['first', 'last'] as const).map((to) => (
        <button key={to} type="button" disabled={!waits.length} onClick={() => void move(waits, { to })}>
          {words.queue.ends[to]}
        </button>
      ))}
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
    </PickBar>
  )
}

const prioritize = (videos: readonly Video[], priority: number): Promise<unknown> => each(videos, (video) => change(video, { priority }))
