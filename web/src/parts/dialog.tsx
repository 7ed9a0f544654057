/** A dialog over the page: focus stays in it, Escape closes it (not a firm one), and the focus goes back to where it was. */
import type { ComponentChildren } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'

interface Props {
  title: string
  onClose?: () => void
  /** It goes only when its owner takes it away. */
  isFirm?: boolean
  children: ComponentChildren
}

export function Dialog({ title, onClose, isFirm = false, children }: Props) {
  const element = useRef<HTMLDialogElement>(null)
  const heading = useId()
  useEffect(() => {
    const before = document.activeElement
    element.current?.showModal()
    return () => before instanceof HTMLElement && before.focus()
  }, [])
  return (
    <dialog
      ref={element}
      aria-labelledby={heading}
      onClose={() => (isFirm ? element.current?.showModal() : onClose?.())} // a browser closes it at the second Escape, although onCancel forbids it
      onCancel={(event) => isFirm && event.preventDefault()}
      onClick={(event) => !isFirm && event.target === event.currentTarget && event.currentTarget.close()}
    >
      <div class="column">
        <h2 id={heading}>{title}</h2>
        {children}
      </div>
    </dialog>
  )
}
