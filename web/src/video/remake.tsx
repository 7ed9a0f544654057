/** The strip of sections, and "Remake from here": keep some of them, and make the others again with another prompt. */
import { useSignal } from '@preact/signals'
import type { TargetedSubmitEvent } from 'preact'
import { useId } from 'preact/hooks'
import { isForward } from '../api/facts'
import { contentUrl, type Video } from '../api/objects'
import { Refused } from '../parts/refused'
import { Frames } from '../watch/frames'
import { words } from '../words'
import { useMake } from './make'
import { cellWords, isKept, sectionOf } from './sections'

export function Remake({ video }: { video: Video }) {
  const from = useSignal<number | null>(null)
  const { problem, busy, make } = useMake()
  const refusal = useId()
  const isPrompts = problem.value?.of('prompt') !== undefined
  const [sections, forward] = [video.sections_total, isForward(video.model)]
  const cells = Array.from({ length: sections }, (_, at) => at)
  const [width, height] = video.size.split('x')
  const send = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault()
    const prompt = `${new FormData(event.currentTarget).get('prompt')}`
    void make(`/v1/videos/${video.id}/remix`, { prompt, from_section: sectionOf(from.value!, sections, forward) })
  }
  return (
    <form class="card column remake" onSubmit={send}>
      <fieldset>
        <legend class="h2">{words.remake.title}</legend>
        <p class="small soft">{forward ? words.remake.forward : words.remake.inverted}</p>
        <div class="cells" style={{ gridTemplateColumns: `repeat(${sections}, minmax(72px, 200px))` }}>
          {cells.map((cell) => (
            <label key={cell} class={from.value === null ? '' : isKept(cell, from.value, forward) ? 'kept' : 'again'}>
              <input type="radio" name="from" class="unseen" checked={from.value === cell} onChange={() => (from.value = cell)} />
              <span class="look" style={{ aspectRatio: `${width} / ${height}` }}>
                <Frames src={contentUrl(video, 'preview', { section: `${sectionOf(cell, sections, forward)}` })} size={video.size} isPlaying={false} />
              </span>
              <span class="small number">
                {cell + 1}
                {from.value !== null && ` · ${isKept(cell, from.value, forward) ? words.remake.kept : words.remake.again}`}
              </span>
            </label>
          ))}
        </div>
      </fieldset>
      {from.value !== null && (
        <>
          <p>
            {words.remake.what(
              cellWords(cells.filter((cell) => !isKept(cell, from.value!, forward))),
              cells.some((cell) => isKept(cell, from.value!, forward)) ? cellWords(cells.filter((cell) => isKept(cell, from.value!, forward))) : null,
            )}
          </p>
          <label class="field">
            {words.remake.prompt}
            <textarea name="prompt" rows={2} required defaultValue={video.prompt} aria-invalid={isPrompts || undefined} aria-describedby={isPrompts ? refusal : undefined} />
          </label>
          <Refused id={refusal} why={problem.value?.message} />
          <div class="row">
            <button class="primary" disabled={busy.value}>{words.remake.act}</button>
            <button type="button" onClick={() => (from.value = null)}>
              {words.act.close}
            </button>
          </div>
        </>
      )}
    </form>
  )
}
