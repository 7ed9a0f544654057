import { expect, it } from 'vitest'
import { video } from '../test/video'
import { entries, filtered } from './entries'

const batch = { id: 'batch_1', videos: ['a', 'b'] }
const videos = [video('a', { batch }), video('x'), video('b', { batch })]

it('makes one row of a batch, at the place of its first video', () => {
  expect(entries(videos, new Set()).map((row) => row.videos.map(({ id }) => id))).toEqual([['a', 'b'], ['x']])
})

it('shows the videos of a batch that is opened below it', () => {
  const rows = entries(videos, new Set(['batch_1']))
  expect(rows.map((row) => [row.videos.length, row.isInside])).toEqual([[2, false], [1, true], [1, true], [1, false]])
  expect(new Set(rows.map((row) => row.key)).size).toBe(4)
})

it('finds by letters of name, prompt, seed and model', () => {
  expect(filtered([video('a', { seed: 31337 }), video('b', { name: 'Cat' })], ' cAt ')).toHaveLength(1)
  expect(filtered([video('a', { seed: 31337 })], '313')).toHaveLength(1)
  expect(filtered([video('a')], '')).toHaveLength(1)
})
