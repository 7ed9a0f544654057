/** Select the videos that the library shows, and fetch more. */
import { signal } from '@preact/signals'
import { call, Problem } from '../api/client'
import { isOpen, isStarred, type Page, title, type Video } from '../api/objects'
import { learn, world } from '../live/store'

export interface Wish {
  text: string
  kind: 'all' | 'starred' | 'failed'
  model: string
  length: '' | 'short' | 'middle' | 'long'
  order: 'desc' | 'asc'
}

export const ALL: Wish = { text: '', kind: 'all', model: '', length: '', order: 'desc' }
const KINDS: readonly Wish['kind'][] = ['all', 'starred', 'failed']

/** The wish that the library's address names. An unknown part counts as not named. */
export function wishOf(query: URLSearchParams): Wish {
  const of = <T extends string>(name: string, known: readonly T[], standard: T): T => known.find((one) => one === query.get(name)) ?? standard
  return {
    text: query.get('q') ?? '',
    kind: of('show', KINDS, ALL.kind),
    model: query.get('model') ?? '',
    length: of('length', Object.keys(LENGTHS) as Wish['length'][], ALL.length),
    order: of('order', ['desc', 'asc'], ALL.order),
  }
}

/** The library's address with a wish in it. */
export function addressOf(wish: Wish): string {
  const query = new URLSearchParams()
  const named = { q: wish.text, show: wish.kind === 'all' ? '' : wish.kind, model: wish.model, length: wish.length, order: wish.order === 'desc' ? '' : wish.order }
  for (const [name, value] of Object.entries(named)) if (value) query.set(name, value)
  return `/ui/library${query.size ? `?${query}` : ''}`
}

const LENGTHS: Record<Wish['length'], [number, number]> = { '': [0, Infinity], short: [0, 3], middle: [3, 10], long: [10, Infinity] }
const ENOUGH = 24

export function fits(video: Video, wish: Wish): boolean {
  const [least, below] = LENGTHS[wish.length]
  const text = wish.text.trim().toLowerCase()
  return (
    !isOpen(video) &&
    (wish.kind !== 'starred' || isStarred(video)) &&
    (wish.kind !== 'failed' || video.status === 'failed') &&
    (!wish.model || video.model === wish.model) &&
    Number(video.seconds) >= least &&
    Number(video.seconds) < below &&
    (!text || title(video).toLowerCase().includes(text) || video.prompt.toLowerCase().includes(text))
  )
}

/** The videos that fit, in order, down to where the farm's list was read: beyond it some are unknown. */
export function wall(videos: Iterable<Video>, wish: Wish, read: Reading): Video[] {
  const sign = wish.order === 'desc' ? -1 : 1
  const isRead = (video: Video): boolean => !read.hasMore || sign * (video.created_at - read.until) <= 0
  return [...videos].filter((video) => fits(video, wish) && isRead(video)).sort((a, b) => sign * (a.created_at - b.created_at || a.id.localeCompare(b.id)))
}

/** How far the farm's list was read. */
export interface Reading {
  after: string | null
  until: number
  hasMore: boolean
  isBusy: boolean
  /** Why the list could not be read. */
  fault: string
}

const nothing = (wish: Wish): Reading => ({ after: null, until: wish.order === 'desc' ? Infinity : -Infinity, hasMore: true, isBusy: false, fault: '' })

export const reading = signal<Reading>(nothing(ALL))
let stop = new AbortController()

/** Begin the list that a wish asks for. */
export function begin(wish: Wish): void {
  stop.abort()
  stop = new AbortController()
  reading.value = nothing(wish)
  void readMore(wish)
}

/** Read on until there is something more to show. */
export async function readMore(wish: Wish): Promise<void> {
  if (reading.value.isBusy || !reading.value.hasMore) return
  const mine = stop.signal
  reading.value = { ...reading.value, isBusy: true, fault: '' }
  try {
    for (let found = 0; found < ENOUGH && reading.value.hasMore; ) {
      const page = await learn(call<Page<Video>>(`/v1/videos?${query(wish, reading.value.after)}`, { signal: mine }))
      found += page.data.filter((video) => fits(world.value.videos.get(video.id) ?? video, wish)).length
      const last = page.data.at(-1)
      reading.value = { ...reading.value, after: page.last_id, until: last?.created_at ?? reading.value.until, hasMore: page.has_more }
    }
  } catch (error) {
    if (mine.aborted) return
    if (!(error instanceof Problem)) throw error
    reading.value = { ...reading.value, fault: error.message }
  }
  if (!mine.aborted) reading.value = { ...reading.value, isBusy: false }
}

function query(wish: Wish, after: string | null): URLSearchParams {
  const asked = new URLSearchParams({ limit: '100', order: wish.order })
  if (after) asked.set('after', after)
  if (wish.kind === 'failed') asked.set('status', 'failed')
  if (wish.kind === 'starred') asked.set('starred', 'true')
  if (wish.text.trim()) asked.set('q', wish.text.trim())
  return asked
}
