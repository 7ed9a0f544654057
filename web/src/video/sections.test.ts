import { expect, it } from 'vitest'
import { cellWords, isKept, sectionOf } from './sections'

it('keeps what is on the right of a cell where the end is made first', () => {
  // Five sections; the third cell in time is section 2. Cells 4 and 5 are sections 1 and 0: made before it, so they stay.
  expect(sectionOf(2, 5, false)).toBe(2)
  expect([0, 1, 2, 3, 4].filter((cell) => isKept(cell, 2, false))).toEqual([3, 4])
  expect([3, 4].every((cell) => sectionOf(cell, 5, false) < sectionOf(2, 5, false))).toBe(true)
})

it('keeps what is on the left of a cell where the start is made first', () => {
  expect(sectionOf(2, 5, true)).toBe(2)
  expect([0, 1, 2, 3, 4].filter((cell) => isKept(cell, 2, true))).toEqual([0, 1])
  expect([0, 1].every((cell) => sectionOf(cell, 5, true) < sectionOf(2, 5, true))).toBe(true)
})

it('says cells in words', () => {
  expect(cellWords([0, 1, 2])).toBe('sections 1 to 3')
  expect(cellWords([1, 2])).toBe('sections 2 and 3')
  expect(cellWords([4])).toBe('section 5')
})
