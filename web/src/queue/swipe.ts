/** A finger that pushes a row to the right pauses it, to the left cancels it; both can be undone. */
import type { TargetedPointerEvent } from 'preact'
import { useRef } from 'preact/hooks'
import { picked } from '../parts/selection'

const BEGIN_PX = 16
const ENOUGH_PX = 112

interface Way {
  name: string
  act: () => void
}

type Handler = (event: TargetedPointerEvent<HTMLElement>) => void

export function useSwipe(right: Way, left: Way): Record<'onPointerDown' | 'onPointerMove' | 'onPointerUp' | 'onPointerCancel', Handler> {
  const start = useRef<number | null>(null)
  const wayOf = (x: number): Way | null => (start.current === null || Math.abs(x - start.current) < ENOUGH_PX ? null : x > start.current ? right : left)
  const show = (row: HTMLElement, by: number, isEnough: boolean): void => {
    row.style.transform = by ? `translateX(${by}px)` : ''
    row.classList.toggle('swiped', by !== 0)
    const below = row.parentElement!
    if (by) below.dataset['swipe'] = by > 0 ? right.name : left.name
    else delete below.dataset['swipe']
    below.classList.toggle('enough', isEnough)
  }
  const end: Handler = (event) => {
    start.current = null
    show(event.currentTarget, 0, false)
  }
  return {
    onPointerDown: (event) => {
      const isRow = !(event.target as Element).closest('button, input, textarea, form')
      start.current = event.pointerType === 'touch' && isRow && !picked.value ? event.clientX : null
    },
    onPointerMove: (event) => {
      if (start.current === null) return
      const by = event.clientX - start.current
      show(event.currentTarget, Math.abs(by) < BEGIN_PX ? 0 : by, wayOf(event.clientX) !== null)
    },
    onPointerUp: (event) => {
      const way = wayOf(event.clientX)
      end(event)
      way?.act()
    },
    onPointerCancel: end, // the browser scrolls the page instead
  }
}
