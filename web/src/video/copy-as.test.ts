import { expect, it } from 'vitest'
import { video } from '../test/video'
import { asCommand, asCurl, asPython } from './copy-as'

const request = { prompt: "It's dancing", model: 'tiny', seconds: 2.4, loop: true, cache: 'none', end_image: null, name: 'x', loras: [], prompts: [{ at_s: 1.2, text: 'and yawns' }] }
const clip = video('a', { prompt: "It's dancing", seed: 7, request: request as never })

const made = { origin: 'http://farm:1', isKeyed: false, hasStart: true, hasEnd: false }
const pictured = video('b', { request: { keyframes: [{ at_s: 1, image: 'keyframe_0' }] } as never })

it('quotes for a shell', () => {
  expect(asCurl(clip, made)).toContain(`--form-string 'prompt=It'\\''s dancing'`)
  expect(asCommand(clip, made)).toContain(`--prompt 'It'\\''s dancing'`)
})

it('names what was asked for, and nothing that is empty', () => {
  const text = asCommand(clip, made)
  expect(text).toContain('--loop')
  expect(text).toContain('--seed 7')
  expect(text).not.toContain('loras')
  expect(text).not.toContain('end-image')
})

it('writes Python, not JSON', () => {
  const lines = ['from farm.client import Farm', '', 'farm = Farm("http://farm:1")', 'video = farm.render(', '    "photo.jpg",', '    "It\'s dancing",', '    model="tiny",', '    seconds=2.4,']
  lines.push('    loop=True,', '    cache="none",', '    prompts=[{"at_s": 1.2, "text": "and yawns"}],', '    seed=7,', ')', 'print(video.save())')
  expect(asPython(clip, made).split('\n')).toEqual(lines)
  expect(asPython(clip, { ...made, hasStart: false })).toContain('    None,')
})

it('names the files of every picture that the video was made from, and of no other', () => {
  const all = { ...made, hasEnd: true }
  expect(asCurl(pictured, all)).toMatch(/-F input_reference=@photo.jpg[^]*-F end_image=@end.jpg[^]*-F keyframe_0=@keyframe_0.jpg/)
  expect(asPython(pictured, all)).toMatch(/"photo.jpg",\n.*\n    end_image="end.jpg",\n    keyframes={1: "keyframe_0.jpg"},\n/)
  expect(asCommand(pictured, all)).toContain(`'[{"at_s":1,"image":"keyframe_0.jpg"}]'`)
  expect(asCommand(pictured, all)).toContain('submit photo.jpg --end-image end.jpg')
  expect(asCurl(clip, { ...made, hasStart: false })).not.toContain('input_reference')
})

it('takes the key from the environment where the farm asks for one; Python and the command do so by themselves', () => {
  const keyed = { ...made, isKeyed: true }
  expect(asCurl(clip, keyed)).toContain('-H "Authorization: Bearer $FARM_API_KEY"')
  expect(asCurl(clip, made)).not.toContain('Authorization')
})
