/** Change name, prompt and priority of a video that waits, in its row. */
import { useSignal } from '@preact/signals'
import type { TargetedSubmitEvent } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { Problem } from '../api/client'
import type { Video } from '../api/objects'
import { change } from '../live/actions'
import { words } from '../words'

export function EditForm({ video, onClose }: { video: Video; onClose: () => void }) {
  const problem = useSignal<Problem | null>(null)
  const form = useRef<HTMLFormElement>(null)
  useEffect(() => form.current?.querySelector('textarea')?.focus(), [])
  const save = async (event: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault()
    const data = new FormData(event.currentTarget)
    const fields = { name: `${data.get('name')}`, prompt: `${data.get('prompt')}`, priority: Number(data.get('priority')) }
    try {
      await change(video, changed(video, fields))
      onClose()
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      problem.value = error
      const first = error.errors[0]?.field
      if (first) form.current?.querySelector<HTMLElement>(`[name="${first}"]`)?.focus()
    }
  }
  const field = (name: string) => ({ name, 'aria-invalid': problem.value?.of(name) ? true : undefined })
  const fault = (name: string) => problem.value?.of(name) && <span class="bad">{problem.value.of(name)}</span>
  return (
    <form ref={form} class="edit column" onSubmit={save} onKeyDown={(event) => event.key === 'Escape' && onClose()}>
      {problem.value && !problem.value.errors.length && <p class="note bad">{problem.value.message}</p>}
      <label class="field">
        {words.queue.prompt}
        <textarea {...field('prompt')} rows={2} defaultValue={video.prompt} />
        {fault('prompt')}
      </label>
      <div class="edit-pair">
        <label class="field">
          {words.queue.name}
          <input {...field('name')} defaultValue={video.name} />
          {fault('name')}
        </label>
        <label class="field" title={words.queue.priorityHint}>
          {words.queue.priority}
          <input {...field('priority')} type="number" min={-10} max={10} defaultValue={`${video.request?.priority ?? 0}`} />
          {fault('priority')}
        </label>
      </div>
      <div class="row">
        <button class="primary">{words.act.save}</button>
        <button type="button" onClick={onClose}>
          {words.act.close}
        </button>
      </div>
    </form>
  )
}

/** Only what differs is sent: another prompt voids work, a name does not. */
function changed(video: Video, fields: { name: string; prompt: string; priority: number }): object {
  const old = { name: video.name, prompt: video.prompt, priority: video.request?.priority ?? 0 }
  return Object.fromEntries(Object.entries(fields).filter(([name, value]) => old[name as keyof typeof old] !== value))
}
