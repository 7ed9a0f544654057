/** Actions on a finished video: remix it, other seeds, extend it, full quality. */
import { type Signal, useSignal } from '@preact/signals'
import { useLocation } from 'preact-iso'
import { create } from '../api/client'
import type { Video } from '../api/objects'
import { models } from '../api/facts'
import { each } from '../live/actions'
import { learn } from '../live/store'
import { say } from '../parts/toast'
import { words } from '../words'
import { Extend } from './extend'
import { fillForm, type Place, useFrame } from './to-form'

const OTHERS = 4

export function Next({ video, time }: { video: Video; time: Signal<number> }) {
  const { route } = useLocation()
  const extends_ = useSignal(false)
  const isReady = video.status === 'completed'
  const remix = (fields: object): Promise<Video> => learn(create<Video>(`/v1/videos/${video.id}/remix`, { prompt: video.prompt, ...fields }))
  const toForm = async (fill: () => Promise<void>): Promise<void> => {
    try {
      await fill()
      route('/ui/')
    } catch (error) {
      say((error as Error).message, { isBad: true }) // a refusal, or a picture that the form does not take: one stays here
    }
  }
  const others = async (): Promise<void> => {
    const made = await each(seeds(), (seed) => remix({ seed }))
    if (made.length) say(words.next.added(made.length))
  }
  const full = async (): Promise<void> => {
    const [made] = await each([0], () => remix({ cache: 'none', cache_threshold: null, seed: video.seed }))
    if (!made) return
    route(`/ui/videos/${made.id}`)
  }
  const supports = models.value.find((model) => model.id === video.model)?.supports
  const use = (place: Place) => (
    <button type="button" onClick={() => toForm(() => useFrame(video, time.value, place))}>
      {words.next.places[place]}
    </button>
  )
  return (
    <div class="column">
      <div class="row">
        <button type="button" class="primary" onClick={() => toForm(() => fillForm(video))}>
          {words.next.remix}
        </button>
        <button type="button" onClick={others}>
          {words.next.others(OTHERS)}
        </button>
        {isReady && (
          <button type="button" aria-expanded={extends_.value} onClick={() => (extends_.value = !extends_.value)}>
            {words.next.extend}
          </button>
        )}
        {video.request?.cache && video.request.cache !== 'none' && (
          <button type="button" onClick={full}>
            {words.next.full}
          </button>
        )}
      </div>
      {extends_.value && <Extend source={video.id} prompt={video.prompt} />}
      {isReady && (
        <div class="row">
          <span class="small soft">{words.next.useFrame}</span>
          {use('image')}
          {supports?.end_image && use('end')}
          {supports?.keyframes && use('keyframe')}
        </div>
      )}
    </div>
  )
}

/** Other seeds than the video's own; below 2^32, which every tool can read. */
const seeds = (): number[] => [...crypto.getRandomValues(new Uint32Array(OTHERS))]
