/** Create: a start image and a prompt become a video. */
import { useSignal } from '@preact/signals'
import type { TargetedSubmitEvent } from 'preact'
import { create, Problem } from '../api/client'
import type { Video } from '../api/objects'
import { learn } from '../live/store'
import { words } from '../words'

export default function CreateView() {
  const said = useSignal('')
  const send = async (event: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    try {
      learn([await create<Video>('/v1/videos', form)])
      said.value = words.create.added
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      said.value = error.message
    }
  }
  return (
    <form class="column" onSubmit={send}>
      <h1>{words.nav.create}</h1>
      <label class="field">
        {words.create.image}
        <input type="file" name="input_reference" accept="image/*" required />
      </label>
      <label class="field">
        {words.create.prompt}
        <textarea name="prompt" rows={3} required placeholder={words.create.whatHappens} />
      </label>
      <button class="primary">{words.create.generate}</button>
      <p role="status">{said.value}</p>
    </form>
  )
}
