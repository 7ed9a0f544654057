/** The faults of the form: the farm's words and the page's own, by field. */
import { signal } from '@preact/signals'
import type { Problem } from '../api/client'
import { deadlineOf, draft, seedsOf } from './draft'
import { farm } from '../api/facts'
import { faultOf } from './fields'
import { model, specs } from './specs'
import { words } from '../words'

export const faults = signal<Readonly<Record<string, string>>>({})

/** The refusal of the request as a whole, and until when the farm asks to wait (ms since the epoch). */
export const refusal = signal<{ text: string; until: number | null } | null>(null)

/** Check the draft as far as the page knows the rules. Returns whether it may be sent. */
export function check(): boolean {
  const { prompt, values, image, end, keyframes, seeds } = draft.value
  const found = Object.fromEntries(Object.entries(faults.value).filter(([, said]) => said === words.create.noJson)) // the draft has no such text
  const prompts = { ...values, prompt }
  for (const [name, value] of Object.entries(prompts)) {
    const spec = specs.value.get(name)
    const fault = spec && faultOf(spec, value)
    if (fault) found[name] = fault
  }
  const deadline = deadlineOf(values)
  if (deadline !== undefined && !(deadline > 0)) found['deadline'] = words.create.deadlineWrong
  if (!prompt.trim()) found['prompt'] = words.create.promptMissing
  const supports = model.value?.supports
  if (supports && !image && !supports.text_only) found['input_reference'] = words.create.imageMissing
  if (supports && end && !supports.end_image) found['end_image'] = words.create.noEnd
  if (supports && keyframes.length > 0 && !supports.keyframes) found['keyframes'] = words.create.noKeyframes
  if (seedsOf(seeds) === null || (seedsOf(seeds)?.length ?? 0) > (farm.value?.limits.variants ?? Infinity)) found['seeds'] = words.create.seedsWrong(farm.value?.limits.variants ?? 16)
  faults.value = found
  return Object.keys(found).length === 0
}

/** Take the farm's refusal: its words stand at the fields that it names, and the whole on top. */
export function take(problem: Problem): void {
  faults.value = Object.fromEntries(problem.errors.map(({ field, message }) => [placeOf(field), message]))
  refusal.value = { text: problem.message, until: problem.retryAfterS === null ? null : Date.now() + problem.retryAfterS * 1000 }
}

/** The field of the form that shows what the farm calls `field`. */
const placeOf = (field: string): string => (field === 'metadata.deadline_s' ? 'deadline' : field.split('.')[0]!)
