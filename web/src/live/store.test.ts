import { beforeEach, expect, it } from 'vitest'
import type { Page, Video } from '../api/objects'
import { video } from '../test/video'
import { learn, take, world } from './store'
import { EMPTY } from './world'

const page = (...data: Video[]): Page<Video> => ({ object: 'list', data, first_id: null, last_id: null, has_more: false })
const told = (): Video | undefined => world.value.videos.get('a')
const runs = video('a', { status: 'in_progress', progress: 80 })
const ready = video('a', { status: 'completed', progress: 100 })

beforeEach(() => void (world.value = EMPTY))

it.each([
  ['a list', runs, page(runs)],
  ['a call', runs, runs],
  ['several pages', runs, [runs]],
])('lets an event stand that came while %s was on its way', async (_, before, said) => {
  take({ kind: 'video', data: before })
  const learned = learn(Promise.resolve(said))
  take({ kind: 'video', data: ready })
  expect(await learned).toBe(said)
  expect(told()).toMatchObject({ status: 'completed', progress: 100 })
  await learn(Promise.resolve(page(runs))) // asked for after the event: newer
  expect(told()?.status).toBe('in_progress')
})

it('does not bring back what went meanwhile', async () => {
  take({ kind: 'video', data: ready })
  const learned = learn(Promise.resolve(page(ready, video('b'))))
  take({ kind: 'gone', data: { id: 'a', object: 'video' } })
  await learned
  expect([...world.value.videos.keys()]).toEqual(['b'])
})

it('learns the request, which no event tells, of an answer that is older', async () => {
  take({ kind: 'video', data: runs })
  const request = { prompt: 'old', seed: 7, priority: 5 } as Video['request'] & object
  const learned = learn(Promise.resolve({ ...runs, request }))
  take({ kind: 'video', data: { ...ready, prompt: 'new' } })
  await learned
  expect(told()).toMatchObject({ status: 'completed', request: { prompt: 'new', seed: 7, priority: 5 } })
})
