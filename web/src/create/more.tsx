/** Every other field of a request, as the farm describes it. A changed value is marked and can be put back. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { Fragment, type TargetedInputEvent } from 'preact'
import { call, newKey } from '../api/client'
import type { Page, Video } from '../api/objects'
import { each } from '../live/actions'
import { IconButton } from '../parts/button'
import { NumberBox } from '../parts/number-box'
import { words } from '../words'
import { Fault } from './choices'
import { deadlineOf, draft, set, setDeadline } from './draft'
import { farm, models } from '../api/facts'
import { specs, standardOf } from './specs'
import { faults } from './faults'
import { type FieldSpec, helpOf, labelOf, type Value } from './fields'
import { Loras } from './loras'

/** Fields that have a place of their own in the page. */
const ELSEWHERE = new Set(['prompt', 'seconds', 'preset', 'input_reference', 'image_size', 'end_image', 'keyframes', 'n', 'seeds', 'loras', 'prompts', 'prompt_fade_sections', 'loop'])
/** The order in which people look for the others; a field that the farm gains comes last. */
const ORDER = ['model', 'seed', 'num_inference_steps', 'guidance_scale', 'true_cfg_scale', 'guidance_rescale', 'negative_prompt', 'latent_window_size', 'size', 'resolution', 'cache', 'cache_threshold', 'decode', 'decode_tile_px', 'crf', 'preserve_gb', 'priority', 'name', 'webhook_url', 'webhook_secret']

const place = (name: string): number => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length)

export function More() {
  const isOpen = useSignal(false)
  const shown = [...specs.value.values()].filter((spec) => !ELSEWHERE.has(spec.name)).sort((a, b) => place(a.name) - place(b.name))
  const changed = shown.filter((spec) => spec.name in draft.value.values).length + (Array.isArray(draft.value.values['loras']) ? 1 : 0)
  const hasFault = ['loras', 'deadline', ...shown.map((spec) => spec.name)].some((name) => name in faults.value)
  return (
    <details class="more" open={isOpen.value || hasFault} onToggle={(event) => (isOpen.value = event.currentTarget.open)}>
      <summary>
        {words.create.more}
        {changed > 0 && <span class="small soft"> {words.create.changed(changed)}</span>}
      </summary>
      {(isOpen.value || hasFault) && (
        <div class="fields">
          <Loras />
          {shown.map((spec) => (
            <Fragment key={spec.name}>
              <Field spec={spec} />
              {spec.name === 'priority' && <Deadline />}
            </Fragment>
          ))}
        </div>
      )}
    </details>
  )
}

function Field({ spec }: { spec: FieldSpec }) {
  const value = draft.value.values[spec.name]
  const isChanged = value !== undefined
  const label = labelOf(spec.name)
  return (
    <div class={`field ${isChanged ? 'changed' : ''}`}>
      <div class="row">
        <label for={spec.name}>{label}</label>
        {isChanged && <IconButton icon="undo" name={words.create.putBack(label)} class="end" onClick={() => set(spec.name, null)} />}
      </div>
      <div class="row">
        <Control spec={spec} value={value} />
        {spec.name === 'seed' && <Dice />}
      </div>
      <Fault name={spec.name} />
      <span id={`${spec.name}-help`} class="small soft">
        {helpOf(spec)}
      </span>
    </div>
  )
}

function Control({ spec, value }: { spec: FieldSpec; value: Value | undefined }) {
  const { name } = spec
  const common = { id: name, 'aria-invalid': name in faults.value, 'aria-describedby': `${name}-fault ${name}-help` }
  if (name === 'model') return <Choice {...common} value={value} choices={models.value.map(({ id }) => id)} name={name} unset={farm.value ? words.create.farmsModel(farm.value.model) : undefined} />
  switch (spec.kind) {
    case 'choice':
      return <Choice {...common} value={value} choices={spec.choices} name={name} standard={standardOf(spec)} />
    case 'switch':
      return <input {...common} type="checkbox" checked={Boolean(value ?? spec.standard)} onChange={(event) => set(name, event.currentTarget.checked === spec.standard ? null : event.currentTarget.checked)} />
    case 'number':
    case 'whole':
      return <NumberBox {...common} min={spec.min ?? undefined} max={spec.max ?? undefined} step={spec.step ?? (spec.kind === 'whole' ? 1 : 'any')} placeholder={placeholder(spec)} number={typeof value === 'number' ? value : undefined} onNumber={(typed) => set(name, typed)} />
    case 'json':
      return <Json {...common} name={name} value={value} placeholder={JSON.stringify(spec.standard ?? {})} />
    case 'secret':
      return <input {...common} {...typed(name, value)} type="password" autocomplete="off" />
    default:
      return <input {...common} {...typed(name, value)} type="text" autocomplete="off" placeholder={placeholder(spec)} />
  }
}

