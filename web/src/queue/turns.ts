/** Where videos go in the queue. Pure. */
import type { Entry } from './entries'

export type Place = { before: string } | { after: string } | { to: 'first' | 'last' }

/** The queue's ids with those of `moved` at their new place; the queue itself where that place is not in it. */
export function placed(queue: readonly string[], moved: readonly string[], place: Place): readonly string[] {
  const rest = queue.filter((id) => !moved.includes(id))
  const beside = 'before' in place ? place.before : 'after' in place ? place.after : null
  if (beside !== null && !rest.includes(beside)) return queue
  const at = 'to' in place ? (place.to === 'first' ? 0 : rest.length) : 'before' in place ? rest.indexOf(place.before) : rest.indexOf(place.after) + 1
  return [...rest.slice(0, at), ...moved, ...rest.slice(at)]
}

/** The rows with the one at `from` at the place `to`. */
export function shifted<T>(rows: readonly T[], from: number, to: number): readonly T[] {
  const rest = rows.filter((_, at) => at !== from)
  return [...rest.slice(0, to), rows[from]!, ...rest.slice(to)]
}

/** Where the row at `from` goes in the queue, dropped at `to`; null: nowhere else. A filter may hide what lies between. */
export function placeOf(rows: readonly Entry[], from: number, to: number): Place | null {
  const [row, other] = [rows[from], rows[to]]
  if (!row || !other || from === to) return null
  const id = to < from ? other.videos[0].id : other.videos.at(-1)!.id
  if (row.videos.some((video) => video.id === id)) return null // a batch among its own videos
  return to < from ? { before: id } : { after: id }
}
