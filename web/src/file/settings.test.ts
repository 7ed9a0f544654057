import { describe, expect, it } from 'vitest'
import { holdsSettings, isForFarm } from './settings'

const chunk = (kind: string, data: string): string => `${String.fromCharCode(0, 0, data.length >> 8, data.length & 255)}${kind}${data}CRC!`
const png = (...chunks: string[]): File => {
  const bytes = `\x89PNG\r\n\x1a\n${chunk('IHDR', 'x'.repeat(13))}${chunks.join('')}${chunk('IDAT', 'pixels')}${chunk('IEND', '')}`
  return new File([Uint8Array.from(bytes, (letter) => letter.charCodeAt(0))], 'a.png')
}

describe('files that hold settings', () => {
  it('knows videos, JSON and queues by type or name', () => {
    const files = ['a.mp4', 'a.MOV', 'a.json', 'a.zip', 'a.png', 'a.txt', 'a.jpg'].map((name) => new File(['x'], name))
    expect(files.filter(isForFarm).map(({ name }) => name)).toEqual(['a.mp4', 'a.MOV', 'a.json', 'a.zip'])
    expect(isForFarm(new File(['x'], 'clip', { type: 'video/mp4' }))).toBe(true)
  })
  it('finds the texts of Studio and eichi in a PNG, and no others', async () => {
    expect(await holdsSettings(png(chunk('iCCP', 'x'.repeat(600)), chunk('tEXt', 'model_type\0Original')))).toBe(true)
    expect(await holdsSettings(png(chunk('iTXt', 'parameters\0\0\0\0\0a cat')))).toBe(true)
    expect(await holdsSettings(png(chunk('tEXt', 'Software\0model_type')))).toBe(false)
    expect(await holdsSettings(png())).toBe(false)
    expect(await holdsSettings(new File(['\xff\xd8 a JPEG'], 'a.jpg'))).toBe(false)
    expect(await holdsSettings(new File([], 'a.png'))).toBe(false)
  })
})
