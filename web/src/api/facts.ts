/** The farm's facts that the page needs: models, presets, LoRAs and limits. Asked once a page. */
import { type Signal, signal } from '@preact/signals'
import { call } from './client'
import type { Page } from './objects'

export interface Farm {
  version: string
  me: { owner: string; operator: boolean; signed_in_by: 'key' | 'session' | 'machine' | null }
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

/** Ask for everything, once. The form needs the farm's answer alone; the other signals fill as their answers come. */
export function learnFarm(): Promise<Farm> {
  asked ??= ask().catch((error: unknown) => {
    asked = null
    throw error
  })
  return asked
}

async function ask(): Promise<Farm> {
  void list('/v1/models', models).catch(() => undefined) // refused: the farm's answer below says why, too
  return (farm.value = await call<Farm>('/v1/farm'))
}

async function list<T>(path: string, into: Signal<readonly T[]>): Promise<void> {
  into.value = (await call<Page<T>>(path)).data
}

export const learnPresets = (): Promise<void> => list('/v1/presets', presets)
export const learnLoras = (): Promise<void> => list('/v1/loras', loras)
