/** Feed the store from one event stream. A hidden tab lets its stream go, and looks once a minute for its title. */
import { effect } from '@preact/signals'
import { away, call, signedOut, sleep } from '../api/client'
import { OPEN, type Page, type Video } from '../api/objects'
import { isListed, learn, pageTitle, take } from './store'
import type { FarmEvent } from './world'

const KINDS = ['hello', 'reset', 'video', 'progress', 'queue', 'gone', 'worker', 'farm', 'preview'] as const
const HIDDEN_S = 20 //: a browser has few connections for all of a farm's tabs
const TITLE_S = 50

/** Ids of running videos to look into; the stream opens again where they change. */
let watched: readonly string[] = []
let stream: EventSource | null = null
let timer: ReturnType<typeof setTimeout> | undefined

/** Begin to follow the farm, for as long as the page lives. */
export function startLive(): void {
  effect(() => void (document.title = pageTitle.value))
  effect(() => {
    if (signedOut.value) close()
    else if (!document.hidden) open()
  })
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer)
    if (!document.hidden) open()
    else timer = setTimeout(rest, HIDDEN_S * 1000)
  })
  if (document.hidden) rest()
}

/** Ask for the live look into these videos (four at most). */
export function watch(ids: readonly string[]): void {
  if (ids.join() === watched.join()) return
  watched = ids.slice(0, 4)
  if (stream) {
    close()
    open()
  }
}

function open(): void {
  if (stream || signedOut.value) return
  const query = new URLSearchParams(watched.map((id) => ['preview', id]))
  const opened = new EventSource(`/v1/events${query.size ? `?${query}` : ''}`)
  let isNew = true // a stream that the browser took up again by itself has missed nothing, or says reset
  stream = opened
  for (const kind of KINDS) {
    opened.addEventListener(kind, (message) => {
      away.value = false
      take({ kind, data: JSON.parse(message.data as string) } as FarmEvent)
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

/** List all open videos: a request for a hundred of each state. */
export async function listOpen(): Promise<void> {
  const found = await Promise.all(OPEN.map((status) => all(`/v1/videos?limit=100&order=asc&status=${status}`)))
  learn(found.flat(), true)
  isListed.value = true
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
