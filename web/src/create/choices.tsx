/** The choices that everyone makes: prompt, preset, length, quality, variants. */
import { useSignal } from '@preact/signals'
import type { TargetedKeyboardEvent } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { each } from '../live/actions'
import { IconButton } from '../parts/button'
import { Icon } from '../parts/icon'
import { NumberBox } from '../parts/number-box'
import { words } from '../words'
import { change, draft, fill, presetOf, set, windowSize } from './draft'
import { sections } from './estimate'
import { faults } from './faults'
import { farm, learnPresets, presets, type Preset } from '../api/facts'
import { characters, faultOf, labelOf } from './fields'
import { presetValues, specs } from './specs'
import { call, Problem } from '../api/client'
import { say } from '../parts/toast'
import { length } from '../parts/format'
import { secondsOf } from './length'

const SLIDER_SECTIONS = 50 //: the slider's end; the number beside it goes further

export function Prompt() {
  const isHelp = useSignal(false)
  const { prompt } = draft.value
  const most = specs.value.get('prompt')?.maxLength ?? null
  const guide = farm.value?.prompting
  return (
    <div class="field">
      <div class="row">
        <label for="prompt">{words.create.prompt}</label>
        <span class="small soft number end">{most !== null && `${characters(prompt)}/${most}`}</span>
      </div>
      <textarea id="prompt" rows={3} value={prompt} placeholder={words.create.whatHappens} aria-invalid={'prompt' in faults.value} aria-describedby="prompt-fault" onInput={(event) => change({ prompt: event.currentTarget.value })} />
      <Fault name="prompt" />
      {guide && (
        <details class="small" onToggle={(event) => (isHelp.value = event.currentTarget.open)}>
          <summary>{words.create.guide}</summary>
          {isHelp.value && (
            <>
              <ul class="guide soft">
                {guide.guide.map((line) => (
                  <li key={line}>{line}</li>
                ))}
              </ul>
              <p class="row">
                {guide.samples.map((sample) => (
                  <button type="button" class="chip" key={sample} onClick={() => change({ prompt: sample })}>
                    {sample}
                  </button>
                ))}
              </p>
            </>
          )}
        </details>
      )}
    </div>
  )
}

export const Fault = ({ name }: { name: string }) => (
  <span id={`${name}-fault`} class="bad small">
    {faults.value[name]}
  </span>
)

/** Preset chips. A built-in one is filled in by the farm; an own one puts its fields into the form. */
export function Presets() {
  const isNaming = useSignal(false)
  const chip = useRef<HTMLButtonElement>(null) // stays, so it takes the focus of what goes
  if (presets.value.length === 0) return null
  const chosen = draft.value.preset
  const pick = (preset: Preset): void => {
    if (preset.built_in) change({ preset: chosen === preset.name ? null : preset.name })
    else fill(preset.fields)
  }
  return (
    <div class="row presets" role="group" aria-label={words.create.presets}>
      {presets.value
        .filter((preset) => !preset.name.startsWith('compat-'))
        .map((preset) => (
          <span class="chip-pair" key={preset.name}>
            <button type="button" class="chip" aria-pressed={chosen === preset.name} title={describe(preset)} onClick={() => pick(preset)}>
              {preset.name}
            </button>
            {!preset.built_in && <IconButton icon="x" name={words.create.deletePreset(preset.name)} onClick={() => (chip.current?.focus(), void forget(preset))} />}
          </span>
        ))}
      <button ref={chip} type="button" class="chip quiet" aria-expanded={isNaming.value} onClick={() => (isNaming.value = !isNaming.value)}>
        {words.create.savePreset}
      </button>
      {isNaming.value && <NewPreset onDone={() => (chip.current?.focus(), (isNaming.value = false))} />}
    </div>
  )
}

/** Say what a preset sets. */
const describe = ({ fields, prompt }: Preset): string =>
  [...Object.entries(fields).map(([name, value]) => `${labelOf(name)}: ${typeof value === 'object' ? JSON.stringify(value) : value}`), ...(prompt === null ? [] : [prompt])].join('\n')

/** Delete an own preset; an undo saves it again. */
async function forget({ name, fields, start }: Preset): Promise<void> {
  const path = `/v1/presets/${encodeURIComponent(name)}`
  const put = async (method: 'DELETE' | 'PUT'): Promise<void> => {
    await each([path], () => call(path, method === 'PUT' ? { method, body: { fields, start } } : { method }))
    await learnPresets()
  }
  await put('DELETE')
  if (!presets.value.some((preset) => preset.name === name)) say(words.create.presetDeleted(name), { undo: () => void put('PUT') })
}

