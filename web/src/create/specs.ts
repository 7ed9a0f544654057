/** The request's fields as the farm describes them, and the model that the draft would use. */
import { computed, signal } from '@preact/signals'
import { call } from '../api/client'
import { farm, models, presets } from '../api/facts'
import { draft } from './draft'
import { type FieldSpec, readFields, type Value } from './fields'

export const specs = signal<ReadonlyMap<string, FieldSpec>>(new Map())

export async function learnFields(): Promise<void> {
  if (specs.value.size === 0) specs.value = new Map(readFields(await call<object>('/openapi.json')).map((spec) => [spec.name, spec]))
}

/** The values that the draft's built-in preset gives to the fields that the draft leaves out. */
export const presetValues = computed<Readonly<Record<string, Value>>>(() => presets.value.find(({ name }) => name === draft.value.preset)?.fields ?? {})

/** What a field is if the draft leaves it out: the preset's value, or the farm's. */
export const standardOf = ({ name, standard }: FieldSpec): Value | null => presetValues.value[name] ?? standard

/** The model that the draft names, or the farm's default. */
export const model = computed(() => {
  const named = draft.value.values['model'] ?? farm.value?.model
  return models.value.find((found) => found.id === named) ?? null
})
