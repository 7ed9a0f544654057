/** Say when a video ends: in words for screen readers, and by a sound where it was switched on. */
import { effect, signal } from '@preact/signals'
import { isOpen, title, type Status, type Video } from '../api/objects'
import { remember, remembered } from '../parts/memory'
import { words } from '../words'
import { world } from './store'

const KEY = 'framefarm-sound'

export const hasSound = signal(remembered(KEY) === 'on')
export const lastEnd = signal('')

let context: AudioContext | null = null

/** Switch the sound on or off. A click may start a sound, so the browser allows later ones. */
export function toggleSound(): void {
  hasSound.value = !hasSound.value
  remember(KEY, hasSound.value ? 'on' : 'off')
  if (hasSound.value) chime()
}

/** Two soft tones. */
function chime(): void {
  context ??= new AudioContext()
  for (const [at, pitch] of [[0, 660], [0.14, 880]] as const) {
    const [tone, volume] = [context.createOscillator(), context.createGain()]
    const start = context.currentTime + at
    tone.frequency.value = pitch
    volume.gain.setValueAtTime(0.12, start)
    volume.gain.exponentialRampToValueAtTime(0.001, start + 0.4)
    tone.connect(volume).connect(context.destination)
    tone.start(start)
    tone.stop(start + 0.4)
  }
}

/** The videos that were open before and are not now. */
export function ended(before: ReadonlyMap<string, Video>, now: ReadonlyMap<string, Video>): Video[] {
  if (before === now) return []
  return [...now.values()].filter((video) => !isOpen(video) && isOpen(before.get(video.id) ?? video))
}

const TOLD: readonly Status[] = ['completed', 'failed']

export function watchEnds(): void {
  let before = world.peek().videos
  effect(() => {
    const now = world.value.videos
    const told = ended(before, now).filter((video) => TOLD.includes(video.status))
    before = now
    if (!told.length) return
    lastEnd.value = told.map((video) => words.done.ended(title(video), words.status[video.status])).join(' ')
    if (hasSound.peek()) chime()
  })
}
