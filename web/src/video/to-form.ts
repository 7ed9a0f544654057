/** Fill the form of Create from a video, or from what a file holds, pictures included. */
import { smaller } from '../create/length'
import { call, Problem } from '../api/client'
import { learnFarm } from '../api/facts'
import { contentUrl, STARRED, title, type Video } from '../api/objects'
import { change, type Draft, draft, NEW, type Picture } from '../create/draft'
import { keepFor } from '../create/keep'
import { readPicture } from '../create/picture'
import { learnFields, specs } from '../create/specs'
import type { Found } from '../file/settings'
import { say } from '../parts/toast'
import { words } from '../words'

/** Fields that a remix must not carry over: they are the other video's own, or have their own place in the draft. */
const OWN = new Set(['prompt', 'keyframes', 'preset', 'name', 'metadata', 'priority'])

/** Everything that the video was made with. An undo brings the form's earlier content back. */
export async function fillForm(video: Video): Promise<void> {
  await ready()
  const whole = video.request ? video : await call<Video>(`/v1/videos/${video.id}`)
  const request = { ...whole.request } as Record<string, unknown>
  const names: Record<string, string> = { input_reference: 'start', end_image: 'end' }
  let isWhole = true
  const read = (part: string): Promise<Picture | null> =>
    picture(video, names[part] ?? part).catch((error: unknown) => {
      if (!(error instanceof Problem) || error.code !== 'damaged') throw error
      isWhole = false
      return null
    })
  const labels = (request['labels'] as string[] | undefined)?.filter((label) => label !== STARRED) // a star is for the video that was seen
  await fillWith({ ...request, labels: labels ?? null, prompt: video.prompt, seed: video.seed }, read, () => (isWhole ? words.next.filled : words.next.filledWithout))
}

/** The settings that a file holds. The form keeps its prompt and its start image where the file has none. stop: leaves the form alone. */
export async function fillFrom({ fields, images }: Found, stop: AbortSignal): Promise<void> {
  await ready()
  const { prompt, image } = draft.value
  const sent = async (part: string): Promise<Picture | null> => {
    const file = images[part]
    const answer = file ? await found(`/v1/files/${file.file_id}/content`) : null
    return answer && readPicture(await answer.blob(), `${part}.png`)
  }
  const orOurs = async (part: string): Promise<Picture | null> => (await sent(part)) ?? (part === 'input_reference' ? image : null)
  await fillWith({ prompt, ...fields }, orOurs, () => words.file.filled, stop)
}

async function fillWith(request: Record<string, unknown>, read: (part: string) => Promise<Picture | null>, told: () => string, stop?: AbortSignal): Promise<void> {
  const keyframes = (request['keyframes'] as { at_s: number; image: string }[] | undefined) ?? []
  const values = Object.entries(request).filter(([name, value]) => !OWN.has(name) && isChange(name, value))
  const [image, end, ...between] = await Promise.all(['input_reference', 'end_image', ...keyframes.map((frame) => frame.image)].map(read))
  stop?.throwIfAborted()
  const before = draft.value
  draft.value = {
    ...NEW,
    prompt: String(request['prompt'] ?? ''),
    values: Object.fromEntries(values) as Draft['values'],
    image: image ?? null,
    end: end ?? null,
    keyframes: keyframes.flatMap(({ at_s }, at) => (between[at] ? [{ at_s, picture: between[at] }] : [])),
  }
  say(told(), { undo: () => (draft.value = before) })
}

/** The same video in a size that needs about half the memory. */
export async function fillSmaller(video: Video): Promise<void> {
  const before = draft.value
  await fillForm(video)
  const px = smaller(video.size)
  const { size: _, ...values } = draft.value.values
  change({ values: { ...values, resolution: px } })
  say(words.failed.smallerFilled(px), { undo: () => (draft.value = before) })
}

export type Place = 'image' | 'end' | 'keyframe'

/** One frame of a video as a picture of the form; all else of the form stays. */
export async function useFrame(video: Video, atS: number, place: Place): Promise<void> {
  await ready()
  const inside = Math.min(atS, (video.frames - 0.5) / video.fps) // a player stands behind the last frame at the end
  const tenth = Math.floor(inside * 10) / 10
  const frame = await picture(video, 'frame', { at_s: inside.toFixed(3) }, `${title(video).slice(0, 40)} ${tenth.toFixed(1)} s.png`)
  if (!frame) throw new Problem(404, 'not_found', words.next.noFrame)
  if (place === 'keyframe') change({ keyframes: [...draft.value.keyframes, { at_s: tenth, picture: frame }] })
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

/** One of the video's pictures, or null where it has none. */
async function picture(video: Video, variant: string, more: Record<string, string> = {}, name = `${variant}.png`): Promise<Picture | null> {
  const answer = await found(contentUrl(video, variant, more))
  return answer && readPicture(await answer.blob(), name)
}

/** Whether the video was made from such a picture. */
export async function hasPicture(video: Video, variant: string): Promise<boolean> {
  const answer = await found(contentUrl(video, variant))
  await answer?.body?.cancel()
  return answer !== null
}

/** A file's answer, or null where there is none. Throws a Problem. */
async function found(address: string): Promise<Response | null> {
  const answer = await fetch(address).catch(() => Promise.reject(new Problem(0, 'away', words.away)))
  if (answer.ok) return answer
  if (answer.status === 404 || answer.status === 422) return null // the video is gone, or was made without such a picture
  const { code, detail } = (await answer.json().catch(() => ({}))) as { code?: unknown; detail?: unknown }
  throw new Problem(answer.status, typeof code === 'string' ? code : `http_${answer.status}`, typeof detail === 'string' ? detail : words.refused(answer.status))
}
