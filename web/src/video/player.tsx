/** The player: frame by frame, in a loop, slower and faster, over the whole screen. */
import { type Signal, useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { contentUrl, title, type Video } from '../api/objects'
import { IconButton } from '../parts/button'
import { isTyping } from '../parts/typing'
import { words } from '../words'

const SPEEDS = [0.25, 0.5, 1, 2]

/** time: where the player is, in seconds; the rest of the page reads it. */
export function Player({ video, time }: { video: Video; time: Signal<number> }) {
  const frame = useRef<HTMLDivElement>(null)
  const player = useRef<HTMLVideoElement>(null)
  const [isPlaying, isLoop, speed] = [useSignal(false), useSignal(true), useSignal(1)]
  const [width, height] = video.size.split('x').map(Number)
  const end = video.frames / video.fps

  const toggle = (): void => void (player.current!.paused ? player.current!.play() : player.current!.pause())
  const seek = (to: number): void => {
    player.current!.currentTime = Math.min(Math.max(to, 0), end)
    time.value = player.current!.currentTime
  }
  const step = (by: number): void => {
    player.current!.pause()
    const now = Math.floor(player.current!.currentTime * video.fps + 0.01)
    seek((Math.min(Math.max(now + by, 0), video.frames - 1) + 0.5) / video.fps) // a frame's middle, so that no rounding shows its neighbour
  }
  const fill = (): void => void (document.fullscreenElement ? document.exitFullscreen() : frame.current!.requestFullscreen?.())

  useEffect(() => {
    const keys = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return
      const act = { ',': () => step(-1), '.': () => step(1), l: () => (isLoop.value = !isLoop.value), f: fill, k: toggle }[event.key]
      if (!act) return
      event.preventDefault()
      act()
    }
    addEventListener('keydown', keys)
    return () => removeEventListener('keydown', keys)
  })
  useEffect(() => {
    let timer = 0
    const follow = (): void => {
      if (player.current && !player.current.paused) time.value = player.current.currentTime
      timer = requestAnimationFrame(follow)
    }
    follow()
    return () => cancelAnimationFrame(timer)
  }, [])

  return (
    <div class="player" ref={frame}>
      <video
        ref={player}
        src={contentUrl(video, 'video')}
        poster={contentUrl(video, 'poster')}
        width={width}
        height={height}
        style={{ aspectRatio: `${width} / ${height}` }}
        aria-label={title(video)}
        loop={isLoop.value}
        playsInline
        preload="auto"
        onClick={toggle}
        onPlay={() => (isPlaying.value = true)}
        onPause={() => (isPlaying.value = false)}
        onSeeked={() => (time.value = player.current!.currentTime)}
        onRateChange={() => (speed.value = player.current!.playbackRate)}
      />
      <div class="controls row">
        <IconButton icon={isPlaying.value ? 'pause' : 'play'} name={isPlaying.value ? words.player.pause : words.player.play} onClick={toggle} />
        <IconButton icon="left" name={words.player.back} onClick={() => step(-1)} />
        <IconButton icon="right" name={words.player.on} onClick={() => step(1)} />
        <input class="scrub" type="range" aria-label={words.player.time} min={0} max={end} step={1 / video.fps} value={time.value} onInput={(event) => seek(Number(event.currentTarget.value))} />
        <span class="number small">
          {time.value.toFixed(1)} / {end.toFixed(1)} s
        </span>
        <select aria-label={words.player.speed} value={`${speed.value}`} onChange={(event) => (player.current!.playbackRate = Number(event.currentTarget.value))}>
          {SPEEDS.map((factor) => (
            <option key={factor} value={factor}>
              {factor}×
            </option>
          ))}
        </select>
        <IconButton icon="loop" name={words.player.loop} isPressed={isLoop.value} onClick={() => (isLoop.value = !isLoop.value)} />
        <IconButton icon="full" name={words.player.full} onClick={fill} />
      </div>
    </div>
  )
}
