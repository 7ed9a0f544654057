/** A video's request as a command that makes it again. Pure. */
import type { Video } from '../api/objects'

/** The start image goes along as a file that the person has. */
const IMAGE = 'photo.jpg'
const LATER = new Set(['prompt', 'input_reference', 'metadata', 'name', 'priority'])

type Fields = [name: string, value: unknown][]

/** The fields that say how the video was made; those that hold nothing are left out. */
export function telling(video: Video): Fields {
  const fields = Object.entries({ ...video.request, seed: video.seed })
  const isSaid = (value: unknown): boolean => value !== null && value !== '' && value !== false && !(Array.isArray(value) && !value.length)
  return fields.filter(([name, value]) => !LATER.has(name) && isSaid(value))
}

const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))
const quoted = (value: string): string => (/^[\w./:@%+=-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`)

export function asCurl(video: Video, origin: string): string {
  const parts = [['prompt', video.prompt], ...telling(video)].map(([name, value]) => `-F ${quoted(`${name as string}=${text(value)}`)}`)
  return [`curl ${origin}/v1/videos`, `-F input_reference=@${IMAGE}`, ...parts].join(' \\\n  ')
}

export function asPython(video: Video, origin: string): string {
  const fields = Object.fromEntries([['prompt', video.prompt], ...telling(video)] as Fields)
  return [
    'from pathlib import Path',
    'from farm.client import FarmClient',
    '',
    `client = FarmClient(${python(origin)})`,
    'video = client.submit(',
    `    ${python(fields)},`,
    `    {"input_reference": Path(${python(IMAGE)})},`,
    ')',
  ].join('\n')
}

export function asCommand(video: Video): string {
  const flags = telling(video).map(([name, value]) => {
    const flag = `--${name.replaceAll('_', '-')}`
    return value === true ? flag : `${flag} ${quoted(text(value))}`
  })
  return [`framefarm submit ${IMAGE} --prompt ${quoted(video.prompt)}`, ...flags].join(' \\\n  ')
}

/** JSON is Python but for three words. */
function python(value: unknown): string {
  if (value === true) return 'True'
  if (value === false) return 'False'
  if (value === null) return 'None'
  if (Array.isArray(value)) return `[${value.map(python).join(', ')}]`
  if (typeof value === 'object') return `{${Object.entries(value as object).map(([name, inner]) => `${JSON.stringify(name)}: ${python(inner)}`).join(', ')}}`
  return JSON.stringify(value)
}
