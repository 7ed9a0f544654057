/** Go on where a video ends: one of this farm, or a file. */
import type { TargetedSubmitEvent } from 'preact'
import { Refused } from '../parts/refused'
import { words } from '../words'
import { useMake } from './make'

interface Props {
  /** A video's id, or a video file. */
  source: string | File
  prompt: string
  onMade?: () => void
}

export function Extend({ source, prompt, onMade }: Props) {
  const { problem, busy, make } = useMake()
  const send = async (event: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault()
    const data = new FormData(event.currentTarget)
    if (source instanceof File) data.set('video', source, source.name)
    else data.set('video', JSON.stringify({ id: source }))
    await make('/v1/videos/extensions', data)
    if (!problem.value) onMade?.()
  }
  return (
    <form class="card column" onSubmit={send}>
      <p class="small soft">{words.next.extendText}</p>
      <label class="field">
        {words.queue.prompt}
        <textarea name="prompt" rows={2} required defaultValue={prompt} />
      </label>
      <label class="field">
        {words.next.seconds}
        <input name="seconds" type="number" min={0.1} max={600} step="any" required defaultValue="2.4" />
      </label>
      <Refused why={problem.value?.message} />
      <button class="primary" disabled={busy.value}>{words.next.extend}</button>
    </form>
  )
}
