/** The rows of the queue: a video each, but one row for the waiting videos of a batch. Pure. */
import { title, type Video } from '../api/objects'

export interface Entry {
  key: string
  /** One video, or those of a batch that wait. */
  videos: readonly [Video, ...Video[]]
  /** A video of a batch that was opened: it stands below its batch's row. */
  isInside: boolean
}

export function entries(videos: readonly Video[], opened: ReadonlySet<string>): Entry[] {
  const batches = new Map<string, [Video, ...Video[]]>()
  for (const video of videos) {
    const batch = video.batch?.id ?? video.id
    const known = batches.get(batch)
    if (known) known.push(video)
    else batches.set(batch, [video])
  }
  return [...batches].flatMap(([key, members]) => {
    const row: Entry = { key, videos: members, isInside: false }
    if (members.length === 1 || !opened.has(key)) return [row]
    return [row, ...members.map((video): Entry => ({ key: `${key} ${video.id}`, videos: [video], isInside: true }))]
  })
}

/** The videos that `text` names: letters of name, prompt, seed or model. */
export function filtered(videos: readonly Video[], text: string): readonly Video[] {
  const wanted = text.trim().toLowerCase()
  if (!wanted) return videos
  return videos.filter((video) => [title(video), video.prompt, video.model, `${video.seed}`].some((said) => said.toLowerCase().includes(wanted)))
}
