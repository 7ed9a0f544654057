/** Which sections a remake keeps. Sections count in the order of making; cells count from left to right in time. Pure. */
import { words } from '../words'

/** Whether a cell stays as it is when the video is remade from the cell `from`. */
export const isKept = (cell: number, from: number, isForward: boolean): boolean => (isForward ? cell < from : cell > from)

/** The section that a cell (0 is the first in time) shows; a remake from the cell makes it first. */
export const sectionOf = (cell: number, sections: number, isForward: boolean): number => (isForward ? cell : sections - 1 - cell)

/** Cells that follow each other, in words: "sections 1 to 3", "section 4". */
export function cellWords(cells: readonly number[]): string {
  const [first, last] = [cells[0]! + 1, cells.at(-1)! + 1]
  return words.remake.sections(first, last)
}
