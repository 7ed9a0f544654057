/** A button that is a picture; its name is read aloud and shown under the pointer. */
import type { TargetedMouseEvent } from 'preact'
import { Icon, type IconName } from './icon'

interface Props {
  icon: IconName
  name: string
  onClick?: (event: TargetedMouseEvent<HTMLButtonElement>) => unknown
  class?: string
  isPressed?: boolean
  isDisabled?: boolean
}

export const IconButton = ({ icon, name, onClick, class: more = '', isPressed, isDisabled }: Props) => (
  <button type="button" class={`quiet square ${more}`} aria-label={name} title={name} aria-pressed={isPressed} disabled={isDisabled} onClick={onClick}>
    <Icon name={icon} />
  </button>
)
