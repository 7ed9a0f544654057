/** Rows that wait change their places: under a pointer, or by keys. Until it is dropped, a row only looks moved. */
import { signal } from '@preact/signals'
import type { TargetedKeyboardEvent, TargetedMouseEvent, TargetedPointerEvent } from 'preact'
import { title } from '../api/objects'
import { move } from '../live/actions'
import { Icon } from '../parts/icon'
import { words } from '../words'
import type { Entry } from './entries'
import { placeOf } from './turns'

/** The row that is lifted, and its place among the rows. */
export const lifted = signal<{ key: string; to: number } | null>(null)

/** The words of a screen reader about it. */
export const told = signal('')

const EDGE_PX = 72
const HEADER_PX = 56
const MOST_PX = 24 // of scrolling a frame
const STEPS: Readonly<Record<string, number>> = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity }

let rows: readonly Entry[] = []

/** Tell which rows there are now. */
export const sort = (now: readonly Entry[]): void => void (rows = now)

const indexOf = (key: string): number => rows.findIndex((row) => row.key === key)
const nameOf = (row: Entry): string => title(row.videos[0])

function lift(key: string): void {
  const at = indexOf(key)
  if (at < 0) return
  lifted.value = { key, to: at }
  told.value = words.queue.lifted(nameOf(rows[at]!), at + 1, rows.length)
}

function shift(to: number): void {
  const now = lifted.value
  const place = Math.max(0, Math.min(rows.length - 1, to))
  if (!now || place === now.to) return
  lifted.value = { ...now, to: place }
  told.value = words.queue.shifted(place + 1, rows.length)
}

export function putBack(): void {
  const row = rows[indexOf(lifted.value?.key ?? '')]
  lifted.value = null
  if (row) told.value = words.queue.putBack(nameOf(row))
}

function drop(): void {
  const now = lifted.value
  const from = indexOf(now?.key ?? '')
  const place = now && placeOf(rows, from, now.to)
  lifted.value = null
  if (!now || from < 0) return
  told.value = words.queue.dropped(nameOf(rows[from]!), now.to + 1)
  if (place) void move(rows[from]!.videos, place)
}

/** The handle by which a row is dragged. `entry`: the row. */
export function Handle({ entry: { key, videos } }: { entry: Entry }) {
  const isLifted = lifted.value?.key === key
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLButtonElement>): void => {
    const step = STEPS[event.key]
    if (isLifted && step !== undefined) shift((lifted.value?.to ?? 0) + step)
    else if (isLifted && event.key === 'Escape') putBack()
    else return
    event.preventDefault()
    event.stopPropagation()
    stayAt(event.currentTarget)
  }
  /** Space, Enter and screen readers click without a pointer. */
  const onClick = (event: TargetedMouseEvent<HTMLButtonElement>): void => {
    if (event.detail > 0) return // drag() has followed the pointer
    isLifted ? drop() : lift(key)
    stayAt(event.currentTarget)
  }
  return (
    <button
      type="button"
      class="quiet square handle"
      aria-label={words.queue.move(title(videos[0]))}
      title={words.queue.moveHint}
      aria-pressed={isLifted}
      onKeyDown={onKeyDown}
      onClick={onClick}
      onBlur={(event) => isLifted && event.relatedTarget && putBack()}
      onPointerDown={(event) => event.button === 0 && drag(event, key)}
    >
      <Icon name="grip" />
    </button>
  )
}

/** Keep the focus on a handle, and its row in sight: the row may change its place in the document. */
function stayAt(handle: HTMLElement): void {
  requestAnimationFrame(() => {
    handle.focus()
    handle.closest('li')?.scrollIntoView({ block: 'nearest' })
  })
}

/** Follow the pointer until it lets go. It is listened to at the window, because rows come and go under it. */
function drag(event: TargetedPointerEvent<HTMLButtonElement>, key: string): void {
  const list = event.currentTarget.closest('ul')
  if (!list) return
  event.preventDefault()
  event.currentTarget.focus({ preventScroll: true })
  lift(key)
  let [y, frame] = [event.clientY, 0]
  const over = new AbortController()
  const on = <K extends keyof WindowEventMap>(name: K, act: (event: WindowEventMap[K]) => void): void => window.addEventListener(name, act, { signal: over.signal, capture: true })
  const end = (act: () => void): void => {
    over.abort()
    cancelAnimationFrame(frame)
    act()
  }
  const scroll = (): void => {
    if (lifted.value?.key !== key) return end(() => undefined) // the row, or the whole view, has gone
    const [above, below] = [HEADER_PX + EDGE_PX - y, y - (window.innerHeight - EDGE_PX)]
    const by = above > 0 ? -above : Math.max(0, below)
    if (by) window.scrollBy(0, Math.max(-MOST_PX, Math.min(MOST_PX, by / 3)))
    if (by) seek(list, y)
    frame = requestAnimationFrame(scroll)
  }
  on('pointermove', (moved) => seek(list, (y = moved.clientY)))
  on('pointerup', () => end(drop))
  on('pointercancel', () => end(putBack))
  on('keydown', (typed) => typed.key === 'Escape' && end(putBack))
  frame = requestAnimationFrame(scroll)
}

/** Give the lifted row the place of the row at this height, once its middle is passed. */
function seek(list: HTMLElement, y: number): void {
  const to = lifted.value?.to
  if (to === undefined) return
  const box = list.getBoundingClientRect()
  if (y < box.top) return shift(0)
  if (y > box.bottom) return shift(rows.length - 1)
  for (const row of list.children) {
    const [{ top, bottom }, at] = [row.getBoundingClientRect(), Number((row as HTMLElement).dataset.index)]
    const middle = (top + bottom) / 2
    if (y >= top && y <= bottom && (at < to ? y < middle : at > to && y > middle)) return shift(at)
  }
}
