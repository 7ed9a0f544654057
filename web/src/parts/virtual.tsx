/** A list of which only what is in view is in the document. It scrolls with the page. */
import { observeWindowOffset, observeWindowRect, Virtualizer, windowScroll } from '@tanstack/virtual-core'
import type { ComponentChildren } from 'preact'
import { useLayoutEffect, useReducer, useRef, useState } from 'preact/hooks'

interface Props<T> {
  items: readonly T[]
  keyOf: (item: T) => string
  /** A row's height in px before it was measured. */
  estimate: number
  gap?: number
  label: string
  class?: string
  render: (item: T, index: number) => ComponentChildren
  /** Keeps this row in the document wherever the page scrolls: one that is edited. */
  keep?: number | null
  /** Keeps the rows in this order in the document while they only look moved: a row that moves there loses the focus. */
  still?: readonly T[]
}

export function VirtualList<T>({ items, keyOf, estimate, gap = 0, label, class: name = '', render, keep = null, still }: Props<T>) {
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
      count: items.length,
      estimateSize: () => estimate,
      getItemKey: (index: number) => keyOf(items[index]!),
      getScrollElement: () => window,
      observeElementRect: observeWindowRect,
      observeElementOffset: observeWindowOffset,
      scrollToFn: windowScroll,
      initialRect: { width: window.innerWidth, height: window.innerHeight },
      initialOffset: () => window.scrollY,
      scrollMargin: top,
      overscan: 4,
      gap,
      onChange: () => redraw(0),
    }
  }

  const shown = rows.getVirtualItems()
  const indexes = shown.map((row) => row.index)
  if (keep !== null && keep < items.length && !indexes.includes(keep)) indexes.push(keep)
  if (still) {
    const order = new Map(still.map((item, index) => [keyOf(item), index]))
    indexes.sort((a, b) => (order.get(keyOf(items[a]!)) ?? 0) - (order.get(keyOf(items[b]!)) ?? 0))
  }
  return (
    <ul ref={list} class={`virtual ${name}`} aria-label={label} style={{ height: `${rows.getTotalSize()}px` }}>
      {indexes.map((index) => {
        const start = shown.find((row) => row.index === index)?.start ?? top + index * (estimate + gap)
        return (
          <li
            key={keyOf(items[index]!)}
            data-index={index}
            ref={(row) => rows.measureElement(row)}
            aria-setsize={items.length}
            aria-posinset={index + 1}
            style={{ transform: `translateY(${start - top}px)` }}
          >
            {render(items[index]!, index)}
          </li>
        )
      })}
    </ul>
  )
}
