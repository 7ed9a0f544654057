/** Prompts and pictures over time, on the borders of sections. Pure. */
import { secondsOf, sectionS } from './length'

export interface TimedPrompt {
  at_s: number
  text: string
}

/** The section border nearest to a time, from 0 to the number of sections. */
export const borderOf = (atS: number, window: number): number => Math.round(atS / sectionS(window))

/** The borders that have no prompt (or keyframe) yet. The start has its own. */
export function freeBorders(taking: readonly { at_s: number }[], sections: number, window: number): number[] {
  const taken = new Set(taking.map(({ at_s }) => borderOf(at_s, window)))
  return Array.from({ length: Math.max(0, sections - 1) }, (_, k) => k + 1).filter((border) => !taken.has(border))
}

/** Move a prompt to a border. It stays between its neighbours, so that no two begin together. */
export function movePrompt(prompts: readonly TimedPrompt[], at: number, border: number, sections: number, window: number): TimedPrompt[] {
  const before = at > 0 ? borderOf(prompts[at - 1]!.at_s, window) : 0
  const after = at + 1 < prompts.length ? borderOf(prompts[at + 1]!.at_s, window) : sections
  const kept = Math.min(Math.max(border, before + 1), after - 1)
  return prompts.map((prompt, k) => (k === at ? { ...prompt, at_s: secondsOf(kept, window) } : prompt))
}

/** Blocks of the track: from border to border, the prompt of the form first. */
export function blocks(prompts: readonly TimedPrompt[], sections: number, window: number): { from: number; to: number; at: number | null }[] {
  const starts = [0, ...prompts.map(({ at_s }) => Math.min(borderOf(at_s, window), sections))]
  return starts.map((from, k) => ({ from, to: starts[k + 1] ?? sections, at: k === 0 ? null : k - 1 }))
}

/** Split a block in its middle; both halves have its text at first. `text`: that of the block. */
export function split(prompts: readonly TimedPrompt[], { from, to }: { from: number; to: number }, text: string, window: number): TimedPrompt[] {
  const middle = { at_s: secondsOf(Math.floor((from + to) / 2), window), text }
  return [...prompts, middle].sort((a, b) => a.at_s - b.at_s)
}

/** Return the items of a timeline that still lie within a video that became shorter. */
export const within = <T extends { at_s: number }>(items: readonly T[], sections: number, window: number): T[] =>
  items.filter(({ at_s }) => borderOf(at_s, window) < sections)