function NewPreset({ onDone }: { onDone: () => void }) {
  const name = useSignal('')
  const input = useRef<HTMLInputElement>(null)
  useEffect(() => input.current?.focus(), [])
  const save = async (isStart: boolean): Promise<void> => {
    try {
      await call(`/v1/presets/${encodeURIComponent(name.value)}`, { method: 'PUT', body: { fields: presetOf(draft.value), start: isStart } })
      await learnPresets()
      onDone()
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      say(error.message, { isBad: true })
    }
  }
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLInputElement>): void => {
    if (event.isComposing || event.ctrlKey || event.metaKey) return
    if (event.key === 'Escape') onDone()
    if (event.key !== 'Enter') return
    event.preventDefault()
    if (name.value) void save(false)
  }
  return (
    <span class="row">
      <input ref={input} aria-label={words.create.presetName} placeholder={words.create.presetName} maxLength={60} value={name.value} onKeyDown={onKeyDown} onInput={(event) => (name.value = event.currentTarget.value)} />
      <button type="button" disabled={!name.value} onClick={() => void save(false)}>
        {words.act.save}
      </button>
      <button type="button" disabled={!name.value} onClick={() => void save(true)}>
        {words.create.saveAsStart}
      </button>
      <button type="button" class="quiet" onClick={onDone}>
        {words.act.close}
      </button>
    </span>
  )
}

/** The length in seconds. The box shows the whole sections that come out, or a length that the farm does not take as it was typed. */
export function Length() {
  const window = windowSize.value
  const count = sections.value
  const made = secondsOf(count, window)
  const [spec, asked] = [specs.value.get('seconds'), draft.value.values['seconds']]
  const isAsTyped = typeof asked === 'number' && (!spec || faultOf(spec, asked) !== null)
  return (
    <div class="field">
      <div class="row">
        <label for="length">{words.create.length}</label>
        <span class="small soft number">{words.create.lengthIs(length(made), count)}</span>
      </div>
      <div class="row">
        <input id="length" class="grow" type="range" min={1} max={Math.max(SLIDER_SECTIONS, count)} value={count} aria-valuetext={words.create.lengthIs(length(made), count)} onInput={(event) => set('seconds', secondsOf(event.currentTarget.valueAsNumber, window))} />
        <NumberBox class="short" aria-label={words.create.seconds} min={spec?.min ?? undefined} max={spec?.max ?? undefined} step="any" number={isAsTyped ? asked : Number(made.toFixed(2))} aria-invalid={'seconds' in faults.value} aria-describedby="seconds-fault" onNumber={(typed) => set('seconds', typed)} />
      </div>
      <Fault name="seconds" />
    </div>
  )
}

const QUALITIES = ['draft', 'full'] as const

/** Draft (TeaCache) or Full (exact), also where the preset decides. Another cache, chosen below, leaves both unpressed. */
export function Quality() {
  const { values, preset } = draft.value
  const cache = values['cache'] ?? presetValues.value['cache'] ?? (preset === null ? 'none' : null)
  const now = cache === 'teacache' ? 'draft' : cache === 'none' ? 'full' : null
  return (
    <fieldset class="field">
      <legend>{words.create.quality}</legend>
      <div class="row">
        {QUALITIES.map((quality) => (
          <button type="button" key={quality} aria-pressed={now === quality} title={words.create.qualities[quality].help} onClick={() => set('cache', quality === 'draft' ? 'teacache' : preset === null ? null : 'none')}>
            {words.create.qualities[quality].name}
          </button>
        ))}
      </div>
      <span class="small soft">{now && words.create.qualities[now].help}</span>
    </fieldset>
  )
}

const COUNTS = [1, 2, 4, 8]

/** How many videos to make of one request, or their seeds. */
export function Variants() {
  const { variants, seeds } = draft.value
  const isList = useSignal(seeds !== '')
  return (
    <fieldset class="field">
      <legend>{words.create.variants}</legend>
      <div class="row">
        {COUNTS.map((count) => (
          <button type="button" class="square" key={count} aria-pressed={!seeds && variants === count} onClick={() => change({ variants: count, seeds: '' })}>
            {count}
          </button>
        ))}
        {isList.value ? (
          <input class="grow" aria-label={words.create.seeds} placeholder="1, 2, 3" value={seeds} aria-invalid={'seeds' in faults.value} aria-describedby="seeds-fault" onInput={(event) => change({ seeds: event.currentTarget.value })} />
        ) : (
          <button type="button" class="quiet" title={words.create.seedsHelp} onClick={() => (isList.value = true)}>
            <Icon name="list" />
            {words.create.seeds}
          </button>
        )}
      </div>
      <Fault name="seeds" />
    </fieldset>
  )
}
