import { expect, it } from 'vitest'
import { video } from '../test/video'
import { asCommand, asCurl, asPython } from './copy-as'

const request = { prompt: "It's dancing", model: 'tiny', seconds: 2.4, loop: true, cache: 'none', end_image: null, name: 'x', loras: [], prompts: [{ at_s: 1.2, text: 'and yawns' }] }
const made = video('a', { prompt: "It's dancing", seed: 7, request: request as never })

it('quotes for a shell', () => {
  expect(asCurl(made, 'http://farm:1')).toContain(`-F 'prompt=It'\\''s dancing'`)
  expect(asCommand(made)).toContain(`--prompt 'It'\\''s dancing'`)
})

it('names what was asked for, and nothing that is empty', () => {
  const text = asCommand(made)
  expect(text).toContain('--loop')
  expect(text).toContain('--seed 7')
  expect(text).not.toContain('loras')
  expect(text).not.toContain('end-image')
})

it('writes Python, not JSON', () => {
  expect(asPython(made, 'http://farm:1')).toContain('"loop": True')
})
