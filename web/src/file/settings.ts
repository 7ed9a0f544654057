/** Files that hold a video or settings: which ones they are, what the farm reads in them, and what becomes of it. */
import { signal } from '@preact/signals'
import { call, create } from '../api/client'
import { farm } from '../api/facts'
import { contentUrl, type Video } from '../api/objects'
import { draft, type Picture } from '../create/draft'
import { patiently } from '../create/many'
import { readPicture } from '../create/picture'
import { learn } from '../live/store'
import { words } from '../words'

export interface LeftOut {
  name: string
  value: unknown
  why: string
}

/** The settings of one video, as POST /v1/inspect answers. */
export interface Found {
  fields: Readonly<Record<string, unknown>>
  images: Readonly<Record<string, { file_id: string }>>
  left_out: readonly LeftOut[]
}

export interface Inspection {
  from: string
  /** The video that the file is, where this farm still has it. */
  video_id: string | null
  data: readonly Found[]
}

/** Files that wait for a word on what is meant. */
export const asked = signal<readonly File[]>([])

export const askAbout = (files: readonly File[]): void => {
  asked.value = [...asked.value, ...files]
}

export const isVideo = (file: File): boolean => file.type.startsWith('video/') || /\.(mp4|m4v|mov|webm|mkv)$/i.test(file.name)

/** Whether a file is no picture, but one that the farm reads. */
export const isForFarm = (file: File): boolean => isVideo(file) || /\.(json|zip)$/i.test(file.name)

/** Texts of FramePack-Studio's and eichi's PNGs; farm/intake/inspect_file.py knows a file by them. */
const TEXTS = /^(parameters|section_prompt|model_type|total_second_length)\0/

/** Whether a picture is a PNG with settings in it. Reads the heads of its chunks only. */
export async function holdsSettings(file: Blob): Promise<boolean> {
  const head = async (at: number): Promise<string> => String.fromCharCode(...new Uint8Array(await file.slice(at, at + 40).arrayBuffer()))
  if (!(await head(0)).startsWith('\x89PNG')) return false
  for (let at = 8; at + 12 <= file.size; ) {
    const chunk = await head(at)
    const [kind, text] = [chunk.slice(4, 8), chunk.slice(8)]
    if (/^(tEXt|zTXt|iTXt)$/.test(kind) && TEXTS.test(text)) return true
    if (kind === 'IEND') return false
    at += 12 + [...chunk.slice(0, 4)].reduce((length, byte) => length * 256 + byte.charCodeAt(0), 0)
  }
  return false
}

/** Let the farm read a file. Throws a Problem, or an Error for a file that it would not take. */
export async function inspect(file: File): Promise<Inspection> {
  const most = farm.value?.limits.upload_mb ?? Infinity
  if (file.size > most * 2 ** 20) throw new Error(words.picture.tooLarge(file.size / 2 ** 20, most))
  const form = new FormData()
  form.set('file', file, file.name)
  return await call<Inspection>('/v1/inspect', { method: 'POST', body: form, insist: true })
}

/** Ask for a video of each of several settings. Those without a start image get the form's. Returns what was refused. */
export async function makeEach(data: readonly Found[], tell: (at: number) => void): Promise<string[]> {
  const { image, prompt } = draft.value
  const lacks = data.some((one) => !one.images['input_reference'])
  const own = image && lacks ? { input_reference: await send(image) } : {}
  const refused: string[] = []
  for (const [at, one] of data.entries()) {
    tell(at)
    const body = { prompt, ...one.fields, ...own, ...one.images }
    await patiently(() => learn(create<Video>('/v1/videos', body))).catch((error: unknown) => refused.push(`${at + 1}: ${(error as Error).message}`))
  }
  return refused
}

/** Send a picture once, so that several requests can name it. */
async function send(picture: Picture): Promise<{ file_id: string }> {
  const form = new FormData()
  form.set('purpose', 'vision')
  form.set('file', picture.blob, picture.name)
  const { id } = await call<{ id: string }>('/v1/files', { method: 'POST', body: form, insist: true })
  return { file_id: id }
}

/** The last frame of a video file: as the farm has it where the video is there, else as the browser shows it. */
export async function lastFrame(file: File, video: string | null): Promise<Picture> {
  const name = words.file.frameName(file.name.replace(/\.[^.]*$/, ''))
  const answer = video ? await fetch(contentUrl({ id: video }, 'frame', { at_s: 'last' })).catch(() => null) : null
  return readPicture(answer?.ok ? await answer.blob() : await drawn(file), name)
}

async function drawn(file: File): Promise<Blob> {
  const [video, canvas] = [document.createElement('video'), document.createElement('canvas')]
  const address = URL.createObjectURL(file)
  const happens = (name: string): Promise<void> =>
    new Promise((done, fail) => {
      video.addEventListener(name, () => done(), { once: true })
      video.addEventListener('error', () => fail(new Error(words.file.noFrame)), { once: true })
    })
  try {
    video.muted = true
    video.preload = 'auto'
    const loaded = happens('loadeddata')
    video.src = address
    await loaded
    const sought = happens('seeked')
    video.currentTime = Number.isFinite(video.duration) ? video.duration : Number.MAX_SAFE_INTEGER
    await sought
    canvas.width = video.videoWidth
    canvas.height = video.videoHeight
    canvas.getContext('2d')?.drawImage(video, 0, 0)
    const picture = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/png'))
    if (!picture) throw new Error(words.file.noFrame)
    return picture
  } finally {
    URL.revokeObjectURL(address)
  }
}
