/** Copy a text; also where the page is no secure origin and has no clipboard of its own. */
import { useSignal } from '@preact/signals'
import { words } from '../words'

export function copy(text: string): Promise<void> | void {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).catch(() => bySelection(text))
  bySelection(text)
}

function bySelection(text: string): void {
  const field = document.createElement('textarea')
  field.value = text
  field.className = 'unseen'
  ;(document.querySelector('dialog[open]') ?? document.body).append(field)
  field.select()
  document.execCommand('copy')
  field.remove()
}

export function CopyButton({ text, name = words.act.copy }: { text: string; name?: string }) {
  const isDone = useSignal(false)
  const act = async (): Promise<void> => {
    await copy(text)
    isDone.value = true
    setTimeout(() => (isDone.value = false), 2000)
  }
  return (
    <button type="button" class="quiet" onClick={act}>
      {isDone.value ? words.act.copied : name}
    </button>
  )
}
