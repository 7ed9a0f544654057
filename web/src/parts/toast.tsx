/** Short news at the lower edge, read aloud, with an undo where there is one. */
import { signal } from '@preact/signals'
import { words } from '../words'
import './toast.css'

interface Toast {
  text: string
  isBad?: boolean
  undo?: () => void
}

const toast = signal<Toast | null>(null)
let timer: ReturnType<typeof setTimeout> | undefined

export function say(text: string, more: Omit<Toast, 'text'> = {}): void {
  clearTimeout(timer)
  toast.value = { text, ...more }
  timer = setTimeout(() => (toast.value = null), more.isBad ? 10_000 : 5_000)
}

export function Toasts() {
  const now = toast.value
  return (
    <div class="toasts" role="status">
      {now && (
        <div class={`toast ${now.isBad ? 'bad' : ''}`}>
          <span>{now.text}</span>
          {now.undo && (
            <button
              class="quiet"
              onClick={() => {
                toast.value = null
                now.undo?.()
              }}
            >
              {words.act.undo}
            </button>
          )}
        </div>
      )}
    </div>
  )
}
