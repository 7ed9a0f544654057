/** The fields of a request as the farm's OpenAPI document describes them: kind, limits, default and help. Pure. */
import { words } from '../words'

interface Schema {
  type?: string
  format?: string
  description?: string
  default?: unknown
  enum?: string[]
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  minLength?: number
  maxLength?: number
  multipleOf?: number
  anyOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
}

type Kind = 'text' | 'number' | 'whole' | 'switch' | 'choice' | 'json' | 'secret' | 'file'
export type Value = string | number | boolean | object

export interface FieldSpec {
  name: string
  kind: Kind
  help: string
  /** The farm's value if the field is left out; null: the farm decides. */
  standard: Value | null
  choices: readonly string[]
  min: number | null
  max: number | null
  step: number | null
  maxLength: number | null
}

/** Read the fields of POST /v1/videos from an OpenAPI document. */
export function readFields(document: object): FieldSpec[] {
  const post = (document as OpenApi).paths['/v1/videos']!.post!
  const form = post.requestBody.content['multipart/form-data'].schema
  return Object.entries(form.properties ?? {}).map(([name, schema]) => readField(name, schema))
}

interface OpenApi {
  paths: Record<string, { post?: { requestBody: { content: Record<'multipart/form-data', { schema: Schema }> } } }>
}

function readField(name: string, schema: Schema): FieldSpec {
  const inner: Schema = { ...schema, ...schema.anyOf?.find((option) => option.type !== 'null') }
  return {
    name,
    kind: kindOf(inner),
    help: schema.description ?? '',
    standard: (schema.default as Value | null | undefined) ?? null,
    choices: inner.enum ?? [],
    min: inner.minimum ?? inner.exclusiveMinimum ?? null,
    max: inner.maximum ?? null,
    step: inner.multipleOf ?? null,
    maxLength: inner.maxLength ?? null,
  }
}

function kindOf(schema: Schema): Kind {
  if (schema.enum) return 'choice'
  if (schema.format === 'binary') return 'file'
  if (schema.format === 'password') return 'secret'
  if (schema.type === 'boolean') return 'switch'
  if (schema.type === 'integer') return 'whole'
  if (schema.type === 'number') return 'number'
  return schema.type === 'array' || schema.type === 'object' ? 'json' : 'text'
}

/** Return the page's name for a field. Without one, it comes from the API's name: "new_field" is "New field". */
export const labelOf = (name: string): string => words.fields[name] ?? name[0]!.toUpperCase() + name.slice(1).replaceAll('_', ' ')

/** Say what a field is for: in the page's words, or in the farm's as a sentence. */
export const helpOf = ({ name, help }: FieldSpec): string => words.help[name] ?? (help && `${help[0]!.toUpperCase()}${help.slice(1)}.`)

/** Count a text's characters as the farm does: an emoji is one, where `length` says two. */
export const characters = (text: string): number => Array.from(text).length

/** Why the farm would refuse this value, in its own words; null where the page sees no reason. */
export function faultOf(spec: FieldSpec, value: Value): string | null {
  if (spec.kind === 'number' || spec.kind === 'whole') return numberFault(spec, value)
  if (typeof value === 'string' && spec.maxLength !== null && characters(value) > spec.maxLength) return `need at most ${spec.maxLength} characters`
  return null
}

function numberFault(spec: FieldSpec, value: Value): string | null {
  if (typeof value !== 'number' || Number.isNaN(value)) return 'need a number'
  if (spec.kind === 'whole' && !Number.isInteger(value)) return 'need a whole number'
  if (spec.min !== null && value < spec.min) return `need at least ${spec.min}`
  if (spec.max !== null && value > spec.max) return `need at most ${spec.max}`
  return null
}
