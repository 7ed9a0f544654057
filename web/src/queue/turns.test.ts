import { expect, it } from 'vitest'
import { video } from '../test/video'
import { entries } from './entries'
import { placed } from '../live/turns'
import { placeOf, shifted } from './turns'

const queue = ['a', 'b', 'c', 'd']

it.each([
  [['c'], { before: 'a' }, 'cabd'],
  [['a'], { after: 'c' }, 'bcad'],
  [['b', 'd'], { to: 'first' as const }, 'bdac'],
  [['a', 'b'], { to: 'last' as const }, 'cdab'],
  [['a'], { after: 'gone' }, 'abcd'],
  [['a'], { before: 'a' }, 'abcd'],
])('puts %j at %j', (moved, place, order) => expect(placed(queue, moved, place).join('')).toBe(order))

it('names the neighbour that a dropped row goes beside', () => {
  const rows = entries(queue.map((id) => video(id)), new Set())
  expect(placeOf(rows, 3, 0)).toEqual({ before: 'a' })
  expect(placeOf(rows, 0, 2)).toEqual({ after: 'c' })
  expect(placeOf(rows, 1, 1)).toBeNull()
  expect(shifted(queue, 0, 2)).toEqual(['b', 'c', 'a', 'd'])
})

it('moves a batch as one, but not among its own videos', () => {
  const batch = { id: 'batch_1', videos: ['a', 'b'] }
  const rows = entries([video('a', { batch }), video('b', { batch }), video('c')], new Set(['batch_1']))
  expect(placeOf(rows, 3, 0)).toEqual({ before: 'a' })
  expect(placeOf(rows, 0, 3)).toEqual({ after: 'c' })
  expect(placeOf(rows, 0, 2)).toBeNull()
})
