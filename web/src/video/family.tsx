/** Where a video comes from and what came of it: its ancestors, its batch, and what was made from it. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { call, Problem } from '../api/client'
import { isStarred, type Page, type Video } from '../api/objects'
import { learn, world } from '../live/store'
import { Poster } from '../parts/poster'
import { TitleLink } from '../parts/progress'
import { words } from '../words'

const DEEPEST = 8

const parentOf = (video: Video): string | null => video.remixed_from_video_id ?? video.extends_video_id

export function Family({ video }: { video: Video }) {
  const ancestors = useSignal<readonly string[]>([])
  useEffect(() => void learnFamily(video).then((ids) => (ancestors.value = ids)), [video.id])
  const known = [...world.value.videos.values()]
  const groups = [
    { text: words.family.from, videos: ancestors.value.flatMap((id) => world.value.videos.get(id) ?? []) },
    { text: words.family.batch, videos: known.filter((other) => other.id !== video.id && video.batch?.videos.includes(other.id)) },
    { text: words.family.made, videos: known.filter((other) => parentOf(other) === video.id) },
  ].filter((group) => group.videos.length)
  if (!groups.length) return null
  return (
    <section class="card column family" aria-label={words.family.title}>
      <h2>{words.family.title}</h2>
      {groups.map(({ text, videos }) => (
        <div key={text}>
          <h3 class="small soft">{text}</h3>
          <ul>
            {videos.map((other) => (
              <li key={other.id} class="row">
                <Poster video={other} />
                <TitleLink video={other} />
                <span class="small soft number">
                  {difference(other)}
                  {isStarred(other) && ' ★'}
                </span>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </section>
  )
}

const difference = (video: Video): string => `${video.extends_video_id ? words.family.longer(video.seconds) : words.queue.seed(video.seed)}, ${words.status[video.status]}`

/** Ask for ancestors one by one, for the batch, and for the newest videos, among which its children are. */
async function learnFamily(video: Video): Promise<string[]> {
  const pages = ['/v1/videos?limit=100', video.batch && `/v1/videos?batch=${video.batch.id}&limit=16`]
  const lists = pages.filter((path) => path !== null).map((path) => call<Page<Video>>(path).then((page) => learn(page.data)))
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
    learn([await call<Video>(`/v1/videos/${encodeURIComponent(id)}`)])
    return true
  } catch (error) {
    if (error instanceof Problem) return false
    throw error
  }
}
