/** A video while it is made: what is finished plays, the section in hand appears step by step, bars say how far it is. */
import { useEffect } from 'preact/hooks'
import { isOpen, title, type Video } from '../api/objects'
import { wish } from '../live/actions'
import { world } from '../live/store'
import { lookInto } from '../live/stream'
import { Icon } from '../parts/icon'
import { Bar, isBetween, timeLeft, waitWords } from '../parts/progress'
import { words } from '../words'
import { Frames } from './frames'
import { Growing } from './growing'
import { Strip } from './strip'
import './watch.css'

export function Watch({ video }: { video: Video }) {
  const isRunning = video.status === 'in_progress'
  useEffect(() => (isRunning ? lookInto(video.id) : undefined), [video.id, isRunning])
  return (
    <section class="card watch" aria-label={title(video)}>
      <Growing video={video}>
        <Live video={video} />
      </Growing>
      <h2 class="title">{title(video)}</h2>
      <Bars video={video} />
      <Strip video={video} />
      <div class="row">
        {isRunning || video.status === 'queued' ? <Act icon="pause" text={words.act.pause} act={() => wish([video], 'pause')} /> : null}
        {video.status === 'paused' && <Act icon="play" text={words.act.resume} act={() => wish([video], 'resume')} />}
        {isOpen(video) && <Act icon="x" text={words.act.cancel} act={() => wish([video], 'cancel')} />}
        <a class="button end" href={`/ui/videos/${video.id}`}>
          {words.act.open}
        </a>
      </div>
    </section>
  )
}

function Act({ icon, text, act }: { icon: 'pause' | 'play' | 'x'; text: string; act: () => unknown }) {
  return (
    <button type="button" onClick={() => void act()}>
      <Icon name={icon} />
      {text}
    </button>
  )
}

/** The newest look at the section in hand. */
function Live({ video }: { video: Video }) {
  const look = world.value.previews.get(video.id)
  if (!look || video.status !== 'in_progress') return null
  return (
    <figure class="live">
      <Frames src={`/v1/videos/${video.id}/content?variant=live&v=${look.etag}`} size={video.size} isPlaying />
      <figcaption class="small number">{words.watch.live(look.step)}</figcaption>
    </figure>
  )
}

/** How far the section and the whole are, or why nothing moves. */
function Bars({ video }: { video: Video }) {
  if (video.status === 'failed') return <p class="note bad">{video.error?.message}</p>
  if (!isOpen(video)) return <p class="small soft">{words.status[video.status]}</p>
  return (
    <div class="bars small number">
      {video.status === 'in_progress' && video.step !== null && video.steps ? (
        <>
          <span>{words.progress.section(Math.min((video.section ?? video.sections_done) + 1, video.sections_total), video.sections_total)}</span>
          <progress aria-label={words.watch.section} max={video.steps} value={video.step} />
          <span class="soft">{words.progress.step(video.step, video.steps)}</span>
        </>
      ) : null}
      <span>{words.watch.whole}</span>
      <Bar video={video} />
      <span class="soft">{words.progress.percent(video.progress)}</span>
      <p class="soft">{video.status === 'queued' ? waitWords(video) : [video.status === 'paused' ? words.status.paused : timeLeft(video), isBetween(video) ? words.progress.noWorker : video.worker].filter(Boolean).join(' · ')}</p>
    </div>
  )
}
