/** A box for a number. While one types, it holds what is typed and nothing else: no event and no rounding writes over it. */
import { useSignal } from '@preact/signals'
import type { InputHTMLAttributes } from 'preact'
import { useLayoutEffect, useRef } from 'preact/hooks'

interface Props extends Pick<InputHTMLAttributes, 'id' | 'class' | 'min' | 'max' | 'step' | 'placeholder' | 'aria-label' | 'aria-invalid' | 'aria-describedby'> {
  /** The number in the box while nobody types. undefined: nothing is set; NaN: what was typed is no number. */
  number: number | undefined
  /** Takes what is typed, at each letter. null: nothing is typed; NaN: no number. */
  onNumber: (typed: number | null) => void
}

export function NumberBox({ number, onNumber, ...others }: Props) {
  const box = useRef<HTMLInputElement>(null)
  const typed = useSignal<string | null>(null)
  useLayoutEffect(() => {
    if (number === undefined && typed.value === null) box.current!.value = '' // letters, too, which the browser shows and does not tell
  }, [number])
  const shown = number === undefined || Number.isNaN(number) ? '' : `${number}`
  return (
    <input
      {...others}
      ref={box}
      type="number"
      value={typed.value ?? shown}
      onInput={({ currentTarget }) => {
        typed.value = currentTarget.value
        onNumber(currentTarget.value === '' && !currentTarget.validity.badInput ? null : currentTarget.valueAsNumber)
      }}
      onBlur={() => (typed.value = null)}
    />
  )
}
