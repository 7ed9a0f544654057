/** Calls of the farm's API. A refusal becomes a Problem; a farm that does not answer is asked again. */
import { signal } from '@preact/signals'
import { words } from '../words'

interface FieldError {
  field: string
  message: string
}

/** The farm's refusal (RFC 9457), or, with status 0, no answer of the farm: none at all, a broken-off one, or a proxy's. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly errors: FieldError[] = [],
    /** When a 429 or a 503 asks to come back. */
    readonly retryAfterS: number | null = null,
  ) {
    super(detail)
  }

  /** The farm's words about one field. */
  of(field: string): string | undefined {
    return this.errors.find((error) => error.field === field || error.field.startsWith(`${field}.`))?.message
  }
}

/** Whether the farm answers. The line on top shows it. */
export const away = signal(false)

/** Whether the farm asks for a key. The sign-in view shows it, over the page that stays as it is. */
export const signedOut = signal(false)

interface Call {
  method?: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'
  /** Sent as JSON, or as it is where it is a form or a file. */
  body?: object
  signal?: AbortSignal
  /** Ask again until the farm answers: for reading, and for a POST under its Idempotency-Key. */
  insist?: boolean
  /** The Idempotency-Key, where it must outlive the page. */
  key?: string
  /** Hears of each time that the farm did not take it and is asked again. */
  onAgain?: () => void
}

const PAUSES_S = [1, 2, 4, 8, 15]
const SESSION = '/v1/session'
const UNKNOWN_FATE = [0, 502, 503, 504]

/** Whether the request may have been done although it failed, so that sending it again can help. */
export const isUnknown = (error: unknown): boolean => error instanceof Problem && UNKNOWN_FATE.includes(error.status)

/** Call the API and return its JSON. Throws a Problem. */
export async function call<T>(path: string, { method = 'GET', body, signal: stop, insist = method === 'GET', key, onAgain }: Call = {}): Promise<T> {
  const headers = new Headers({ Accept: 'application/json' })
  const isRaw = body instanceof FormData || body instanceof Blob
  if (body && !isRaw) headers.set('Content-Type', 'application/json')
  if (method === 'POST' && insist) headers.set('Idempotency-Key', key ?? newKey())
  const init: RequestInit = { method, headers, credentials: 'same-origin' }
  if (body) init.body = isRaw ? body : JSON.stringify(body)
  if (stop) init.signal = stop
  for (let trial = 0; ; trial++) {
    try {
      return await once<T>(path, init)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      if (error.status === 401 && path !== SESSION) {
        signedOut.value = true
        await signedInAgain(stop) // nothing was done, so the same request goes out again afterwards
        continue
      }
      if (!insist || !isUnknown(error)) throw error
      onAgain?.()
      await sleep(PAUSES_S[Math.min(trial, PAUSES_S.length - 1)]! * 1000, stop)
    }
  }
}

/** POST something that must not happen twice: where the answer is lost, the same request goes out again under its key. */
export const create = <T>(path: string, body: object, more: Pick<Call, 'signal' | 'key' | 'onAgain'> = {}): Promise<T> =>
  call<T>(path, { ...more, method: 'POST', body, insist: true })

async function once<T>(path: string, init: RequestInit): Promise<T> {
  try {
    const answer = await fetch(path, init)
    if (!answer.ok) throw await refusal(answer)
    const said = (answer.status === 204 ? undefined : await answer.json()) as T
    away.value = false
    return said
  } catch (error) {
    if (init.signal?.aborted) throw error
    const problem = error instanceof Problem ? error : noAnswer()
    away.value = isUnknown(problem)
    throw problem
  }
}

function signedInAgain(stop?: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    stop?.addEventListener('abort', () => fail(stop.reason), { once: true })
    const dispose = signedOut.subscribe((isOut) => {
      if (!isOut) queueMicrotask(() => (dispose(), done()))
    })
  })
}

const noAnswer = (): Problem => new Problem(0, 'away', words.away)

async function refusal(answer: Response): Promise<Problem> {
  const retry = Number.parseInt(answer.headers.get('Retry-After') ?? '', 10)
  const said = (await answer.json().catch(() => ({}))) as { code?: string; detail?: unknown; errors?: FieldError[] }
  if (!said.code && isProxys(answer.status)) return noAnswer()
  const detail = typeof said.detail === 'string' ? said.detail : words.refused(answer.status)
  return new Problem(answer.status, said.code ?? `http_${answer.status}`, detail, said.errors ?? [], Number.isNaN(retry) ? null : retry)
}

/** Statuses that a proxy before the farm answers by itself while the farm is away; the farm's own have a code. */
const isProxys = (status: number): boolean => status === 404 || status === 429 || status >= 500

/** Return 32 random hex digits. crypto.randomUUID is missing where the page is no secure origin. */
export const newKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')

export function sleep(ms: number, stop?: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    stop?.throwIfAborted()
    const timer = setTimeout(done, ms)
    stop?.addEventListener('abort', () => (clearTimeout(timer), fail(stop.reason)), { once: true })
  })
}
