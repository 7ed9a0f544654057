/** A video's family as a small tree: from its first ancestor, or its batch, down to what was made from it. Pure. */
import type { Video } from '../api/objects'

export interface Node {
  video: Video
  below: readonly Node[]
}

export const parentOf = (video: Video): string | null => video.remixed_from_video_id ?? video.extends_video_id

/** `ancestors`: the oldest first. Of other branches than the video's own, only their first videos are shown. */
export function treeOf(video: Video, ancestors: readonly Video[], known: readonly Video[]): readonly Node[] {
  const own = new Set([...ancestors.map(({ id }) => id), video.id])
  const made = (parent: Video): Video[] => known.filter((other) => parentOf(other) === parent.id).sort(byAge)
  const node = (one: Video, isOwn: boolean): Node => ({
    video: one,
    below: isOwn ? made(one).map((child) => node(child, own.has(child.id) || (isOwn && !isAncestor(one)))) : [],
  })
  const isAncestor = (one: Video): boolean => one.id !== video.id && own.has(one.id)
  const first = ancestors[0] ?? video
  const together = known.filter((other) => other.id !== first.id && first.batch?.videos.includes(other.id))
  return [first, ...together].sort(byAge).map((root) => node(root, root.id === first.id))
}

const byAge = (a: Video, b: Video): number => a.created_at - b.created_at || a.id.localeCompare(b.id)
