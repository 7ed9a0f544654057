/** Which videos are selected; holds across rows that are not in view. */
import { signal } from '@preact/signals'

/** null: nothing can be selected now. */
export const picked = signal<ReadonlySet<string> | null>(null)

/** A view that one leaves takes its selection with it. */
export const endPicking = (): void => void (picked.value = null)

export function pick(ids: readonly string[], isOn: boolean): void {
  const now = new Set(picked.value)
  for (const id of ids) isOn ? now.add(id) : now.delete(id)
  picked.value = now
}
