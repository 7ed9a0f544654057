/** Where videos go in the queue. Pure. */
export type Place = { before: string } | { after: string } | { to: 'first' | 'last' }

/** The queue's ids with those of `moved` at their new place; the queue itself where that place is not in it. */
export function placed(queue: readonly string[], moved: readonly string[], place: Place): readonly string[] {
  const rest = queue.filter((id) => !moved.includes(id))
  const beside = 'before' in place ? place.before : 'after' in place ? place.after : null
  if (beside !== null && !rest.includes(beside)) return queue
  const at = 'to' in place ? (place.to === 'first' ? 0 : rest.length) : 'before' in place ? rest.indexOf(place.before) : rest.indexOf(place.after) + 1
  return [...rest.slice(0, at), ...moved, ...rest.slice(at)]
}

