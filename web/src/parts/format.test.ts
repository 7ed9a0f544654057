import { expect, it } from 'vitest'
import { bytes, fileName, length, span } from './format'

it.each([[0.2, '1 s'], [40, '40 s'], [89.6, '90 s'], [240, '4 min'], [3600, '1 h'], [3900, '1 h 5 min']])('a span of %d s is %s', (s, text) => {
  expect(span(s)).toBe(text)
})
it.each([[6, '6.0 s'], [65, '1:05 min'], [119.7, '2:00 min']])('a video of %d s has the length %s', (s, text) => {
  expect(length(s)).toBe(text)
})
it.each([[0, '0 bytes'], [999, '999 bytes'], [1234, '1.2 KB'], [40_000_000, '40 MB']])('%d bytes are %s', (count, text) => {
  expect(bytes(count)).toBe(text)
})
it('names a file by letters of any script, and never by a path', () => {
  expect(fileName('../Кот зевает 🐱!', 'video_0123456789abcdef', 'mp4')).toBe('Кот-зевает-abcdef.mp4'.normalize('NFKD'))
  expect(fileName('🐱', 'video_0123456789abcdef', 'mp4')).toBe('abcdef.mp4')
})
