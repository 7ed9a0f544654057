/** Act on videos: make the call, put the answer into the store, and say why the farm refused. */
import { call, Problem } from '../api/client'
import { title, type Video } from '../api/objects'
import { say } from '../parts/toast'
import { words } from '../words'
import { learn, take, world } from './store'
import { type Place, placed } from './turns'

export type Wish = 'pause' | 'resume' | 'cancel' | 'retry'

const AT_ONCE = 6

/** Send a wish for each video; says how many were refused, and offers to undo a cancel. */
export async function wish(videos: readonly Video[], what: Wish): Promise<void> {
  const done = await each(videos, (video) => learn(call<Video>(`/v1/videos/${video.id}/${what}`, { method: 'POST', insist: false })))
  if (what === 'cancel' && done.length) {
    const name = done.length === 1 ? title(done[0]!) : null
    say(words.done.cancelled(done.length, name), { undo: () => void wish(done, 'retry') })
  }
}

/** Move videos in the queue, in this order; they stand there at once, and go back where the farm refuses. */
export async function move(videos: readonly Video[], place: Place): Promise<void> {
  const before = world.value.queue
  const after = placed(before, videos.map(({ id }) => id), place)
  line(after)
  let next = place
  try {
    for (const { id } of videos) {
      await learn(call<Video>(`/v1/videos/${id}/move`, { method: 'POST', body: next }))
      next = { after: id }
    }
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (world.value.queue === after) line(before)
    say(words.done.notMoved(error.message), { isBad: true })
  }
}

/** Show the queue in another order of the same videos, each place with its number, until the farm tells its own. */
function line(ids: readonly string[]): void {
  const { queue, videos } = world.value
  take({ kind: 'queue', data: { ids, positions: queue.map((id) => videos.get(id)?.queue_position ?? 0) } })
}

/** Erase ended videos; returns the ids of those that are gone. */
export async function erase(videos: readonly Video[]): Promise<string[]> {
  const done = await each(videos, (video) => call<{ id: string }>(`/v1/videos/${video.id}`, { method: 'DELETE' }))
  for (const { id } of done) take({ kind: 'gone', data: { id, object: 'video' } })
  if (done.length) say(words.done.deleted(done.length))
  return done.map(({ id }) => id)
}

/** Change a video's prompt, name, priority or labels. Throws the Problem, which names the fields. */
export const change = (video: Video, fields: object): Promise<Video> => learn(call<Video>(`/v1/videos/${video.id}`, { method: 'PATCH', body: fields }))

/** Run `act` for each item, a few at once; returns what succeeded and says what did not. */
export async function each<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const left = [...items]
  const done: R[] = []
  const refused: Problem[] = []
  const worker = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) {
      try {
        done.push(await act(item))
      } catch (error) {
        if (!(error instanceof Problem)) throw error
        refused.push(error)
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  if (refused.length) say(words.done.refused(refused.length, refused[0]!.message), { isBad: true })
  return done
}
