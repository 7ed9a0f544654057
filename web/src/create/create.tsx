/** Create: a start image and a prompt become a video. The form stays as it is; nothing waits for a running video. */
import { signal, useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { Problem } from '../api/client'
import { learnFarm, learnLoras, learnPresets, presets } from '../api/facts'
import { isOpen, type Video } from '../api/objects'
import { running, world } from '../live/store'
import { Icon } from '../parts/icon'
import { Refused } from '../parts/refused'
import { say } from '../parts/toast'
import { Watch } from '../watch/watch'
import { words } from '../words'
import { Length, Presets, Prompt, Quality, Variants } from './choices'
import './create.css'
import { FileDialog } from '../file/dialog'
import { draft, fill, isEmpty, NEW } from './draft'
import { Estimate, startEstimate } from './estimate'
import { learnFields } from './specs'
import { check, faults, refusal, take } from './faults'
import { keepFor, send } from './keep'
import { Many } from './many'
import { More } from './more'
import { PictureField } from './picture-field'
import { Timeline } from './timeline-view'

export { takeAll } from './picture-field'

/** The video that one watches: the one that the form made last, or the one that ran. */
const last = signal<string | null>(null)

export default function CreateView() {
  const form = useRef<HTMLFormElement>(null)
  const sending = useSignal(0)
  const isLate = useSignal(false)
  useEffect(() => {
    void begin().catch(() => undefined) // a farm without keys for this browser: the sign-in takes over
    return startEstimate()
  }, [])
  const generate = async (): Promise<void> => {
    refusal.value = null
    if (!check()) return focusFault(form.current)
    sending.value++
    try {
      const video = await send(draft.value, () => (isLate.value = true))
      last.value = video.id
      say(video.batch ? words.create.addedMany(video.batch.videos.length) : words.create.added)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      take(error)
      focusFault(form.current)
    } finally {
      sending.value--
      isLate.value = false
    }
  }
  return (
    <>
      <form
        ref={form}
        class="create"
        noValidate
        onSubmit={(event) => event.preventDefault()}
        onKeyDown={(event) => {
          const isAsked = event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !event.repeat
          if (isAsked && !document.querySelector('dialog[open]')) void generate()
        }}
      >
        <h1 class="unseen">{words.nav.create}</h1>
        <div class="column make">
          <Refusal />
          <PictureField />
          <Prompt />
          <Presets />
          <Length />
          <div class="pair">
            <Quality />
            <Variants />
          </div>
          <More />
        </div>
        <aside>
          <Watched />
        </aside>
        <Timeline />
        <Many />
        <footer class="send">
          <Estimate />
          <button type="button" class="quiet" disabled={isEmpty(draft.value)} onClick={clear}>
            {words.create.clear}
          </button>
          <button type="button" class="primary generate" title={words.create.keys} onClick={() => void generate()}>
            <Icon name="plus" />
            {words.create.generate}
          </button>
          <span class="small soft" role="status">
            {sending.value > 0 && (isLate.value ? words.create.sendingLater : words.create.sending)}
          </span>
        </footer>
      </form>
      <FileDialog />
    </>
  )
}

async function begin(): Promise<void> {
  void learnFields().catch(() => undefined) // without it the farm alone checks the fields
  void learnLoras().catch(() => undefined)
  const { me } = await learnFarm()
  await Promise.all([keepFor(me.owner), learnPresets().catch(() => undefined)])
  const start = presets.value.find((preset) => preset.start && !preset.built_in)
  if (start && isEmpty(draft.value)) fill(start.fields)
}

function clear(): void {
  const before = draft.value
  draft.value = NEW
  faults.value = {}
  refusal.value = null
  say(words.create.cleared, { undo: () => (draft.value = before) })
}

/** The farm's refusal of the whole request; a wait counts down, and a screen reader does not say each second. */
function Refusal() {
  const now = useSignal(Date.now())
  const said = refusal.value
  useEffect(() => {
    if (!said?.until) return undefined
    const timer = setInterval(() => (now.value = Date.now()), 1000)
    return () => clearInterval(timer)
  }, [said])
  if (!said) return null
  const left = said.until === null ? 0 : Math.ceil((said.until - now.value) / 1000)
  return <Refused why={said.text}>{left > 0 && <span>{words.create.tryIn(left)}</span>}</Refused>
}

/** The video in hand beside the form: the one made last while it is open, else the first that runs. It stays when it has ended. */
function Watched() {
  const made: Video | undefined = last.value !== null ? world.value.videos.get(last.value) : undefined
  const video = made && isOpen(made) ? made : (running.value[0] ?? made)
  useEffect(() => {
    if (video) last.value = video.id
  }, [video?.id])
  return video ? <Watch key={video.id} video={video} /> : <div class="empty nothing">{words.create.nothingYet}</div>
}

/** Bring the first field with a fault under the hands, or, where none has one, the farm's words into view. */
function focusFault(form: HTMLFormElement | null): void {
  requestAnimationFrame(() => {
    const field = form?.querySelector<HTMLElement>('[aria-invalid="true"]')
    if (field) field.focus()
    else form?.querySelector('[role="alert"]')?.scrollIntoView({ block: 'center' })
  })
}
