/** Change name, prompt and priority of a video that waits, in its row. */
import { useSignal } from '@preact/signals'
import type { TargetedSubmitEvent } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'
import { call, Problem } from '../api/client'
import type { Video } from '../api/objects'
import { change, each } from '../live/actions'
import { learn } from '../live/store'
import { Refused } from '../parts/refused'
import { words } from '../words'

interface Props {
  video: Video
  onClose: () => void
}

/** Events carry no request, and so no priority: it is asked for before one can change it. */
export function EditForm({ video, onClose }: Props) {
  const isKnown = video.request !== undefined
  useEffect(() => {
    if (!isKnown) void each([video], ({ id }) => learn(call<Video>(`/v1/videos/${id}`))).then((found) => found.length || onClose())
  }, [video.id, isKnown])
  return isKnown ? <Form video={video} onClose={onClose} /> : <p class="edit soft">{words.loading}</p>
}

function Form({ video, onClose }: Props) {
  const unique = useId()
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
  const field = (name: string) => ({ id: `${unique}-${name}`, name, 'aria-invalid': problem.value?.of(name) ? true : undefined, 'aria-describedby': `${unique}-${name}-fault` })
  const fault = (name: string) => (
    <span id={`${unique}-${name}-fault`} class="bad">
      {problem.value?.of(name)}
    </span>
  )
  return (
    <form ref={form} class="edit column" onSubmit={save} onKeyDown={(event) => event.key === 'Escape' && onClose()}>
      <Refused why={problem.value?.errors.length ? null : problem.value?.message} />
      <div class="field">
        <label for={`${unique}-prompt`}>{words.queue.prompt}</label>
        <textarea {...field('prompt')} rows={2} defaultValue={video.prompt} />
        {fault('prompt')}
      </div>
      <div class="edit-pair">
        <div class="field">
          <label for={`${unique}-name`}>{words.queue.name}</label>
          <input {...field('name')} defaultValue={video.name} />
          {fault('name')}
        </div>
        <div class="field" title={words.queue.priorityHint}>
          <label for={`${unique}-priority`}>{words.queue.priority}</label>
          <input {...field('priority')} type="number" min={-10} max={10} defaultValue={`${video.request?.priority ?? 0}`} />
          {fault('priority')}
        </div>
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
