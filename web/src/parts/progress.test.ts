import { expect, it } from 'vitest'
import { video } from '../test/video'
import { stageWords } from './progress'

it.each([
  [{ worker: 'worker-0', stage: 'section', step: 9, steps: 25 } as const, 'section 1 of 2 · step 9 of 25'],
  [{ worker: 'worker-0', stage: 'decode' } as const, 'decodes'],
  [{ worker: null, stage: null }, 'waits for a worker'], // between two of its sections, other videos go first
])('%o: %s', (more, text) => {
  expect(stageWords(video('a', { status: 'in_progress', ...more }))).toBe(text)
})
