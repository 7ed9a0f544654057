/** The finished part of a video, playing while it grows. A longer file loads beside the old one and takes its place. */
import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { isForward } from '../api/facts'
import { contentUrl, type Video } from '../api/objects'
import { fitting, sides } from '../create/length'
import { Poster } from '../parts/poster'
import { words } from '../words'

export function Growing({ video }: { video: Video }) {
  /** ETags of the file on screen and of the one that loads. */
  const files = useSignal<readonly string[]>([])
  const players = useRef(new Map<string, HTMLVideoElement>())
  const variant = video.status === 'completed' ? 'video' : 'partial'
  useEffect(() => {
    let isCurrent = true
    void newest(video, variant).then((etag) => {
      if (isCurrent && etag !== null && !files.value.includes(etag)) files.value = [...files.value.slice(0, 1), etag]
    })
    return () => {
      isCurrent = false
    }
  }, [video.id, video.status, video.stage, video.sections_done])
  const replace = async (etag: string): Promise<void> => {
    const [old, next] = [players.current.get(files.value[0]!), players.current.get(etag)!]
    if (!old || old === next) return
    await moveAlong(old, next, isForward(video.model))
    files.value = [etag]
  }
  return (
    <div class="growing" style={fitting(sides(video.size))}>
      {files.value.length === 0 && <Poster video={video} />}
      {files.value.map((etag, at) => (
        <video
          key={etag}
          ref={(element) => void (element ? players.current.set(etag, element) : players.current.delete(etag))}
          class={at > 0 ? 'loading' : ''}
          aria-label={words.watch.sofar}
          aria-hidden={at > 0}
          src={contentUrl(video, variant, { v: etag })}
          autoplay={at === 0}
          controls={at === 0}
          preload="auto"
          muted
          loop
          playsInline
          onLoadedData={() => void replace(etag)}
        />
      ))}
    </div>
  )
}

/** The ETag of what is finished; null where nothing is yet. */
async function newest(video: Video, variant: string): Promise<string | null> {
  const answer = await fetch(contentUrl(video, variant), { method: 'HEAD' }).catch(() => null)
  return answer?.ok ? (answer.headers.get('ETag')?.replace(/^W\/|"/g, '') ?? null) : null
}

/** Bring the new file to the frame that is on screen. Frames came behind it (F1), or in front of it. */
async function moveAlong(old: HTMLVideoElement, next: HTMLVideoElement, forward: boolean): Promise<void> {
  const isPlaying = !old.paused
  old.pause()
  await new Promise((done) => {
    next.addEventListener('seeked', done, { once: true })
    next.currentTime = old.currentTime + (forward ? 0 : next.duration - old.duration)
  })
  if (isPlaying) await next.play().catch(() => undefined)
}
