/** The timeline: a cell a section from left to right, prompts as blocks, pictures at their time. Borders snap to sections. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useMemo, useRef } from 'preact/hooks'
import { isForward } from '../api/facts'
import { IconButton } from '../parts/button'
import { Icon } from '../parts/icon'
import { NumberBox } from '../parts/number-box'
import { words } from '../words'
import { Fault } from './choices'
import { change, draft, type Picture, set, windowSize } from './draft'
import { sections } from './estimate'
import { faults } from './faults'
import { secondsOf, sectionS } from './length'
import { filesOf, readPicture } from './picture'
import { model, specs } from './specs'
import { blocks, borderOf, freeBorders, movePrompt, split, type TimedPrompt, within } from './timeline'

export function Timeline() {
  const [count, window] = [sections.value, windowSize.value]
  const prompts = (draft.value.values['prompts'] ?? []) as TimedPrompt[]
  const supports = model.value?.supports
  const put = (next: readonly TimedPrompt[]): void => set('prompts', next.length > 0 ? next : null)
  const free = freeBorders(prompts, count, window)
  const cut = prompts.length - within(prompts, count, window).length
  return (
    <section class="timeline card" aria-label={words.timeline.title}>
      <div class="row">
        <h2>{words.timeline.title}</h2>
        {model.value && !isForward(model.value.id) && count > 1 && <span class="small soft end">{words.timeline.endFirst}</span>}
      </div>
      <Ruler count={count} window={window} />
      <Pictures count={count} window={window} isPossible={supports?.keyframes ?? true} />
      <Prompts prompts={prompts} count={count} window={window} put={put} />
      {cut > 0 && <p class="note warn">{words.timeline.cut(cut)}</p>}
      <div class="row">
        <button type="button" disabled={free.length === 0} onClick={() => put([...prompts, { at_s: secondsOf(free[0]!, window), text: '' }].sort((a, b) => a.at_s - b.at_s))}>
          <Icon name="plus" />
          {words.timeline.addPrompt}
        </button>
        <PickPicture field="keyframes" text={words.timeline.addKeyframe} isPossible={supports?.keyframes ?? true} onPick={(picture) => addKeyframe(picture, secondsOf(freeBorders(draft.value.keyframes, count, window)[0] ?? 0, window))} />
        <PickPicture field="end_image" text={draft.value.end ? words.timeline.replaceEnd : words.timeline.addEnd} isPossible={(supports?.end_image ?? true) && !draft.value.values['loop']} onPick={(end) => change({ end })} />
        <label class="row">
          <input type="checkbox" disabled={supports?.loop === false && !draft.value.values['loop']} checked={Boolean(draft.value.values['loop'])} aria-invalid={'loop' in faults.value} aria-describedby="loop-fault" onChange={(event) => set('loop', event.currentTarget.checked || null)} />
          {words.timeline.loop}
        </label>
        <Fade isUseful={prompts.length > 0} />
      </div>
      {supports && !supports.keyframes && <p class="small soft">{words.timeline.notHere(model.value!.id)}</p>}
      <Fault name="prompts" />
      <Fault name="keyframes" />
      <Fault name="end_image" />
      <Fault name="loop" />
    </section>
  )
}

const FADE = 'prompt_fade_sections'

/** Over how many sections one prompt becomes the next. Without a later prompt it shows what is set, until one has emptied and left it. */
function Fade({ isUseful }: { isUseful: boolean }) {
  const isTyping = useSignal(false)
  const spec = specs.value.get(FADE)
  const value = draft.value.values[FADE]
  if (!isUseful && value === undefined && !isTyping.value) return null
  return (
    <div class="row end" onFocusIn={() => (isTyping.value = true)} onFocusOut={() => (isTyping.value = false)}>
      <label class="row">
        {words.timeline.fade}
        <NumberBox class="short" min={spec?.min ?? undefined} max={spec?.max ?? undefined} placeholder="0" number={typeof value === 'number' ? value : undefined} aria-invalid={FADE in faults.value} aria-describedby={`${FADE}-fault`} onNumber={(typed) => set(FADE, typed)} />
      </label>
      <Fault name={FADE} />
    </div>
  )
}

