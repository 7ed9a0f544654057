/** Small choices that this browser remembers. Where it keeps nothing, they hold for the page. */
export function remembered(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(key, value)
  } catch {
    // cookies are switched off, or the disk is full
  }
}
