/** The farm's objects as the page uses them. `schema.ts` is generated from the farm's OpenAPI document. */
import type { paths } from './schema'

type VideoFields = NonNullable<paths['/v1/videos']['post']['requestBody']>['content']['application/json']

export type Status = 'queued' | 'in_progress' | 'paused' | 'completed' | 'failed' | 'cancelled'
export type Stage = 'encode' | 'section' | 'decode' | 'finish'

export interface Picture {
  etag: string
  width: number
  height: number
}

/** A video object. Those of the event stream carry no `request`. */
export interface Video {
  id: string
  object: 'video'
  status: Status
  progress: number
  created_at: number
  completed_at: number | null
  expires_at: number | null
  model: string
  seconds: string
  size: string
  frames: number
  fps: number
  prompt: string
  seed: number
  remixed_from_video_id: string | null
  extends_video_id: string | null
  error: { code: string; message: string } | null
  name: string
  stage: Stage | null
  sections_done: number
  sections_total: number
  /** Frames that can be fetched: all of a complete video, else those of `partial`. */
  frames_ready: number
  /** The section in hand, in the order of making; only where the event stream told it. */
  section?: number | null
  step: number | null
  steps?: number | null
  eta_s: number | null
  waiting_for: string | null
  queue_position: number | null
  attempt: number
  worker: string | null
  gpu_seconds: number
  batch: { id: string; videos: string[] } | null
  poster?: Picture | null
  labels?: string[]
  request?: VideoFields
}

export interface Worker {
  id: string
  object: 'worker'
  node: string
  device: string
  vram_gib: number | null
  preserve_gb: number
  hours: string
  plan: string
  stages: Stage[]
  models: string[]
  state: 'idle' | 'busy' | 'paused' | 'draining' | 'drained'
  paused: 'operator' | 'hours' | null
  video: string | null
  order: string | null
  s_per_section: number | null
}

export interface Page<T> {
  object: 'list'
  data: T[]
  first_id: string | null
  last_id: string | null
  has_more: boolean
}

const OPEN: readonly Status[] = ['in_progress', 'queued', 'paused']

export const isOpen = (video: Video): boolean => OPEN.includes(video.status)

export const STARRED = 'starred'

export const isStarred = (video: Video): boolean => video.labels?.includes(STARRED) ?? false

/** The length that comes out, in seconds: whole sections, where `seconds` is what was asked for. */
export const lengthS = (video: Video): number => video.frames / video.fps

/** The name by which a person knows the video. */
export const title = (video: Video): string => video.name || video.prompt

/** The address of one of a video's files. A poster with its etag may be kept for a year. */
export function contentUrl(video: Pick<Video, 'id' | 'poster'>, variant: string, more: Record<string, string> = {}): string {
  const query = new URLSearchParams({ variant, ...more })
  if (variant === 'poster' && video.poster) query.set('v', video.poster.etag)
  return `/v1/videos/${video.id}/content?${query}`
}
