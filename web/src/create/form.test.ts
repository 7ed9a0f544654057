import { describe, expect, it } from 'vitest'
import { Problem } from '../api/client'
import { change, draft, fieldsOf, fill, formOf, isEmpty, NEW, presetOf, seedsOf, setDeadline } from './draft'
import { check, faults, take } from './faults'
import { shotsOf } from './many'
import { blocks, freeBorders, movePrompt, split, within } from './timeline'
import { faultOf, helpOf, labelOf, readFields } from './fields'
import { bucketOf, cutOff, framesOf, sectionsOf, secondsOf, smaller } from './length'

describe('lengths', () => {
  it('rounds to whole sections as the farm does, half to even', () => {
    expect(sectionsOf(3, 9)).toBe(2) // 2.5 sections
    expect(sectionsOf(4.2, 9)).toBe(4) // 3.5
    expect(sectionsOf(5, 9)).toBe(4)
    expect(sectionsOf(0.1, 9)).toBe(1)
  })
  it('asks for seconds that make exactly the sections that the slider shows', () => {
    for (let window = 1; window <= 33; window++) for (let n = 1; n <= 60; n++) expect(sectionsOf(secondsOf(n, window), window)).toBe(n)
  })
  it('counts the frame that the start image is', () => expect(framesOf(5, 9)).toBe(181))
  it('takes the bucket closest in shape, the later of two', () => {
    const buckets = ['960x416', '704x544', '640x608', '608x640', '416x960']
    expect(bucketOf([1000, 1000], buckets)).toBe('608x640')
    expect(bucketOf([1600, 700], buckets)).toBe('960x416')
    expect(bucketOf([700, 1600], buckets)).toBe('416x960')
  })
  it('says how much of a picture is cut off', () => {
    expect(cutOff([200, 100], [100, 100])).toBeCloseTo(0.5)
    expect(cutOff([100, 100], [100, 100])).toBe(0)
  })
})

describe('a draft', () => {
  it('sends only what differs from the defaults', () => {
    expect(fieldsOf({ ...NEW, prompt: 'a', values: { crf: 20 } })).toEqual({ prompt: 'a', crf: 20 })
  })
  it('lets a list of seeds win over the seed and the number of variants', () => {
    expect(fieldsOf({ ...NEW, prompt: 'a', values: { seed: 3 }, variants: 4, seeds: '1, 2' })).toEqual({ prompt: 'a', seeds: [1, 2] })
  })
  it('sends lists as JSON and pictures as parts', () => {
    const picture = { blob: new Blob(['x']), name: 'a.png', width: 1, height: 1 }
    const form = formOf({ ...NEW, prompt: 'a', image: picture, keyframes: [{ at_s: 1.2, picture }], values: { loras: [{ name: 'b', weight: 1 }] } })
    expect(form.get('loras')).toBe('[{"name":"b","weight":1}]')
    expect(form.get('keyframes')).toBe('[{"at_s":1.2,"image":"keyframe_0"}]')
    expect([...form.keys()]).toEqual(expect.arrayContaining(['input_reference', 'keyframe_0']))
  })
  it('is empty by what it holds', () => {
    expect(isEmpty({ ...NEW, values: {} })).toBe(true)
    expect(isEmpty({ ...NEW, image: { blob: new Blob(['x']), name: 'a', width: 1, height: 1 } })).toBe(false)
    expect(isEmpty({ ...NEW, values: { crf: 20 } })).toBe(false)
  })
  it('takes a preset, its prompt included', () => {
    change({ prompt: 'mine', preset: 'fast' })
    fill({ crf: 20 })
    expect(draft.value).toMatchObject({ prompt: 'mine', preset: null, values: { crf: 20 } })
    fill({ prompt: 'its', crf: 21 })
    expect(draft.value).toMatchObject({ prompt: 'its', values: { crf: 21 } })
    draft.value = NEW
  })
  it('keeps the built-in preset in an own one, and gets it back', () => {
    const before = { ...NEW, prompt: 'mine', preset: 'talking', values: { crf: 20 } }
    const kept = presetOf(before)
    expect(kept).toEqual({ preset: 'talking', crf: 20 })
    draft.value = { ...NEW, prompt: 'mine', preset: 'dance', values: { seed: 1 } }
    fill(kept)
    expect(draft.value).toEqual(before)
    expect(presetOf({ ...NEW, values: { crf: 20 } })).toEqual({ crf: 20 })
    draft.value = NEW
  })
  it('knows seeds from other words', () => {
    expect(seedsOf('1, 2 30')).toEqual([1, 2, 30])
    expect(seedsOf('1, two')).toBeNull()
    expect(seedsOf('')).toEqual([])
  })
})

