import { expect, it, vi } from 'vitest'
import { video } from '../test/video'

vi.stubGlobal('localStorage', { getItem: () => null, setItem: () => undefined })
const { ended } = await import('./ends')

const of = (...videos: ReturnType<typeof video>[]) => new Map(videos.map((found) => [found.id, found]))

it('tells a video that was open and is ready now, once', () => {
  const [before, after] = [of(video('a', { status: 'in_progress' })), of(video('a', { status: 'completed' }))]
  expect(ended(before, after).map(({ id }) => id)).toEqual(['a'])
  expect(ended(after, after)).toEqual([])
})

it('is silent about an ended video that a list brought', () => {
  expect(ended(of(), of(video('old', { status: 'completed' })))).toEqual([])
})