const typed = (name: string, value: Value | undefined): { value: string; onInput: (event: TargetedInputEvent<HTMLInputElement>) => void } => ({
  value: typeof value === 'string' ? value : '',
  onInput: (event) => set(name, event.currentTarget.value || null),
})

const placeholder = (spec: FieldSpec): string => String(standardOf(spec) ?? '')

/** unset: what the choice of nothing is called. */
function Choice({ name, value, choices, standard, unset = words.create.farmsChoice, ...common }: { id: string; name: string; value: Value | undefined; choices: readonly string[]; standard?: Value | null; unset?: string }) {
  return (
    <select {...common} value={String(value ?? standard ?? '')} onChange={(event) => set(name, event.currentTarget.value === (standard ?? '') ? null : event.currentTarget.value)}>
      {(standard === undefined || standard === null) && <option value="">{unset}</option>}
      {choices.map((choice) => (
        <option key={choice}>{choice}</option>
      ))}
    </select>
  )
}

/** A field that holds JSON. Typed text stays in the box until the value changes elsewhere; text that is no JSON yet gets a hint. */
function Json({ name, value, ...common }: { id: string; name: string; value: Value | undefined; placeholder: string }) {
  const typing = useSignal<{ text: string; value: Value | undefined } | null>(null)
  const take = (text: string): void => {
    const { [name]: _, ...others } = faults.value
    try {
      set(name, text.trim() ? (JSON.parse(text) as object) : null)
      faults.value = others
    } catch {
      faults.value = { ...others, [name]: words.create.noJson }
    }
    typing.value = { text, value: draft.value.values[name] }
  }
  const isBroken = faults.value[name] === words.create.noJson
  useEffect(() => {
    if (!isBroken || typing.value?.value === value) return
    const { [name]: _, ...others } = faults.value
    faults.value = others // the value was changed elsewhere: what was typed is gone
  }, [value])
  const isTyped = typing.value?.value === value && (isBroken || isJson(typing.value?.text ?? ''))
  return <input {...common} type="text" spellcheck={false} value={isTyped ? typing.value?.text : value === undefined ? '' : JSON.stringify(value)} onInput={(event) => take(event.currentTarget.value)} />
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** A die that draws a seed and keeps it, and a lock: open, each video gets another seed; closed, all get this one. */
function Dice() {
  const isLocked = draft.value.values['seed'] !== undefined
  const draw = (): number => Number.parseInt(newKey().slice(0, 8), 16)
  const keep = async (): Promise<void> => {
    const [seed] = await each([0], newestSeed)
    set('seed', seed ?? draw())
  }
  const name = isLocked ? words.create.unlockSeed : words.create.lockSeed
  return (
    <>
      <IconButton icon="dice" name={words.create.drawSeed} onClick={() => set('seed', draw())} />
      <IconButton icon={isLocked ? 'lock' : 'unlock'} name={name} isPressed={isLocked} onClick={() => (isLocked ? set('seed', null) : void keep())} />
    </>
  )
}

/** The seed of the video that was asked for last: the one that a person means to keep. */
const newestSeed = async (): Promise<number | undefined> => (await call<Page<Video>>('/v1/videos?limit=1')).data[0]?.seed

function Deadline() {
  return (
    <div class="field">
      <label for="deadline">{words.create.deadline}</label>
      <NumberBox id="deadline" min={1} number={deadlineOf(draft.value.values)} aria-invalid={'deadline' in faults.value} aria-describedby="deadline-fault deadline-help" onNumber={setDeadline} />
      <Fault name="deadline" />
      <span id="deadline-help" class="small soft">
        {words.create.deadlineHelp}
      </span>
    </div>
  )
}
