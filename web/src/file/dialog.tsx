/** Ask how to use a dropped video, settings or queue: take the settings, extend the video, use its last frame. */
import { useSignal } from '@preact/signals'
import { useEffect, useMemo } from 'preact/hooks'
import { change } from '../create/draft'
import { Dialog } from '../parts/dialog'
import { Refused } from '../parts/refused'
import { say } from '../parts/toast'
import { Extend } from '../video/extend'
import { fillFrom } from '../video/to-form'
import { words } from '../words'
import { asked, type Found, inspect, type Inspection, isVideo, lastFrame, makeEach } from './settings'
import './file.css'

export function FileDialog() {
  const [file] = asked.value
  return file ? <About key={file} file={file} /> : null
}

function About({ file }: { file: File }) {
  const found = useSignal<Inspection | null>(null)
  const said = useSignal<string | null>(null)
  const work = useSignal<string | null>(words.file.reading)
  const isExtending = useSignal(false)
  const gone = useMemo(() => new AbortController(), [])
  useEffect(() => () => gone.abort(), [])
  const close = (): void => {
    asked.value = asked.value.filter((one) => one !== file)
  }
  /** Do one thing at a time; what goes wrong is said here, and the dialog stays. */
  const act = async (busy: string, what: () => Promise<void>): Promise<void> => {
    said.value = null
    work.value = busy
    await what().catch((error: unknown) => (said.value = (error as Error).message))
    work.value = null
  }
  useEffect(() => void act(words.file.reading, async () => void (found.value = await inspect(file))), [file])
  const take = (one: Found): Promise<void> => act(words.file.filling, () => fillFrom(one, gone.signal).then(close))
  const each = (data: readonly Found[]): Promise<void> =>
    act(words.create.sending, async () => {
      const refused = await makeEach(data, (at) => (work.value = words.many.sending(at + 1, data.length)))
      const made = words.many.made(data.length - refused.length)
      say(refused.length > 0 ? `${made} ${words.many.refused(refused)}` : made, { isBad: refused.length > 0 })
      close()
    })
  const useLast = (): Promise<void> =>
    act(words.file.readingFrame, async () => {
      const image = await lastFrame(file, found.value?.video_id ?? null)
      if (gone.signal.aborted) return
      change({ image })
      close()
    })
  const data = found.value?.data ?? []
  const [one] = data
  return (
    <Dialog title={words.file.title(file.name)} onClose={close}>
      {found.value && <p class="soft">{words.file.from(found.value.from)}</p>}
      <Refused why={said.value} />
      {work.value !== null ? (
        <p role="status">{work.value}</p>
      ) : (
        <div class="row">
          {one && (
            <button type="button" class="primary" onClick={() => (data.length > 1 ? each(data) : take(one))}>
              {data.length > 1 ? words.file.each(data.length) : words.file.take}
            </button>
          )}
          {isVideo(file) && (
            <>
              <button type="button" aria-expanded={isExtending.value} onClick={() => (isExtending.value = !isExtending.value)}>
                {words.file.extend}
              </button>
              <button type="button" onClick={useLast}>
                {words.file.lastFrame}
              </button>
            </>
          )}
        </div>
      )}
      {isExtending.value && <Extend source={found.value?.video_id ?? file} prompt={promptOf(one)} onMade={close} />}
      <LeftOut data={data} />
    </Dialog>
  )
}

const promptOf = (one: Found | undefined): string => (typeof one?.fields['prompt'] === 'string' ? one.fields['prompt'] : '')

/** The settings without a counterpart in a request, each with the reason. */
function LeftOut({ data }: { data: readonly Found[] }) {
  const all = data.flatMap((one, at) => one.left_out.map((left) => ({ ...left, of: data.length > 1 ? words.file.video(at + 1) : '' })))
  if (all.length === 0) return null
  return (
    <details class="left-out" open={data.length === 1}>
      <summary>{words.file.leftOut(all.length)}</summary>
      <ul class="small">
        {all.map(({ name, value, why, of }) => (
          <li>
            {of} <b>{name}</b> <span class="soft">{JSON.stringify(value)}</span>: {why}
          </li>
        ))}
      </ul>
    </details>
  )
}