describe('fields', () => {
  const schema = { properties: { steps: { anyOf: [{ type: 'integer', minimum: 1, maximum: 100 }, { type: 'null' }], default: null, description: 'how many' }, new_field: { type: 'string', enum: ['a', 'b'], default: 'a' } } }
  const document = { paths: { '/v1/videos': { post: { requestBody: { content: { 'multipart/form-data': { schema } } } } } } }
  const [steps, added] = readFields(document)
  it('reads kind, limits and default', () => {
    expect(steps).toMatchObject({ name: 'steps', kind: 'whole', min: 1, max: 100, standard: null, help: 'how many' })
    expect(added).toMatchObject({ name: 'new_field', kind: 'choice', choices: ['a', 'b'], standard: 'a' })
    expect(labelOf('new_field')).toBe('New field')
    expect(labelOf('num_inference_steps')).toBe('Steps')
  })
  it('says what a field is for as a sentence', () => {
    expect(helpOf(steps!)).toBe('How many.')
    expect(helpOf(added!)).toBe('')
    expect(helpOf({ ...steps!, name: 'negative_prompt', help: 'has an effect only if true_cfg_scale is above 1' })).toContain('if True CFG is above 1.')
  })
  it('refuses in the words of the farm', () => {
    expect(faultOf(steps!, 101)).toBe('need at most 100')
    expect(faultOf(steps!, Number.NaN)).toBe('need a number')
    expect(faultOf(steps!, 1.5)).toBe('need a whole number')
    expect(faultOf(steps!, 25)).toBeNull()
    const prompt = { ...added!, kind: 'text' as const, maxLength: 3 }
    expect(faultOf(prompt, '🐱🐱🐱')).toBeNull() // three characters for the farm, six for JavaScript
    expect(faultOf(prompt, '🐱🐱🐱🐱')).toBe('need at most 3 characters')
  })
})

describe('a deadline', () => {
  const said = 'need a number of seconds above 0, such as 600'
  it('is above 0', () => {
    draft.value = { ...NEW, prompt: 'a' }
    for (const [seconds, fault] of [[0, said], [-5, said], [Number.NaN, said], [0.5, undefined], [null, undefined]] as const) {
      setDeadline(seconds)
      expect(check()).toBe(fault === undefined)
      expect(faults.value['deadline']).toBe(fault)
    }
    draft.value = NEW
  })
  it('shows what the farm says of it', () => {
    take(new Problem(400, 'invalid_request', said, [{ field: 'metadata.deadline_s', message: said }, { field: 'loras.0.name', message: 'no' }]))
    expect(faults.value).toEqual({ deadline: said, loras: 'no' })
    faults.value = {}
  })
})

describe('many pictures', () => {
  const files = ['b2.png', 'b10.png', 'a.jpg', 'a.txt', 'c.png'].map((name) => new File(['x'], name))
  it('makes one video each, in the order of their names, with their texts', () => {
    expect(shotsOf(files, false).map(({ first, text }) => [first.name, text?.name])).toEqual([['a.jpg', 'a.txt'], ['b2.png', undefined], ['b10.png', undefined], ['c.png', undefined]])
  })
  it('makes first and last pairs', () => {
    expect(shotsOf(files, true).map(({ first, last }) => [first.name, last?.name])).toEqual([['a.jpg', 'b2.png'], ['b10.png', 'c.png']])
  })
})

describe('the timeline', () => {
  const prompts = [{ at_s: 1.2, text: 'b' }, { at_s: 3.6, text: 'c' }]
  it('offers the borders that are free', () => {
    expect(freeBorders(prompts, 5, 9)).toEqual([2, 4])
    expect(freeBorders([], 1, 9)).toEqual([])
  })
  it('keeps a moved prompt between its neighbours', () => {
    expect(movePrompt(prompts, 0, 9, 5, 9)[0]!.at_s).toBe(2.4)
    expect(movePrompt(prompts, 1, 0, 5, 9)[1]!.at_s).toBe(2.4)
    expect(movePrompt(prompts, 1, 9, 5, 9)[1]!.at_s).toBe(4.8)
  })
  it('draws blocks from border to border', () => expect(blocks(prompts, 5, 9).map(({ from, to }) => [from, to])).toEqual([[0, 1], [1, 3], [3, 5]]))
  it('finds what a shorter video leaves out', () => expect(within(prompts, 3, 9)).toEqual([prompts[0]]))
})

it('splits a block in its middle, with one text for both halves', () => {
  const [first] = blocks([], 5, 9)
  const prompts = split([], first!, 'a cat', 9)
  expect(prompts).toEqual([{ at_s: 2.4, text: 'a cat' }])
  expect(split(prompts, blocks(prompts, 5, 9)[1]!, 'a cat', 9).map(({ at_s }) => at_s)).toEqual([2.4, 3.6])
})

it('finds a size class of half the memory', () => {
  expect(smaller('640x608')).toBe(432)
  expect(smaller('64x64')).toBe(64)
})
