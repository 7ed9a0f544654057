/** What the page must know of the farm: models, presets, LoRAs and limits. Asked once a page. */
import { signal } from '@preact/signals'
import { call } from './client'
import type { Page } from './objects'

export interface Farm {
  version: string
  me: { owner: string; operator: boolean; signed_in_by: 'key' | 'session' | null }
  model: string
  render: { can: boolean | null; waiting_for: string | null }
  limits: {
    upload_mb: number
    pixels: number
    image_side_px: number
    image_formats: string[]
    open_videos: { now: number | null; most: number | null }
    variants: number
    seconds: { min: number; max: number; default: number }
    window: { min: number; max: number; default: number }
  }
  prompting: { guide: string[]; samples: string[] }
}

export interface Model {
  id: string
  default: boolean
  supports: { end_image: boolean; keyframes: boolean; loop: boolean; text_only: boolean; extend: boolean }
  buckets: string[]
  weights: { here: boolean; missing_bytes: number | null }
}

export interface Preset {
  name: string
  built_in: boolean
  start: boolean
  fields: Record<string, string | number | boolean | object>
  prompt: string | null
}

export interface Lora {
  name: string
  bytes: number
  trigger_words: string[]
  note: string | null
  preview: { etag: string } | null
  models: string[]
  fault: string | null
}

export const farm = signal<Farm | null>(null)
export const models = signal<readonly Model[]>([])
export const presets = signal<readonly Preset[]>([])
export const loras = signal<readonly Lora[]>([])

/** Whether a model makes the start of a video first (F1); the others make the end first. */
export const isForward = (id: string): boolean => models.value.find((model) => model.id === id)?.supports.extend ?? false

let asked: Promise<Farm> | null = null

/** Ask for everything, once; each signal fills as its answer comes. */
export function learnFarm(): Promise<Farm> {
  asked ??= ask().catch((error: unknown) => {
    asked = null
    throw error
  })
  return asked
}

async function ask(): Promise<Farm> {
  const rest = Promise.all([
    call<Page<Model>>('/v1/models').then((page) => (models.value = page.data)),
    call<Page<Lora>>('/v1/loras').then((page) => (loras.value = page.data)),
    learnPresets(),
  ])
  farm.value = await call<Farm>('/v1/farm')
  await rest
  return farm.value
}

export async function learnPresets(): Promise<void> {
  presets.value = (await call<Page<Preset>>('/v1/presets')).data
}
