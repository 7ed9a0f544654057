/** Why the farm refused what was asked. A screen reader says it as it appears; it does not say the children. */
import type { ComponentChildren } from 'preact'

export const Refused = ({ why, id, children }: { why: string | null | undefined; id?: string; children?: ComponentChildren }) =>
  why ? (
    <p class="note bad row">
      <span id={id} role="alert">
        {why}
      </span>
      {children}
    </p>
  ) : null
