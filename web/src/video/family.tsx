/** Where a video comes from and what came of it: its ancestors, its batch, and what was made from it. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { call, Problem } from '../api/client'
import { isStarred, type Page, type Video } from '../api/objects'
import { learn, world } from '../live/store'
import { Poster } from '../parts/poster'
import { TitleLink } from '../parts/progress'
import { words } from '../words'
import { type Node, parentOf, treeOf } from './tree'

const DEEPEST = 8

export function Family({ video }: { video: Video }) {
  const ancestors = useSignal<readonly string[]>([])
  useEffect(() => void learnFamily(video).then((ids) => (ancestors.value = ids)), [video.id])
  const { videos } = world.value
  const roots = treeOf(video, ancestors.value.flatMap((id) => videos.get(id) ?? []), [...videos.values()])
  if (roots.length === 1 && !roots[0]!.below.length) return null
  return (
    <section class="card column family" aria-label={words.family.title}>
      <h2>{words.family.title}</h2>
      <Branch nodes={roots} now={video.id} />
    </section>
  )
}

const Branch = ({ nodes, now }: { nodes: readonly Node[]; now: string }) => (
  <ul>
    {nodes.map(({ video, below }) => (
      <li key={video.id}>
        <div class="row" aria-current={video.id === now ? 'true' : undefined}>
          <Poster video={video} />
          {video.id === now ? <strong>{words.family.this}</strong> : <TitleLink video={video} />}
          <span class="small soft number">
            {difference(video)}
            {isStarred(video) && ' ★'}
          </span>
        </div>
        {below.length > 0 && <Branch nodes={below} now={now} />}
      </li>
    ))}
  </ul>
)

const difference = (video: Video): string => `${video.extends_video_id ? words.family.longer(video.seconds) : words.queue.seed(video.seed)}, ${words.status[video.status]}`

/** Ask for ancestors one by one, for the batch, and for the newest videos, among which its children are. */
async function learnFamily(video: Video): Promise<string[]> {
  const pages = ['/v1/videos?limit=100', video.batch && `/v1/videos?batch=${video.batch.id}&limit=16`]
  const lists = pages.filter((path) => path !== null).map((path) => learn(call<Page<Video>>(path)))
  const found: string[] = []
  for (let id = parentOf(video); id && found.length < DEEPEST; id = parentOf(world.value.videos.get(id)!)) {
    if (!world.value.videos.has(id) && !(await learnOne(id))) break
    found.unshift(id)
  }
  await Promise.allSettled(lists)
  return found
}

/** Learn one video; false: it was deleted. */
export async function learnOne(id: string): Promise<boolean> {
  try {
    await learn(call<Video>(`/v1/videos/${encodeURIComponent(id)}`))
    return true
  } catch (error) {
    if (error instanceof Problem) return false
    throw error
  }
}
