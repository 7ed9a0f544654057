/** The request that a person writes. One signal holds it; keep.ts keeps it in the browser. */
import { computed, signal } from '@preact/signals'
import { farm } from '../api/facts'
import type { Value } from './fields'

export interface Picture {
  blob: Blob
  name: string
  width: number
  height: number
}

export interface Keyframe {
  at_s: number
  picture: Picture
}

export interface Draft {
  prompt: string
  /** The fields that differ from the farm's defaults, by the API's names. */
  values: Readonly<Record<string, Value>>
  /** A built-in preset, which the farm fills in. */
  preset: string | null
  image: Picture | null
  end: Picture | null
  keyframes: readonly Keyframe[]
  /** How many videos, or their seeds as a person types them: "1, 2, 30". */
  variants: number
  seeds: string
}

export const NEW: Draft = { prompt: '', values: {}, preset: null, image: null, end: null, keyframes: [], variants: 1, seeds: '' }

export const draft = signal<Draft>(NEW)

/** Whether a draft holds nothing, be it the first one or one that was emptied by hand. */
export const isEmpty = (from: Draft): boolean => JSON.stringify({ ...NEW, ...from }) === JSON.stringify(NEW)

export const change = (part: Partial<Draft>): void => {
  draft.value = { ...draft.value, ...part }
}

/** Set a field, or put it back to the farm's default with null. */
export function set(name: string, value: Value | null): void {
  const { [name]: _, ...rest } = draft.value.values
  change({ values: value === null ? rest : { ...rest, [name]: value } })
}

/** Seconds within which the video is needed; the API carries them in `metadata`. NaN: what was typed is no number. */
export const deadlineOf = (values: Draft['values']): number | undefined => {
  const { deadline_s: found } = (values['metadata'] ?? {}) as Record<string, unknown>
  return found === undefined ? undefined : Number(found)
}

export function setDeadline(seconds: number | null): void {
  const { deadline_s: _, ...others } = (draft.value.values['metadata'] ?? {}) as Record<string, unknown>
  const next = seconds === null ? others : { ...others, deadline_s: seconds }
  set('metadata', Object.keys(next).length > 0 ? next : null)
}

/** The part of a draft that an own preset keeps: its fields, and the built-in preset that fills in others. */
export const presetOf = ({ preset, values }: Draft): Record<string, Value> => ({ ...values, ...(preset !== null && { preset }) })

/** Take an own preset's fields into the form. Its prompt, if it has one, takes the place of the form's. */
export function fill({ prompt, preset, ...values }: Readonly<Record<string, Value>>): void {
  change({ preset: typeof preset === 'string' ? preset : null, values, ...(typeof prompt === 'string' && { prompt }) })
}

export const windowSize = computed(() => Math.max(1, numberOf(draft.value, 'latent_window_size', 9)))
/** The length that the form draws: a longer one is refused, and has more sections than a browser can draw. */
export const seconds = computed(() => Math.min(numberOf(draft.value, 'seconds', 5), farm.value?.limits.seconds.max ?? 600))

const numberOf = (from: Draft, name: string, standard: number): number => {
  const value = from.values[name]
  return typeof value === 'number' && Number.isFinite(value) ? value : standard
}

/** The seeds that a person typed, or null where the text holds anything but whole numbers. */
export function seedsOf(text: string): number[] | null {
  const words = text.split(/[\s,;]+/).filter(Boolean)
  return words.every((word) => /^\d{1,18}$/.test(word)) ? words.map(Number) : null
}

/** The fields of a draft as the API takes them; without files. */
export function fieldsOf(from: Draft): Record<string, Value> {
  const seeds = seedsOf(from.seeds) ?? []
  const { seed, ...values } = from.values
  return {
    prompt: from.prompt,
    ...presetOf({ ...from, values }),
    ...(seeds.length > 0 ? { seeds } : { ...(seed !== undefined && { seed }), ...(from.variants > 1 && { n: from.variants }) }),
    ...(from.keyframes.length > 0 && { keyframes: from.keyframes.map(({ at_s }, at) => ({ at_s, image: `keyframe_${at}` })) }),
  }
}

/** A draft as the form that POST /v1/videos takes. */
export function formOf(from: Draft): FormData {
  const form = new FormData()
  for (const [name, value] of Object.entries(fieldsOf(from))) form.set(name, typeof value === 'object' ? JSON.stringify(value) : String(value))
  if (from.image) form.set('input_reference', from.image.blob, from.image.name)
  if (from.end) form.set('end_image', from.end.blob, from.end.name)
  from.keyframes.forEach(({ picture }, at) => form.set(`keyframe_${at}`, picture.blob, picture.name))
  return form
}
