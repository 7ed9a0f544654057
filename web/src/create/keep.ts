/** The form and requests without an answer, kept in the browser (IndexedDB) for each owner, so that nothing is lost. */
import { computed, effect, signal } from '@preact/signals'
import { create, isUnknown, newKey, Problem } from '../api/client'
import type { Video } from '../api/objects'
import { learn } from '../live/store'
import { say } from '../parts/toast'
import { words } from '../words'
import { type Draft, draft, formOf, NEW } from './draft'

interface Sent {
  key: string
  owner: string
  draft: Draft
}

/** Where a browser keeps nothing (private windows of some), the page works without. */
function open(): Promise<IDBDatabase | null> {
  return new Promise((done) => {
    let request: IDBOpenDBRequest
    try {
      request = indexedDB.open('framefarm', 1)
    } catch {
      return done(null)
    }
    request.onupgradeneeded = () => {
      request.result.createObjectStore('drafts')
      request.result.createObjectStore('sent', { keyPath: 'key' })
    }
    request.onsuccess = () => done(request.result)
    request.onerror = () => done(null)
  })
}

const database = open()

async function ask<T>(store: 'drafts' | 'sent', mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | undefined> {
  const found = await database
  if (!found) return undefined
  return new Promise((done) => {
    try {
      const transaction = found.transaction(store, mode)
      const request = act(transaction.objectStore(store))
      transaction.oncomplete = () => done(request.result)
      transaction.onabort = () => done(undefined) // the disk is full: the form lives on in the page
    } catch {
      done(undefined) // the browser has closed the database
    }
  })
}

/** The owner of the form, once the browser's copy was read. */
const kept = signal<string | null>(null)
let taken: Promise<void> | null = null

/** Take up an owner's form, keep it from now on, and send again what had no answer. Runs once a page: another owner's page is loaded again. */
export const keepFor = (owner: string): Promise<void> => (taken ??= takeUp(owner))

async function takeUp(owner: string): Promise<void> {
  const parts = await Promise.all(
    ['fields', 'pictures'].map((part) => ask<Partial<Draft>>('drafts', 'readonly', (store) => store.get([owner, part]) as IDBRequest<Partial<Draft>>)),
  )
  if (parts[0] && draft.peek() === NEW) draft.value = { ...NEW, ...parts[0], ...parts[1] }
  kept.value = owner
  for (const sent of (await ask<Sent[]>('sent', 'readonly', (store) => store.getAll() as IDBRequest<Sent[]>)) ?? []) {
    if (sent.owner === owner) void deliver(sent).catch((error: unknown) => say(words.create.refusedLater(sent.draft.prompt, (error as Error).message), { isBad: true }))
  }
}

/** Keep a part of the form as it changes. Pictures have a part of their own, so that typing does not write them again. */
function keepPart(part: 'fields' | 'pictures', read: (from: Draft) => Partial<Draft>): void {
  let timer: ReturnType<typeof setTimeout> | undefined
  const now = computed(() => JSON.stringify(read(draft.value), (_, value: unknown) => (value instanceof Blob ? nameOf(value) : value)))
  effect(() => {
    void now.value
    const [owner, value] = [kept.value, read(draft.peek())]
    if (owner === null) return
    clearTimeout(timer)
    timer = setTimeout(() => void ask('drafts', 'readwrite', (store) => store.put(value, [owner, part])), 200)
  })
}

const blobs = new WeakMap<Blob, string>()

function nameOf(blob: Blob): string {
  if (!blobs.has(blob)) blobs.set(blob, newKey())
  return blobs.get(blob)!
}

keepPart('fields', ({ prompt, values, preset, variants, seeds }) => ({ prompt, values, preset, variants, seeds }))
keepPart('pictures', ({ image, end, keyframes }) => ({ image, end, keyframes }))

/** Ask for a draft's videos. The request outlives the page: it is sent again until it has an answer. onAgain: hears of each time. */
export function send(now: Draft, onAgain?: () => void): Promise<Video> {
  return deliver({ key: newKey(), owner: kept.peek() ?? '', draft: now }, onAgain)
}

async function deliver(sent: Sent, onAgain: () => void = () => undefined): Promise<Video> {
  await ask('sent', 'readwrite', (store) => store.put(sent))
  const forget = (): Promise<unknown> => ask('sent', 'readwrite', (store) => store.delete(sent.key))
  try {
    const video = await learn(create<Video>('/v1/videos', formOf(sent.draft), { key: sent.key, onAgain }))
    await forget()
    return video
  } catch (error) {
    if (error instanceof Problem && !isUnknown(error)) await forget() // the farm has answered
    throw error
  }
}
