/** Lengths in whole sections, and the size that a picture's shape leads to. Pure; the farm's dry run has the last word. */

const FPS = 30

/** Seconds of one section. */
export const sectionS = (window: number): number => (4 * window) / FPS

/** The number of sections that the farm makes of a length: rounded half to even, as Python rounds, and at least one. */
export function sectionsOf(seconds: number, window: number): number {
  const exact = seconds / sectionS(window)
  const below = Math.floor(exact)
  const rest = exact - below
  const rounded = Math.abs(rest - 0.5) < 1e-9 ? below + (below % 2) : Math.round(exact)
  return Math.max(1, rounded)
}

/** Seconds to ask for, so that exactly so many sections are made. */
export const secondsOf = (sections: number, window: number): number => Math.round(sections * sectionS(window) * 1000) / 1000

export const framesOf = (sections: number, window: number): number => 4 * window * sections + 1

/** Return the share of a picture that is cut off when it fills a frame of another shape, 0 to 1. */
export function cutOff(image: readonly [number, number], frame: readonly [number, number]): number {
  const [wide, shape] = [image[0] / image[1], frame[0] / frame[1]]
  return 1 - Math.min(wide / shape, shape / wide)
}

/** Return the bucket, WIDTHxHEIGHT, that is closest in shape; the later one where two are equally close. */
export function bucketOf(image: readonly [number, number], buckets: readonly string[]): string | null {
  let best: string | null = null
  let least = Infinity
  const byHeight = [...buckets].sort((a, b) => sides(a)[1] - sides(b)[1])
  for (const bucket of byHeight) {
    const [width, height] = sides(bucket)
    const away = Math.abs(image[1] * width - image[0] * height)
    if (away <= least) [best, least] = [bucket, away]
  }
  return best
}

/** A box of a picture's true shape, as wide as there is room and no higher than about half the window. */
export const fitting = ([width, height]: readonly [number, number]): { aspectRatio: string; width: string } => ({
  aspectRatio: `${width} / ${height}`,
  width: `min(100%, calc(48vh * ${(width / height).toFixed(4)}))`,
})

/** The size class, in px, that halves the memory of what a video of this size is made in; at least the farm's smallest. */
export function smaller(size: string): number {
  const [width, height] = sides(size)
  return Math.max(64, Math.floor(Math.sqrt((width * height) / 2) / 16) * 16)
}

/** "640x608" as [640, 608]. */
export function sides(size: string): [number, number] {
  const [width = 1, height = 1] = size.split('x').map(Number)
  return [width, height]
}
