/** A list, or a grid, of which only what is in view is in the document. It scrolls with the page. */
import { observeWindowOffset, observeWindowRect, Virtualizer, windowScroll } from '@tanstack/virtual-core'
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useReducer, useRef, useState } from 'preact/hooks'

interface Props<T> {
  items: readonly T[]
  keyOf: (item: T) => string
  /** A row's height in px before it was measured. */
  estimate: number
  gap?: number
  /** How many items stand beside each other in a row. */
  columns?: number
  label: string
  class?: string
  render: (item: T, index: number) => ComponentChildren
  /** Keeps this row in the document wherever the page scrolls: one that is edited. */
  keep?: number | null
  /** Keeps the rows in this order in the document while they only look moved: a row that moves there loses the focus. */
  still?: readonly T[]
}

export function VirtualList<T>({ items, keyOf, estimate, gap = 0, columns = 1, label, class: name = '', render, keep = null, still }: Props<T>) {
  const list = useRef<HTMLUListElement>(null)
  const [, redraw] = useReducer((n: number) => n + 1, 0)
  const [top, setTop] = useState(0)
  const [rows] = useState(() => new Virtualizer<Window, HTMLLIElement>(options()))
  rows.setOptions(options())
  useLayoutEffect(() => rows._didMount(), [])
  useLayoutEffect(() => rows._willUpdate())
  useLayoutEffect(() => {
    if (list.current) setTop(Math.round(list.current.getBoundingClientRect().top + window.scrollY))
  })

  function options() {
    return {
      count: Math.ceil(items.length / columns),
      estimateSize: () => estimate,
      getItemKey: (row: number) => (columns === 1 ? keyOf(items[row]!) : row),
      measureElement: rowHeight,
      getScrollElement: () => window,
      observeElementRect: observeWindowRect,
      observeElementOffset: observeWindowOffset,
      scrollToFn: windowScroll,
      initialRect: { width: window.innerWidth, height: window.innerHeight },
      initialOffset: () => window.scrollY,
      scrollMargin: top,
      overscan: columns === 1 ? 4 : 2,
      gap,
      onChange: () => redraw(0),
    }
  }

  const shown = rows.getVirtualItems()
  const indexes = shown.flatMap(({ index }) => Array.from({ length: columns }, (_, at) => index * columns + at)).filter((index) => index < items.length)
  if (keep !== null && keep < items.length && !indexes.includes(keep)) indexes.push(keep)
  if (still) {
    const order = new Map(still.map((item, index) => [keyOf(item), index]))
    indexes.sort((a, b) => (order.get(keyOf(items[a]!)) ?? 0) - (order.get(keyOf(items[b]!)) ?? 0))
  }
  return (
    <ul ref={list} class={`virtual ${name}`} aria-label={label} style={{ height: `${rows.getTotalSize()}px` }}>
      {indexes.map((index) => {
        const at = Math.floor(index / columns)
        const start = shown.find((row) => row.index === at)?.start ?? top + at * (estimate + gap)
        return (
          <li
            key={keyOf(items[index]!)}
            data-index={at}
            ref={(item) => rows.measureElement(item)}
            aria-setsize={items.length}
            aria-posinset={index + 1}
            style={{ transform: `translateY(${start - top}px)`, ...(columns > 1 && inColumn(index % columns, columns, gap)) }}
          >
            {render(items[index]!, index)}
          </li>
        )
      })}
    </ul>
  )
}

/** The height of a row: that of its highest item. */
function rowHeight(item: HTMLLIElement): number {
  const beside = item.parentElement?.querySelectorAll<HTMLElement>(`:scope > [data-index="${item.dataset['index']}"]`) ?? [item]
  return Math.max(...Array.from(beside, (one) => one.offsetHeight))
}

const inColumn = (column: number, columns: number, gap: number): { left: string; width: string } => ({
  left: `calc(${column} * (100% + ${gap}px) / ${columns})`,
  width: `calc((100% + ${gap}px) / ${columns} - ${gap}px)`,
})
