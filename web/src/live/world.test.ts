import { describe, expect, it } from 'vitest'
import type { Video } from '../api/objects'
import { video } from '../test/video'
import { apply, EMPTY, type FarmEvent, listed, unnamed, waiting, type World } from './world'

const after = (world: World, ...events: FarmEvent[]): World => events.reduce(apply, world)

describe('the world', () => {
  it('is the same after an event seen twice', () => {
    const event: FarmEvent = { kind: 'video', data: video('a', { status: 'in_progress' }) }
    expect(after(EMPTY, event, event)).toEqual(after(EMPTY, event))
  })

  it('puts waiting videos in the order of the queue, and new ones last', () => {
    const world = listed(EMPTY, [video('a'), video('b'), video('new', { created_at: 9 })])
    const moved = after(world, { kind: 'queue', data: { ids: ['b', 'a'], positions: [0, 1] } })
    expect(waiting(moved).map((found) => found.id)).toEqual(['b', 'a', 'new'])
    expect(moved.videos.get('a')?.queue_position).toBe(1)
  })

  it('keeps the request that a list told, with the prompt of a later edit', () => {
    const world = listed(EMPTY, [video('a', { request: { prompt: 'a', seed: 7 } as Video['request'] & object })])
    const edited = after(world, { kind: 'video', data: video('a', { prompt: 'new' }) })
    expect(edited.videos.get('a')?.request).toMatchObject({ prompt: 'new', seed: 7 })
  })

  it('asks how an open video ended that a whole list does not name, and keeps it till then', () => {
    const world = listed(EMPTY, [video('open'), video('named'), video('ended', { status: 'completed' })])
    const found = [video('named')]
    expect(unnamed(listed(world, found), found)).toEqual(['open'])
    expect(listed(world, found).videos.size).toBe(3)
  })

  it('lets events stand that came while a slower list was on its way', () => {
    const done = after(EMPTY, { kind: 'video', data: video('a', { status: 'completed' }) })
    const late = listed(done, [video('a', { status: 'in_progress' }), video('gone')], new Set(['a', 'gone']))
    expect(late.videos.get('a')?.status).toBe('completed')
    expect(late.videos.has('gone')).toBe(false)
  })

  it('keeps the section in hand of a video that runs on, and of no other', () => {
    const runs = listed(EMPTY, [video('a', { status: 'in_progress', section: 1, steps: 25 })])
    expect(listed(runs, [video('a', { status: 'in_progress', progress: 50 })]).videos.get('a')).toMatchObject({ section: 1, steps: 25, progress: 50 })
    expect(listed(runs, [video('a', { status: 'paused' })]).videos.get('a')?.section).toBeUndefined()
  })

  it('lets progress of a video that it does not know be', () => {
    const progress = { id: 'x', stage: null, section: 0, sections_done: 0, sections_total: 2, step: 1, steps: 4, eta_s: 1, waiting_for: null, progress: 9 }
    expect(after(EMPTY, { kind: 'progress', data: progress })).toBe(EMPTY)
  })

  it('forgets workers at a new connection and videos that are gone', () => {
    const worker = { id: 'w', object: 'worker' } as never
    const world = after(listed(EMPTY, [video('a')]), { kind: 'worker', data: worker }, { kind: 'gone', data: { id: 'a', object: 'video' } })
    expect(world.videos.size).toBe(0)
    expect(after(world, { kind: 'hello', data: { owner: 'ann', operator: true, version: '1', counts: {} } }).workers.size).toBe(0)
  })
})
