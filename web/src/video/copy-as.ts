/** A video's request as a command that makes it again. Pure. */
import type { Video } from '../api/objects'

const LATER = new Set(['prompt', 'input_reference', 'end_image', 'metadata', 'name', 'priority'])

/** Where the farm is, whether it asks for a key, and which pictures the video was made from. */
export interface Made {
  origin: string
  isKeyed: boolean
  hasStart: boolean
  hasEnd: boolean
}

type Fields = [name: string, value: unknown][]

/** The fields that say how the video was made; those that hold nothing are left out. */
export function telling(video: Video): Fields {
  const fields = Object.entries({ ...video.request, seed: video.seed })
  const isSaid = (value: unknown): boolean => value !== null && value !== '' && value !== false && !(Array.isArray(value) && !value.length)
  return fields.filter(([name, value]) => !LATER.has(name) && isSaid(value))
}

const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))
const quoted = (value: string): string => (/^[\w./:@%+=-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`)

const keyframes = (video: Video): { at_s: number; image: string }[] => video.request?.keyframes ?? []

/** The files that the person has, by the request's fields. */
function files(video: Video, made: Made): [field: string, file: string][] {
  const own: [string, string][] = [...(made.hasStart ? [['input_reference', 'photo.jpg'] as [string, string]] : []), ...(made.hasEnd ? [['end_image', 'end.jpg'] as [string, string]] : [])]
  return [...own, ...keyframes(video).map(({ image }): [string, string] => [image, `${image}.jpg`])]
}

/** --form-string takes a text as it is: with -F, one that begins with @ names a file. */
export function asCurl(video: Video, made: Made): string {
  const key = made.isKeyed ? ['-H "Authorization: Bearer $FARM_API_KEY"'] : []
  const pictures = files(video, made).map(([name, file]) => `-F ${name}=@${file}`)
  const parts = [['prompt', video.prompt], ...telling(video)].map(([name, value]) => `--form-string ${quoted(`${name as string}=${text(value)}`)}`)
  return [`curl ${made.origin}/v1/videos`, ...key, ...pictures, ...parts].join(' \\\n  ')
}

/** Farm reads FARM_API_KEY by itself. */
export function asPython(video: Video, made: Made): string {
  const between = keyframes(video).map(({ at_s, image }) => `${at_s}: ${python(`${image}.jpg`)}`)
  const fields = telling(video).filter(([name]) => name !== 'keyframes')
  const parts = [
    made.hasStart ? '"photo.jpg"' : 'None',
    python(video.prompt),
    ...(made.hasEnd ? ['end_image="end.jpg"'] : []),
    ...(between.length ? [`keyframes={${between.join(', ')}}`] : []),
    ...fields.map(([name, value]) => `${name}=${python(value)}`),
  ]
  return ['from farm.client import Farm', '', `farm = Farm(${python(made.origin)})`, 'video = farm.render(', ...parts.map((part) => `    ${part},`), ')', 'print(video.save())'].join('\n')
}

/** The command reads FARM_API_KEY by itself. */
export function asCommand(video: Video, made: Made): string {
  const pictured = keyframes(video).map((frame) => ({ ...frame, image: `${frame.image}.jpg` })) // a flag names files
  const flags = telling(video).map(([name, told]) => {
    const value = name === 'keyframes' ? pictured : told
    const flag = `--${name.replaceAll('_', '-')}`
    return value === true ? flag : `${flag} ${quoted(text(value))}`
  })
  const own = [...(made.hasStart ? ['photo.jpg'] : []), ...(made.hasEnd ? ['--end-image end.jpg'] : [])]
  return [['framefarm submit', ...own, `--url ${quoted(made.origin)}`].join(' '), `--prompt ${quoted(video.prompt)}`, ...flags].join(' \\\n  ')
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
