/** Feed the store from one event stream. A hidden tab lets its stream go, and looks once a minute for its title. */
import { effect } from '@preact/signals'
import { away, call, Problem, signedOut, sleep } from '../api/client'
import type { Page, Video } from '../api/objects'
import { each } from './actions'
import { isListed, learn, pageTitle, take, world } from './store'
import { type FarmEvent, unnamed } from './world'

const KINDS = ['hello', 'reset', 'video', 'progress', 'queue', 'gone', 'worker', 'farm', 'preview'] as const
const HIDDEN_S = 5 //: a browser has few connections for all of a farm's tabs
const TITLE_S = 50

/** Running videos that somebody looks into, and how many do; the stream opens again where they change. */
const looks = new Map<string, number>()
const MOST_LOOKS = 4

let followed = ''
let stream: EventSource | null = null
let timer: ReturnType<typeof setTimeout> | undefined

/** Begin to follow the farm, for as long as the page lives. */
export function startLive(): void {
  effect(() => void (document.title = pageTitle.value))
  effect(() => {
    if (signedOut.value) close()
    else open()
  })
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer)
    if (!document.hidden) open()
    else timer = setTimeout(rest, HIDDEN_S * 1000)
  })
  if (document.hidden) rest()
}

/** Ask for the live look into a video, until what is returned is called. The newest four are looked into. */
export function lookInto(id: string): () => void {
  const count = (change: number): void => {
    const now = (looks.get(id) ?? 0) + change
    if (now > 0) looks.set(id, now)
    else looks.delete(id)
    queueMicrotask(follow) // one look goes and another comes: the stream opens once
  }
  count(1)
  return () => count(-1)
}

const lookQuery = (): string => new URLSearchParams([...looks.keys()].slice(-MOST_LOOKS).map((id) => ['preview', id])).toString()

function follow(): void {
  if (!stream || followed === lookQuery()) return
  close()
  open()
}

function open(): void {
  if (stream || signedOut.value || document.hidden) return
  const query = (followed = lookQuery())
  const opened = new EventSource(`/v1/events${query && `?${query}`}`)
  let isNew = true // a stream that the browser took up again by itself has missed nothing, or says reset
  stream = opened
  for (const kind of KINDS) {
    opened.addEventListener(kind, (message) => {
      away.value = false
      const event = { kind, data: JSON.parse(message.data as string) } as FarmEvent
      take(event)
      if (kind === 'reset' || (kind === 'hello' && isNew)) void listOpen().catch(() => undefined)
      if (kind === 'hello') isNew = false
    })
  }
  opened.onerror = () => {
    if (opened !== stream) return
    away.value = true
    if (opened.readyState === EventSource.CLOSED) void reopen() // the browser gives up after a refusal; the page does not
  }
}

function close(): void {
  stream?.close()
  stream = null
}

async function reopen(): Promise<void> {
  close()
  await sleep(2000)
  await listOpen().catch(() => undefined) // waits for a farm that is away, and hears of one that asks for a key
  open()
}

function rest(): void {
  close()
  void listOpen()
    .catch(() => undefined)
    .finally(() => {
      if (document.hidden) timer = setTimeout(rest, TITLE_S * 1000)
    })
}

/** List all open videos: a request for each hundred, then one for each that was open and is not named. */
async function listOpen(): Promise<void> {
  const found = await learn(all('/v1/videos?limit=100&order=asc&status=open'))
  isListed.value = true
  await each(unnamed(world.peek(), found), learnEnd)
}

/** Learn what became of a video, where the farm can say it now. */
async function learnEnd(id: string): Promise<void> {
  try {
    await learn(call<Video>(`/v1/videos/${id}`))
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (error.status === 404) take({ kind: 'gone', data: { id, object: 'video' } })
  }
}

async function all(path: string): Promise<Video[]> {
  const found: Video[] = []
  for (let after: string | null = ''; after !== null; ) {
    const page: Page<Video> = await call<Page<Video>>(`${path}${after && `&after=${after}`}`)
    found.push(...page.data)
    after = page.has_more ? page.last_id : null
  }
  return found
}
