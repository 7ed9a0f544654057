/** LoRAs with picture, note, trigger words and a weight. */
import { IconButton } from '../parts/button'
import { NumberBox } from '../parts/number-box'
import { words } from '../words'
import { Fault } from './choices'
import { change, draft, set } from './draft'
import { type Lora, loras } from '../api/facts'
import { model } from './specs'

interface Use {
  name: string
  weight: number
}

const STRONGEST = 2 //: the slider's ends; the number beside it takes all that the farm takes

export function Loras() {
  const uses = (draft.value.values['loras'] ?? []) as Use[]
  const put = (next: Use[]): void => set('loras', next.length > 0 ? next : null)
  const usable = loras.value.filter((lora) => lora.fault === null && (!model.value || lora.models.includes(model.value.id)))
  const free = usable.filter((lora) => !uses.some((use) => use.name === lora.name))
  if (loras.value.length === 0) return null
  return (
    <fieldset class="field loras">
      <legend>{words.create.loras}</legend>
      {uses.map((use, at) => (
        <OneLora key={use.name} use={use} lora={loras.value.find((lora) => lora.name === use.name)} onWeight={(weight) => put(uses.map((old, k) => (k === at ? { ...old, weight } : old)))} onRemove={() => put(uses.filter((_, k) => k !== at))} />
      ))}
      {free.length > 0 && (
        <select aria-label={words.create.addLora} value="" onChange={(event) => put([...uses, { name: event.currentTarget.value, weight: 1 }])}>
          <option value="">{words.create.addLora}</option>
          {free.map((lora) => (
            <option key={lora.name}>{lora.name}</option>
          ))}
        </select>
      )}
      <Fault name="loras" />
    </fieldset>
  )
}

function OneLora({ use, lora, onWeight, onRemove }: { use: Use; lora: Lora | undefined; onWeight: (weight: number) => void; onRemove: () => void }) {
  const weight = `${words.create.weight}: ${use.name}`
  return (
    <div class="lora card">
      {lora?.preview && <img src={`/v1/loras/${encodeURI(lora.name)}/preview?v=${lora.preview.etag}`} alt="" width="64" height="64" />}
      <div class="column">
        <div class="row">
          <strong>{use.name}</strong>
          <IconButton icon="x" name={words.create.removeLora(use.name)} class="end" onClick={onRemove} />
        </div>
        <div class="row">
          <input class="grow" type="range" min={0} max={STRONGEST} step={0.05} aria-label={weight} value={use.weight} onInput={(event) => onWeight(event.currentTarget.valueAsNumber)} />
          <NumberBox class="short" min={-4} max={4} step={0.05} aria-label={weight} number={use.weight} onNumber={(typed) => onWeight(typed || 0)} />
        </div>
        {lora?.note && <p class="small soft">{lora.note}</p>}
        {lora && lora.trigger_words.length > 0 && (
          <p class="row">
            {lora.trigger_words.map((word) => (
              <button type="button" class="chip" key={word} title={words.create.addToPrompt} onClick={() => change({ prompt: [draft.value.prompt, word].filter(Boolean).join(', ') })}>
                {word}
              </button>
            ))}
          </p>
        )}
      </div>
    </div>
  )
}