const addKeyframe = (picture: Picture, atS: number): void =>
  change({ keyframes: [...draft.value.keyframes, { at_s: atS, picture }].sort((a, b) => a.at_s - b.at_s) })

function Ruler({ count, window }: { count: number; window: number }) {
  const every = Math.ceil(count / 12)
  return (
    <div class="ruler small soft number" aria-hidden="true">
      {Array.from({ length: Math.floor(count / every) + 1 }, (_, k) => k * every).map((border) => (
        <span key={border} style={{ left: `${(border / count) * 100}%` }}>
          {(border * sectionS(window)).toFixed(1)}
        </span>
      ))}
    </div>
  )
}

/** Keyframes and the end image at their time. A picture dropped here becomes a keyframe where it fell. */
function Pictures({ count, window, isPossible }: { count: number; window: number; isPossible: boolean }) {
  const track = useRef<HTMLDivElement>(null)
  const { image, end, keyframes, values } = draft.value
  const drop = async (event: DragEvent): Promise<void> => {
    event.preventDefault()
    const [file] = filesOf(event.dataTransfer)
    if (file) await pick(file, 'keyframes', (picture) => addKeyframe(picture, secondsOf(Math.min(borderAt(track.current!, event.clientX, count), count - 1), window)))
  }
  const last = values['loop'] ? image : end
  return (
    <div ref={track} class={`track pictures ${isPossible ? '' : 'off'}`} onDragOver={(event) => event.preventDefault()} onDrop={(event) => isPossible && void drop(event)}>
      {image && <Thumb picture={image} at={0} name={words.create.image} />}
      {keyframes.map((keyframe, k) => (
        <Thumb key={k} picture={keyframe.picture} at={keyframe.at_s / (count * sectionS(window))} name={words.timeline.keyframe(keyframe.at_s)}>
          <Mover
            name={words.timeline.keyframe(keyframe.at_s)}
            border={borderOf(keyframe.at_s, window)}
            least={0}
            count={count}
            track={track}
            onMove={(border) => change({ keyframes: keyframes.map((old, at) => (at === k ? { ...old, at_s: secondsOf(Math.min(border, count - 1), window) } : old)) })}
          />
          <IconButton icon="x" name={words.timeline.remove(words.timeline.keyframe(keyframe.at_s))} onClick={() => change({ keyframes: keyframes.filter((_, at) => at !== k) })} />
        </Thumb>
      ))}
      {last && (
        <Thumb picture={last} at={1} name={words.timeline.endImage}>
          {!values['loop'] && <IconButton icon="x" name={words.timeline.remove(words.timeline.endImage)} onClick={() => change({ end: null })} />}
        </Thumb>
      )}
    </div>
  )
}

function Thumb({ picture, at, name, children }: { picture: Picture; at: number; name: string; children?: ComponentChildren }) {
  const address = useMemo(() => URL.createObjectURL(picture.blob), [picture.blob])
  useEffect(() => () => URL.revokeObjectURL(address), [address])
  return (
    <span class="thumb" style={{ left: `${Math.min(at, 1) * 100}%`, transform: `translateX(-${Math.min(at, 1) * 100}%)` }}>
      <img src={address} alt={name} width="48" height="48" />
      {children}
    </span>
  )
}

