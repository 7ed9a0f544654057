/** Change name, prompt and priority of a video that waits, in its row. The typed text outlives the row. */
import { signal, useSignal } from '@preact/signals'
import type { TargetedFocusEvent, TargetedInputEvent, TargetedSubmitEvent } from 'preact'
import { useEffect, useId, useRef } from 'preact/hooks'
import { call, Problem } from '../api/client'
import { title, type Video } from '../api/objects'
import { change, each, wish } from '../live/actions'
import { learn, world } from '../live/store'
import { Refused } from '../parts/refused'
import { words } from '../words'

type Name = 'prompt' | 'name' | 'priority'

/** The video that is edited, and what was typed into which fields. */
export const editing = signal<{ video: Video; typed: Readonly<Partial<Record<Name, string>>> } | null>(null)

/** The field that gets the focus when the form is drawn again elsewhere; null: one works outside the form. */
let focused: string | null = null

const close = (): void => void (editing.value = null)

/** Begin to edit a video, or stop. */
export function edit(video: Video): void {
  focused = 'prompt'
  editing.value = editing.value?.video.id === video.id ? null : { video, typed: {} }
}

/** The form of a video that has no row now: a worker took it, it has ended, or no row of the filter shows it. */
export function Strayed() {
  if (!editing.value) return null
  const { video } = editing.value
  return (
    <section class="card column" aria-label={words.queue.editing(title(video))}>
      <h2 class="title">{words.queue.editing(title(video))}</h2>
      <EditForm video={world.value.videos.get(video.id) ?? video} />
    </section>
  )
}

/** Events carry no request, and so no priority: it is asked for before one can change it. */
export function EditForm({ video }: { video: Video }) {
  const isKnown = video.request !== undefined
  useEffect(() => {
    if (!isKnown) void each([video], ({ id }) => learn(call<Video>(`/v1/videos/${id}`))).then((found) => found.length || close())
  }, [video.id, isKnown])
  return isKnown ? <Form video={video} /> : <p class="edit soft">{words.loading}</p>
}

/** Why a video takes no other prompt and priority now; null: it does. */
function whyNot({ id, status }: Video): string | null {
  if (!world.value.videos.has(id)) return words.queue.editDeleted
  if (status === 'in_progress') return words.queue.editRunning
  return status === 'queued' || status === 'paused' ? null : words.queue.editEnded(words.status[status])
}

function Form({ video }: { video: Video }) {
  const unique = useId()
  const problem = useSignal<Problem | null>(null)
  const form = useRef<HTMLFormElement>(null)
  const typed = editing.value?.typed ?? {}
  const now = { prompt: video.prompt, name: video.name, priority: `${video.request?.priority ?? 0}` }
  useEffect(() => {
    const field = focused && form.current?.querySelector<HTMLInputElement | HTMLTextAreaElement>(`[name="${focused}"]`)
    if (!field) return
    field.focus()
    if (field.type !== 'number') field.setSelectionRange(field.value.length, field.value.length)
  }, [])
  const why = whyNot(video)
  const isNamed = world.value.videos.has(video.id) && Object.keys(typed).join() === 'name' // takes a name at any time
  const keep = ({ target }: TargetedInputEvent<HTMLFormElement>): void => {
    if (target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement) editing.value = { video, typed: { ...typed, [target.name]: target.value } }
  }
  const follow = ({ target }: TargetedFocusEvent<HTMLFormElement>): void => {
    if (target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement) focused = target.name
  }
  const leave = ({ currentTarget, relatedTarget }: TargetedFocusEvent<HTMLFormElement>): void => {
    if (relatedTarget instanceof Node && !currentTarget.contains(relatedTarget)) focused = null
  }
  const save = async (event: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault()
    const { prompt, name, priority } = { ...now, ...typed }
    try {
      await change(video, changed(video, { prompt, name, priority: Number(priority) }))
      close()
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      problem.value = error
      const first = error.errors[0]?.field
      if (first) form.current?.querySelector<HTMLElement>(`[name="${first}"]`)?.focus()
    }
  }
  const field = (name: Name) => ({ id: `${unique}-${name}`, name, defaultValue: typed[name] ?? now[name], 'aria-invalid': problem.value?.of(name) ? true : undefined, 'aria-describedby': `${unique}-${name}-fault` })
  const fault = (name: Name) => (
    <span id={`${unique}-${name}-fault`} class="bad">
      {problem.value?.of(name)}
    </span>
  )
  return (
    <form ref={form} class="edit column" onSubmit={save} onInput={keep} onFocusIn={follow} onFocusOut={leave} onKeyDown={(event) => event.key === 'Escape' && close()}>
      {why && (
        <p class="note warn row">
          <span role="alert">{why}</span>
          {video.status === 'in_progress' && (
            <button type="button" onClick={() => wish([video], 'pause')}>
              {words.act.pause}
            </button>
          )}
        </p>
      )}
      <Refused why={problem.value?.errors.length ? null : problem.value?.message} />
      <div class="field">
        <label for={`${unique}-prompt`}>{words.queue.prompt}</label>
        <textarea {...field('prompt')} rows={2} />
        {fault('prompt')}
      </div>
      <div class="edit-pair">
        <div class="field">
          <label for={`${unique}-name`}>{words.queue.name}</label>
          <input {...field('name')} />
          {fault('name')}
        </div>
        <div class="field" title={words.queue.priorityHint}>
          <label for={`${unique}-priority`}>{words.queue.priority}</label>
          <input {...field('priority')} type="number" min={-10} max={10} />
          {fault('priority')}
        </div>
      </div>
      <div class="row">
        <button class="primary" disabled={why !== null && !isNamed}>
          {words.act.save}
        </button>
        <button type="button" onClick={close}>
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
