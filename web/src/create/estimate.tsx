/** The farm's dry run, asked again when the form rests: the video's length, its time of work, its place in the queue. */
import { computed, effect, signal } from '@preact/signals'
import { call, Problem } from '../api/client'
import { queued, workers } from '../live/store'
import { span } from '../parts/format'
import { words } from '../words'
import { draft, fieldsOf, seconds, seedsOf, windowSize } from './draft'
import { model } from './specs'
import { bucketOf, framesOf, sectionsOf, sides } from './length'

interface DryRun {
  frames: number
  seconds: string
  size: string
  sections: number
  workers: { id: string; plan: string | null; fits: boolean; seconds: number | null }[]
}

/** The last dry run's answer; null: none yet, or the form is not complete. */
const answer = signal<DryRun | null>(null)

/** [width, height] of the video: as the dry run said, else as the picture's shape leads to. */
export const shape = computed<[number, number] | null>(() => {
  const { image, values } = draft.value
  if (answer.value) return sides(answer.value.size)
  if (typeof values['size'] === 'string') return sides(values['size'])
  const bucket = image && model.value ? bucketOf([image.width, image.height], model.value.buckets) : null
  return bucket ? sides(bucket) : image && [image.width, image.height]
})

export const sections = computed(() => sectionsOf(seconds.value, windowSize.value))

/** The workers that are there. */
const present = computed(() => workers.value.map(({ id }) => id).join())

/** Keep the estimate true for as long as the view is open. Returns what ends it. */
export function startEstimate(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined
  let stop = new AbortController()
  const end = effect(() => {
    const now = draft.value
    void present.value // a worker that comes or goes changes the answer
    clearTimeout(timer)
    stop.abort()
    stop = new AbortController()
    const { signal: stopped } = stop
    timer = setTimeout(() => void ask(now, stopped), 250)
  })
  return () => {
    clearTimeout(timer)
    stop.abort()
    end()
  }
}

async function ask(now: typeof draft.value, stop: AbortSignal): Promise<void> {
  const { image, keyframes: _, ...fieldless } = now
  if (!image && !model.value?.supports.text_only) {
    answer.value = null // the farm would ask for the picture
    return
  }
  const fields = fieldsOf({ ...fieldless, image: null, keyframes: [], prompt: now.prompt || '…' })
  delete fields['loop'] // no picture is sent, and neither changes how long it takes
  try {
    const body = { ...fields, ...(image && { image_size: `${image.width}x${image.height}` }) }
    answer.value = await call<DryRun>('/v1/videos?dry_run=1', { method: 'POST', body, insist: false, signal: stop })
  } catch (error) {
    if (!stop.aborted && error instanceof Problem) answer.value = null
  }
}

/** One line: frames, time and place in the queue. */
export function Estimate() {
  const { variants, seeds } = draft.value
  const count = seedsOf(seeds)?.length || variants
  const frames = answer.value?.frames ?? framesOf(sections.value, windowSize.value)
  const able = answer.value?.workers.filter((worker) => worker.fits) ?? []
  const timed = able.filter((worker) => worker.seconds !== null).sort((a, b) => a.seconds! - b.seconds!)
  const parts = [
    count > 1 ? words.estimate.each(count, frames) : words.estimate.frames(frames),
    timed[0] ? words.estimate.takes(span((timed[0].seconds! * count) / timed.length), timed.length === 1 ? timed[0].id : null) : answer.value && !able.length ? (answer.value.workers.length ? words.estimate.noAble : words.estimate.noWorker) : null,
    words.estimate.place(queued.value.length + 1),
  ]
  return <p class="estimate small soft number">{parts.filter(Boolean).join(' · ')}</p>
}
