/** A button that opens a small card over the page. Escape, a press beside it, a Tab out of it and a choice in it close it. */
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'

interface Props {
  class: string
  /** The content of the button. */
  summary: ComponentChildren
  summaryClass?: string
  onOpen?: () => void
  children: ComponentChildren
}

export function Popup({ class: name, summary, summaryClass, onOpen, children }: Props) {
  const box = useRef<HTMLDetailsElement>(null)
  const close = (isFocused: boolean): void => {
    box.current!.open = false
    if (isFocused) box.current!.querySelector('summary')!.focus()
  }
  const leave = ({ relatedTarget }: FocusEvent): void => {
    if (relatedTarget instanceof Node && !box.current!.contains(relatedTarget)) close(false)
  }
  useEffect(() => {
    const escape = (event: KeyboardEvent): void => {
      if (event.key === 'Escape' && box.current!.open) close(true)
    }
    const press = (event: PointerEvent): void => {
      if (box.current!.open && !box.current!.contains(event.target as Node)) close(false)
    }
    addEventListener('keydown', escape)
    addEventListener('pointerdown', press)
    return () => {
      removeEventListener('keydown', escape)
      removeEventListener('pointerdown', press)
    }
  }, [])
  return (
    <details ref={box} class={name} onToggle={(event) => event.currentTarget.open && onOpen?.()} onFocusOut={leave}>
      <summary class={summaryClass}>{summary}</summary>
      <div class="card" onClick={(event) => event.target instanceof Element && event.target.closest('a, button') && close(true)}>
        {children}
      </div>
    </details>
  )
}
