import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { away, call, create, Problem } from './client'

type Answer = (response: ServerResponse) => void
let server: Server | undefined

/** A server that gives one answer after the other, and keeps what it was asked. */
async function serve(...answers: Answer[]): Promise<{ address: string; asked: IncomingMessage[] }> {
  const asked: IncomingMessage[] = []
  const started = createServer((request, response) => {
    asked.push(request)
    answers.shift()!(response)
  })
  server = started
  await new Promise<void>((done) => started.listen(0, '127.0.0.1', done))
  return { address: `http://127.0.0.1:${(started.address() as AddressInfo).port}/v1/videos`, asked }
}

const json = (status: number, said: object): Answer => (response) => response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(said))
const plain = (status: number): Answer => (response) => response.writeHead(status, { 'Content-Type': 'text/plain' }).end('not the farm')
const brokenOff: Answer = (response) => {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '99' }).write('{"id":')
  setTimeout(() => response.destroy(), 20)
}

afterEach(() => server?.close())

describe('a call', () => {
  it.each([404, 429, 500])('is asked again where a proxy answers %i in plain text', async (status) => {
    const { address } = await serve(plain(status), json(200, { id: 'a' }))
    expect(await call(address)).toEqual({ id: 'a' })
    expect(away.value).toBe(false)
  })
  it('goes out again under its key where the answer breaks off', async () => {
    const { address, asked } = await serve(brokenOff, json(200, { id: 'a' }))
    expect(await create(address, {})).toEqual({ id: 'a' })
    const [first, second] = asked.map((request) => request.headers['idempotency-key'])
    expect(first).toMatch(/^[0-9a-f]{32}$/)
    expect(second).toBe(first)
  })
  it('says that the farm is away where it may not be repeated', async () => {
    const { address } = await serve(plain(503))
    await expect(call(address, { method: 'DELETE' })).rejects.toMatchObject({ status: 0 })
    expect(away.value).toBe(true)
  })
  it('goes out again where the farm says that its store does not answer', async () => {
    const { address, asked } = await serve(json(503, { code: 'unavailable', detail: 'the store does not answer' }), json(200, { id: 'a' }))
    expect(await create(address, {})).toEqual({ id: 'a' })
    expect(new Set(asked.map((request) => request.headers['idempotency-key'])).size).toBe(1)
    expect(away.value).toBe(false)
  })
  it('tells the words of a 503 where it may not be repeated', async () => {
    const { address } = await serve(json(503, { code: 'unavailable', detail: 'the dispatcher does not answer; ask again' }))
    await expect(call(address, { method: 'POST', insist: false })).rejects.toMatchObject({ status: 503, message: 'the dispatcher does not answer; ask again' })
  })
  it('is refused by the farm itself, once', async () => {
    const { address, asked } = await serve(json(404, { code: 'not_found', detail: 'no such video' }))
    await expect(call(address)).rejects.toEqual(new Problem(404, 'not_found', 'no such video'))
    expect(asked).toHaveLength(1)
  })
})
