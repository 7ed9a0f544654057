/** Compare: two to nine videos side by side, played in step. */
import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { call, Problem } from '../api/client'
import { contentUrl, title, type Video } from '../api/objects'
import { learn, world } from '../live/store'
import { IconButton } from '../parts/button'
import { TitleLink } from '../parts/progress'
import { Star } from '../parts/star'
import { words } from '../words'

export const MOST_COMPARED = 9
const DRIFT_S = 0.04 //: about a frame

export function Compare({ ids }: { ids: readonly string[] }) {
  const grid = useRef<HTMLDivElement>(null)
  const [isPlaying, time, end] = [useSignal(true), useSignal(0), useSignal(1)]
  const players = (): HTMLVideoElement[] => [...(grid.current?.querySelectorAll('video') ?? [])]
  useEffect(() => void load(ids), [ids.join()])
  useEffect(() => {
    const timer = setInterval(() => {
      const [first, ...others] = players()
      if (!first) return
      time.value = first.currentTime
      end.value = Math.max(...players().map((player) => player.duration || 0), 0.1)
      for (const player of others) if (Math.abs(player.currentTime - first.currentTime) > DRIFT_S) player.currentTime = Math.min(first.currentTime, player.duration || 0)
    }, 200)
    return () => clearInterval(timer)
  }, [])
  const seek = (to: number): void => players().forEach((player) => (player.currentTime = Math.min(to, player.duration || 0)))
  const toggle = (): void => {
    isPlaying.value = !isPlaying.value
    for (const player of players()) void (isPlaying.value ? player.play() : player.pause())
  }
  const videos = ids.slice(0, MOST_COMPARED).flatMap((id) => world.value.videos.get(id) ?? [])
  return (
    <div class="column">
      <div class="row">
        <a class="button quiet" href="/ui/library">
          {words.nav.library}
        </a>
        <h1>{words.library.compare}</h1>
      </div>
      <div class="compare" ref={grid} style={{ '--columns': Math.ceil(Math.sqrt(videos.length)) }}>
        {videos.map((video) => (
          <figure key={video.id}>
            <video src={contentUrl(video, 'video')} autoplay muted loop playsInline aria-label={title(video)} />
            <figcaption class="row">
              <TitleLink video={video} />
              <span class="small soft number">{words.queue.seed(video.seed)}</span>
              <Star video={video} class="end" />
            </figcaption>
          </figure>
        ))}
      </div>
      <div class="row">
        <IconButton icon={isPlaying.value ? 'pause' : 'play'} name={isPlaying.value ? words.player.pause : words.player.play} onClick={toggle} />
        <input class="scrub" type="range" aria-label={words.player.time} min={0} max={end.value} step={1 / 30} value={time.value} onInput={(event) => seek(Number(event.currentTarget.value))} />
        <span class="number">{time.value.toFixed(1)} s</span>
      </div>
    </div>
  )
}

async function load(ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    if (world.value.videos.has(id)) continue
    await learn(call<Video>(`/v1/videos/${id}`)).catch((error: unknown) => {
      if (!(error instanceof Problem)) throw error // one that was deleted is left out
    })
  }
}
