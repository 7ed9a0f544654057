/** Fill the form of Create from a video, its pictures included. */
import { call } from '../api/client'
import { learnFarm } from '../api/facts'
import { contentUrl, title, type Video } from '../api/objects'
import { change, type Draft, draft, NEW, type Picture } from '../create/draft'
import { keepFor } from '../create/keep'
import { readPicture } from '../create/picture'
import { learnFields, specs } from '../create/specs'

/** What a remix must not carry over: it is the other video's own, or has a place of its own in the draft. */
const OWN = new Set(['prompt', 'keyframes', 'preset', 'name', 'metadata', 'priority', 'size'])

/** Everything that the video was made with. */
export async function fillForm(video: Video): Promise<void> {
  await ready()
  const whole = video.request ? video : await call<Video>(`/v1/videos/${video.id}`)
  const request = { ...whole.request } as Record<string, unknown>
  const keyframes = (request['keyframes'] as { at_s: number; image: string }[] | undefined) ?? []
  const values = Object.entries({ ...request, seed: video.seed }).filter(([name, value]) => !OWN.has(name) && isChange(name, value))
  const [image, end, ...between] = await Promise.all([picture(video, 'start'), picture(video, 'end'), ...keyframes.map((frame) => picture(video, frame.image))])
  draft.value = {
    ...NEW,
    prompt: video.prompt,
    values: Object.fromEntries(values) as Draft['values'],
    image: image ?? null,
    end: end ?? null,
    keyframes: keyframes.flatMap(({ at_s }, at) => (between[at] ? [{ at_s, picture: between[at] }] : [])),
  }
}

export type Place = 'image' | 'end' | 'keyframe'

/** One frame of a video as a picture of the form; all else of the form stays. */
export async function useFrame(video: Video, atS: number, place: Place): Promise<void> {
  await ready()
  const blob = await (await fetch(contentUrl(video, 'frame', { at_s: atS.toFixed(3) }))).blob()
  const frame = await readPicture(blob, `${title(video).slice(0, 40)} ${atS.toFixed(1)} s.png`)
  if (place === 'keyframe') change({ keyframes: [...draft.value.keyframes, { at_s: Number(atS.toFixed(1)), picture: frame }] })
  else change(place === 'image' ? { image: frame } : { end: frame })
}

async function ready(): Promise<void> {
  const [{ me }] = await Promise.all([learnFarm(), learnFields()])
  await keepFor(me.owner)
}

function isChange(name: string, value: unknown): boolean {
  const standard = specs.value.get(name)?.standard ?? null
  return specs.value.has(name) && value !== null && JSON.stringify(value) !== JSON.stringify(standard)
}

/** One of the video's input pictures, or null where it has none. */
async function picture(video: Video, variant: string): Promise<Picture | null> {
  const answer = await fetch(contentUrl(video, variant))
  return answer.ok ? readPicture(await answer.blob(), `${variant}.png`) : null
}