/** The prompts as blocks, and below them as rows with their text. */
function Prompts({ prompts, count, window, put }: { prompts: TimedPrompt[]; count: number; window: number; put: (next: readonly TimedPrompt[]) => void }) {
  const track = useRef<HTMLDivElement>(null)
  const textOf = (at: number | null): string => (at === null ? draft.value.prompt : prompts[at]!.text)
  return (
    <>
      <div ref={track} class="track prompts">
        {blocks(prompts, count, window).map(({ from, to, at }) => (
          <span key={at ?? 'first'} class="block" style={{ left: `${(from / count) * 100}%`, width: `${((to - from) / count) * 100}%` }}>
            {at !== null && <Mover name={words.timeline.begins(at + 2)} border={from} least={1} count={count} track={track} onMove={(border) => put(movePrompt(prompts, at, border, count, window))} />}
            <span class="text">{textOf(at) || '…'}</span>
            {to - from > 1 && <IconButton icon="split" name={words.timeline.split(at === null ? 1 : at + 2)} onClick={() => put(split(prompts, { from, to }, textOf(at), window))} />}
          </span>
        ))}
      </div>
      <ul class="column timed">
        {prompts.map((prompt, k) => (
          <li key={k} class="row">
            <label class="row">
              <span class="small soft">{words.timeline.from}</span>
              <select aria-label={words.timeline.begins(k + 2)} value={borderOf(prompt.at_s, window)} onChange={(event) => put(movePrompt(prompts, k, Number(event.currentTarget.value), count, window))}>
                {Array.from({ length: Math.max(count - 1, borderOf(prompt.at_s, window)) }, (_, at) => at + 1).map((border) => (
                  <option key={border} value={border}>
                    {secondsOf(border, window).toFixed(1)} s
                  </option>
                ))}
              </select>
            </label>
            <input class="grow" aria-label={words.timeline.text(k + 2)} placeholder={words.create.whatHappens} value={prompt.text} aria-invalid={'prompts' in faults.value && (!prompt.text || prompts.every(({ text }) => text))} aria-describedby="prompts-fault" onInput={(event) => put(prompts.map((old, at) => (at === k ? { ...old, text: event.currentTarget.value } : old)))} />
            <IconButton icon="x" name={words.timeline.remove(words.timeline.text(k + 2))} onClick={() => put(prompts.filter((_, at) => at !== k))} />
          </li>
        ))}
      </ul>
    </>
  )
}

/** A handle that is dragged, or moved by the arrow keys, from border to border. */
function Mover({ name, border, least, count, track, onMove }: { name: string; border: number; least: number; count: number; track: { current: HTMLElement | null }; onMove: (border: number) => void }) {
  const isHeld = useSignal(false)
  const keys: Record<string, number> = { ArrowLeft: border - 1, ArrowRight: border + 1, Home: least, End: count }
  return (
    <span
      role="slider"
      tabIndex={0}
      class="mover"
      aria-label={name}
      aria-valuemin={least}
      aria-valuemax={count}
      aria-valuenow={border}
      onKeyDown={(event) => {
        const next = keys[event.key]
        if (next === undefined) return
        event.preventDefault()
        onMove(Math.max(least, next))
      }}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId)
        isHeld.value = true
      }}
      onPointerMove={(event) => isHeld.value && onMove(Math.max(least, borderAt(track.current!, event.clientX, count)))}
      onPointerUp={() => (isHeld.value = false)}
      onPointerCancel={() => (isHeld.value = false)}
    />
  )
}

function borderAt(track: HTMLElement, clientX: number, count: number): number {
  const { left, width } = track.getBoundingClientRect()
  return Math.round(Math.min(1, Math.max(0, (clientX - left) / width)) * count)
}

type PictureFault = 'keyframes' | 'end_image'

function PickPicture({ field, text, isPossible, onPick }: { field: PictureFault; text: string; isPossible: boolean; onPick: (picture: Picture) => void }) {
  return (
    <label class={`button ${isPossible ? '' : 'off'}`}>
      <Icon name="image" />
      {text}
      <input
        class="unseen"
        type="file"
        accept="image/*"
        disabled={!isPossible}
        aria-invalid={field in faults.value}
        aria-describedby={`${field}-fault`}
        onChange={(event) => {
          const [file] = Array.from(event.currentTarget.files ?? [])
          event.currentTarget.value = ''
          if (file) void pick(file, field, onPick)
        }}
      />
    </label>
  )
}

async function pick(file: File, field: PictureFault, onPick: (picture: Picture) => void): Promise<void> {
  const { [field]: _, ...others } = faults.value
  try {
    onPick(await readPicture(file, file.name))
    faults.value = others
  } catch (error) {
    faults.value = { ...others, [field]: (error as Error).message }
  }
}
