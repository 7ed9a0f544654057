/** Where a row goes in the queue. Pure. */
import type { Place } from '../live/turns'
import type { Entry } from './entries'

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
