/** Why the farm refused what was asked. A screen reader says it as it appears. */
import type { ComponentChildren } from 'preact'

export const Refused = ({ why, children }: { why: string | null | undefined; children?: ComponentChildren }) =>
  why ? (
    <p class="note bad row" role="alert">
      {why} {children}
    </p>
  ) : null
