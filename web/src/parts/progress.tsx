/** How far a video is, as a bar and in words. */
import { title, type Video } from '../api/objects'
import { words } from '../words'
import { span } from './format'

export const Bar = ({ video }: { video: Video }) => <progress aria-label={words.progress.name} max={100} value={video.progress} aria-valuetext={words.progress.percent(video.progress)} />

/** Whether a video has begun and no worker has it now: others go first, or its worker is gone. */
export const isBetween = (video: Video): boolean => video.status === 'in_progress' && video.worker === null

/** Say what the farm makes now: "section 3 of 5 · step 9 of 25". */
export function stageWords(video: Video): string {
  if (isBetween(video)) return words.progress.noWorker
  if (video.stage !== 'section') return video.stage ? words.progress.stage[video.stage] : words.status[video.status]
  const at = words.progress.section(Math.min((video.section ?? video.sections_done) + 1, video.sections_total), video.sections_total)
  return video.step ? `${at} · ${words.progress.step(video.step, video.steps)}` : at
}

export const timeLeft = (video: Video): string => (video.eta_s === null ? '' : words.time.left(span(video.eta_s)))

/** Say what a waiting video waits for. */
export function waitWords(video: Video): string {
  if (video.waiting_for) return words.queue.waitsFor(video.waiting_for)
  if (video.queue_position === null) return words.status[video.status]
  return video.queue_position ? words.queue.before(video.queue_position) : words.queue.next
}

export const TitleLink = ({ video }: { video: Video }) => (
  <a class="title" href={`/ui/videos/${video.id}`} title={title(video)}>
    {title(video)}
  </a>
)
