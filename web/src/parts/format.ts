/** Numbers as people read them. */

/** Seconds as a short span: "40 s", "4 min", "1 h 5 min". */
export function span(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`
}

/** A video's length: "6.0 s", "1:05 min". */
export function length(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')} min`
}

export function bytes(count: number): string {
  const units = ['bytes', 'KB', 'MB', 'GB', 'TB']
  const step = count < 1000 ? 0 : Math.min(Math.floor(Math.log10(count) / 3), units.length - 1)
  const value = count / 1000 ** step
  return `${step && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[step]}`
}

/** A time of day, with the date where it is not today. */
export function when(unix: number, now = new Date()): string {
  const time = new Date(unix * 1000)
  const clock = time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
  if (time.toDateString() === now.toDateString()) return clock
  return `${time.toLocaleDateString([], { day: 'numeric', month: 'short', ...(time.getFullYear() !== now.getFullYear() && { year: 'numeric' }) })}, ${clock}`
}

/** A name for a downloaded file, from what people call the video. */
export function fileName(text: string, id: string, ending: string): string {
  const plain = text.normalize('NFKD').replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '').slice(0, 48)
  return `${[plain, id.slice(-6)].filter(Boolean).join('-')}.${ending}`
}
