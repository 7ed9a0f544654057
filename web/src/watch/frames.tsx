/** Latent frames side by side in one picture, played as a loop at their true speed. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { sides } from '../create/length'

const LATENT_FPS = 7.5 //: a latent frame is 4 of 30

/** A picture of several frames. The one before stays until the new one is here, so that nothing flashes. */
export function Frames({ src, size, isPlaying }: { src: string; size: string; isPlaying: boolean }) {
  const shown = useSignal<{ src: string; count: number } | null>(null)
  useEffect(() => {
    let isCurrent = true
    const image = new Image()
    image.src = src
    image.decode().then(
      () => {
        const [width, height] = sides(size)
        const count = Math.max(1, Math.round((image.naturalWidth / image.naturalHeight) * (height / width)))
        if (isCurrent) shown.value = { src, count }
      },
      () => undefined, // not made yet, or gone
    )
    return () => {
      isCurrent = false
    }
  }, [src])
  const now = shown.value
  if (!now) return null
  return (
    <span
      class={`frames ${isPlaying ? 'playing' : ''}`}
      style={{
        aspectRatio: size.replace('x', ' / '),
        backgroundImage: `url("${now.src}")`,
        backgroundSize: `${now.count * 100}% 100%`,
        animationDuration: `${now.count / LATENT_FPS}s`,
        animationTimingFunction: `steps(${now.count}, jump-none)`,
      }}
    />
  )
}
