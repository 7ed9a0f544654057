import { expect, it } from 'vitest'
import { video } from '../test/video'
import { addressOf, ALL, fits, type Reading, wall, wishOf } from './wall'

const done = (id: string, created_at: number, more = {}) => video(id, { status: 'completed', created_at, ...more })
const read: Reading = { after: null, until: 0, hasMore: false, isBusy: false, fault: '' }

it('shows what ended, newest first, and never what is open', () => {
  const shown = wall([done('old', 1), done('new', 2), video('open')], ALL, read)
  expect(shown.map(({ id }) => id)).toEqual(['new', 'old'])
})

it('shows nothing beyond the place down to which the list was read', () => {
  const shown = wall([done('old', 1), done('new', 9)], ALL, { ...read, hasMore: true, until: 5 })
  expect(shown.map(({ id }) => id)).toEqual(['new'])
})

it.each([
  [{ kind: 'starred' as const }, ['star']],
  [{ kind: 'failed' as const }, ['bad']],
  [{ text: 'ROCK' }, ['star']],
  [{ length: 'long' as const }, ['bad']],
])('filters by %o', (change, ids) => {
  const videos = [done('star', 1, { labels: ['starred'], prompt: 'A rocket' }), video('bad', { status: 'failed', seconds: '12' })]
  expect(videos.filter((found) => fits(found, { ...ALL, ...change })).map(({ id }) => id)).toEqual(ids)
})

it('has its wish in the address, and reads it there', () => {
  const wish = { text: 'a cat', kind: 'starred', model: 'tiny', length: 'short', order: 'asc' } as const
  expect(addressOf(wish)).toBe('/ui/library?q=a+cat&show=starred&model=tiny&length=short&order=asc')
  expect(wishOf(new URLSearchParams(addressOf(wish).split('?')[1]))).toEqual(wish)
  expect(addressOf(ALL)).toBe('/ui/library')
  expect(wishOf(new URLSearchParams('show=nonsense&compare=a,b'))).toEqual(ALL)
})
