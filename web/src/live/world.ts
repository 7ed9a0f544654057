/** The page's knowledge of the farm, and how an event changes it. Pure. Each event is the whole state of its subject. */
import { isOpen, type Stage, type Video, type Worker } from '../api/objects'

interface Hello {
  owner: string
  operator: boolean
  version: string
  counts: Record<string, number>
}

interface FarmState {
  dispatcher: string
  store: string
}

/** How far a running video is, and the newest look at the section in hand. */
export interface Progress {
  id: string
  stage: Stage | null
  section: number | null
  sections_done: number
  sections_total: number
  step: number | null
  steps: number | null
  eta_s: number | null
  waiting_for: string | null
  progress: number
}

interface Preview {
  id: string
  section: number
  step: number
  etag: string
}

/** Worker objects of the stream also tell how far their order is. */
export interface BusyWorker extends Worker {
  stage?: Stage | null
  progress?: number | null
}

export type FarmEvent =
  | { kind: 'hello'; data: Hello }
  | { kind: 'reset'; data: object }
  | { kind: 'video'; data: Video }
  | { kind: 'progress'; data: Progress }
  | { kind: 'queue'; data: { ids: readonly string[]; positions: readonly number[] } }
  | { kind: 'gone'; data: { id: string; object: 'video' | 'worker' } }
  | { kind: 'worker'; data: BusyWorker }
  | { kind: 'farm'; data: FarmState }
  | { kind: 'preview'; data: Preview }

export interface World {
  hello: Hello | null
  farm: FarmState
  videos: ReadonlyMap<string, Video>
  /** Videos that wait to begin, in order. */
  queue: readonly string[]
  workers: ReadonlyMap<string, BusyWorker>
  previews: ReadonlyMap<string, Preview>
}

export const EMPTY: World = {
  hello: null,
  farm: { dispatcher: 'ok', store: 'ok' },
  videos: new Map(),
  queue: [],
  workers: new Map(),
  previews: new Map(),
}

/** Return the world after an event. Unchanged parts stay the same objects. */
export function apply(world: World, event: FarmEvent): World {
  switch (event.kind) {
    case 'hello': // workers follow one by one; those that left meanwhile are not named again
      return { ...world, hello: event.data, workers: new Map() }
    case 'reset':
      return { ...world, queue: [], previews: new Map() }
    case 'video':
      return withVideo(world, event.data)
    case 'progress':
      return withProgress(world, event.data)
    case 'queue':
      return withQueue(world, event.data.ids, event.data.positions)
    case 'gone':
      return event.data.object === 'worker'
        ? { ...world, workers: without(world.workers, event.data.id) }
        : { ...world, videos: without(world.videos, event.data.id), previews: without(world.previews, event.data.id) }
    case 'worker':
      return { ...world, workers: new Map(world.workers).set(event.data.id, event.data) }
    case 'farm':
      return { ...world, farm: event.data }
    case 'preview':
      return { ...world, previews: new Map(world.previews).set(event.data.id, event.data) }
  }
}

/** Put in videos that a list or a call answered. told: ids of which events told meanwhile; these know all but the request better. */
export function listed(world: World, videos: readonly Video[], told: ReadonlySet<string> = new Set()): World {
  const known = new Map(world.videos)
  for (const video of videos) {
    const now = world.videos.get(video.id)
    if (!told.has(video.id)) known.set(video.id, merged(now, video))
    else if (now) known.set(video.id, merged(video, { ...now, ...(video.request && { request: video.request }) }))
  }
  return { ...world, videos: known }
}

/** The open videos that a list of all open ones does not name: how they ended is to be asked. */
export function unnamed(world: World, found: readonly Video[]): string[] {
  const named = new Set(found.map((video) => video.id))
  return [...world.videos.values()].filter((video) => isOpen(video) && !named.has(video.id)).map((video) => video.id)
}

/** Events carry no `request`, and lists no `section` and `steps`: what was told of them stays, but for what the video says now. */
function merged(old: Video | undefined, video: Video): Video {
  if (!old) return video
  const runsOn = old.status === 'in_progress' && video.status === 'in_progress'
  const inHand = runsOn ? { section: old.section, steps: old.steps } : {}
  const request = video.request ?? old.request
  return { ...inHand, ...video, ...(request && { request: { ...request, prompt: video.prompt, name: video.name } }) }
}

const withVideo = (world: World, video: Video): World => ({
  ...world,
  videos: new Map(world.videos).set(video.id, merged(world.videos.get(video.id), video)),
  previews: isOpen(video) ? world.previews : without(world.previews, video.id),
})

function withProgress(world: World, { id, ...progress }: Progress): World {
  const video = world.videos.get(id)
  return video ? { ...world, videos: new Map(world.videos).set(id, { ...video, ...progress }) } : world
}

function withQueue(world: World, ids: readonly string[], positions: readonly number[]): World {
  const videos = new Map(world.videos)
  ids.forEach((id, at) => {
    const [video, place] = [videos.get(id), positions[at] ?? null]
    if (video && video.queue_position !== place) videos.set(id, { ...video, queue_position: place })
  })
  return { ...world, queue: ids, videos }
}

function without<T>(map: ReadonlyMap<string, T>, id: string): ReadonlyMap<string, T> {
  if (!map.has(id)) return map
  const left = new Map(map)
  left.delete(id)
  return left
}

/** The videos that wait to begin in the order in which they will, then those that the queue does not name yet. */
export function waiting(world: World): Video[] {
  const place = new Map(world.queue.map((id, at) => [id, at]))
  const at = (video: Video): number => place.get(video.id) ?? world.queue.length + video.created_at
  return [...world.videos.values()].filter((video) => video.status === 'queued').sort((a, b) => at(a) - at(b))
}

export const withStatus = (world: World, status: Video['status']): Video[] =>
  [...world.videos.values()].filter((video) => video.status === status).sort((a, b) => a.created_at - b.created_at)
