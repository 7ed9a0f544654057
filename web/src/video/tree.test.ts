import { expect, it } from 'vitest'
import { video } from '../test/video'
import { type Node, treeOf } from './tree'

const of = (id: string, parent: string | null, at = 1) => video(id, { remixed_from_video_id: parent, created_at: at })
const text = (nodes: readonly Node[]): string => nodes.map(({ video, below }) => video.id + (below.length ? `(${text(below)})` : '')).join(' ')

it('goes from the first ancestor down to what was made of the video', () => {
  const known = [of('old', null), of('this', 'old', 2), of('aunt', 'old', 3), of('cousin', 'aunt', 4), of('child', 'this', 5), of('grandchild', 'child', 6)]
  expect(text(treeOf(known[1]!, [known[0]!], known))).toBe('old(this(child(grandchild)) aunt)')
})

it('shows a batch side by side', () => {
  const batch = { id: 'batch_1', videos: ['a', 'b'] }
  const known = [video('a', { batch }), video('b', { batch }), of('c', 'b', 2)]
  expect(text(treeOf(known[1]!, [], known))).toBe('a b(c)')
})
