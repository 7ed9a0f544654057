/** Files that people drop, paste or pick, as pictures of the form. */
import { words } from '../words'
import type { Picture } from './draft'
import { farm } from '../api/facts'

/** Read a file's size in px and check it as the farm would. Throws an Error whose message is for people. */
export async function readPicture(file: Blob, name: string): Promise<Picture> {
  const limits = farm.value?.limits
  const megabytes = file.size / 2 ** 20
  if (limits && megabytes > limits.upload_mb) throw new Error(words.picture.tooLarge(megabytes, limits.upload_mb))
  if (limits && file.type.startsWith('image/') && !limits.image_formats.includes(file.type)) throw new Error(words.picture.format(file.type, limits.image_formats))
  const address = URL.createObjectURL(file)
  try {
    const image = await opened(address)
    const { naturalWidth: width, naturalHeight: height } = image
    if (limits && width * height > limits.pixels) throw new Error(words.picture.tooManyPixels(width, height, limits.pixels)) // before the browser decodes them all
    if (limits && Math.min(width, height) < limits.image_side_px) throw new Error(words.picture.tooSmall(width, height, limits.image_side_px))
    await image.decode().catch(broken)
    return { blob: file, name, width, height }
  } finally {
    URL.revokeObjectURL(address)
  }
}

const broken = (): never => {
  throw new Error(words.picture.broken)
}

/** A picture whose size is known; its pixels may not be decoded yet. */
async function opened(address: string): Promise<HTMLImageElement> {
  const image = new Image()
  const isLoaded = new Promise((done, fail) => Object.assign(image, { onload: done, onerror: fail }))
  image.src = address
  await isLoaded.catch(broken)
  return image
}

/** The files of a drop or a paste. */
export const filesOf = (data: DataTransfer | null): File[] => Array.from(data?.files ?? [])
