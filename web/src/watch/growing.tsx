/** The finished part of a video, playing while it grows. A longer file loads beside the old one and takes its place. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { isForward } from '../api/facts'
import { contentUrl, type Video } from '../api/objects'
import { fitting, sides } from '../create/length'
import { Poster } from '../parts/poster'
import { words } from '../words'

/** children: what lies over the picture. */
export function Growing({ video, children }: { video: Video; children: ComponentChildren }) {
  /** Numbers of frames of the file on screen and of the one that loads. */
  const files = useSignal<readonly number[]>([])
  const players = useRef(new Map<number, HTMLVideoElement>())
  const ready = video.frames_ready
  const forward = isForward(video.model)
  useEffect(() => {
    if (ready > 0 && !files.value.includes(ready)) files.value = [...files.value.slice(0, 1), ready]
  }, [video.id, ready])
  const replace = async (frames: number): Promise<void> => {
    const [old, next] = [players.current.get(files.value[0]!), players.current.get(frames)]
    if (!old || !next || old === next) return
    const before = files.value[0]!
    const on = Math.min(Math.floor(old.currentTime * video.fps + 0.01), before - 1)
    const moved = forward ? 0 : frames - before // with i2v models, frames came in front
    await moveAlong(old, next, (on + moved + 0.5) / video.fps) // a frame's middle, so that no rounding shows its neighbour
    if (files.value[1] === frames) files.value = [frames] // else a still longer file came meanwhile
  }
  return (
    <div class="growing" style={fitting(sides(video.size))}>
      {files.value.length === 0 && <Poster video={video} />}
      {files.value.map((frames, at) => (
        <video
          key={frames}
          ref={(element) => void (element ? players.current.set(frames, element) : players.current.delete(frames))}
          class={at > 0 ? 'loading' : ''}
          aria-label={words.watch.sofar}
          aria-hidden={at > 0}
          src={contentUrl(video, 'partial', { v: `${frames}` })}
          autoplay={at === 0}
          controls={at === 0}
          preload="auto"
          muted
          loop
          playsInline
          onLoadedData={() => void replace(frames)}
        />
      ))}
      {children}
    </div>
  )
}

/** Players that moveAlong stopped: they count as playing if the file meant to follow is overtaken by a longer one. */
const held = new WeakSet<HTMLVideoElement>()

/** Stop the old file, and bring the new one to the frame that is on screen. */
async function moveAlong(old: HTMLVideoElement, next: HTMLVideoElement, atS: number): Promise<void> {
  const isPlaying = !old.paused || held.has(old)
  if (isPlaying) held.add(old)
  old.pause()
  await new Promise((done) => {
    next.addEventListener('seeked', done, { once: true })
    next.currentTime = atS
  })
  if (isPlaying) await next.play().catch(() => undefined)
}
