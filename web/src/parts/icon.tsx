/** Lucide's drawings (ISC), built in as inline SVG. */
import camera from 'lucide-static/icons/camera.svg?raw'
import cpu from 'lucide-static/icons/cpu.svg?raw'
import dice from 'lucide-static/icons/dices.svg?raw'
import down from 'lucide-static/icons/chevron-down.svg?raw'
import download from 'lucide-static/icons/download.svg?raw'
import edit from 'lucide-static/icons/pencil.svg?raw'
import film from 'lucide-static/icons/film.svg?raw'
import full from 'lucide-static/icons/maximize.svg?raw'
import grip from 'lucide-static/icons/grip-vertical.svg?raw'
import image from 'lucide-static/icons/image.svg?raw'
import keyboard from 'lucide-static/icons/keyboard.svg?raw'
import left from 'lucide-static/icons/chevron-left.svg?raw'
import list from 'lucide-static/icons/list-video.svg?raw'
import lock from 'lucide-static/icons/lock.svg?raw'
import loop from 'lucide-static/icons/repeat.svg?raw'
import monitor from 'lucide-static/icons/monitor.svg?raw'
import moon from 'lucide-static/icons/moon.svg?raw'
import pause from 'lucide-static/icons/pause.svg?raw'
import play from 'lucide-static/icons/play.svg?raw'
import plus from 'lucide-static/icons/sparkles.svg?raw'
import retry from 'lucide-static/icons/rotate-ccw.svg?raw'
import right from 'lucide-static/icons/chevron-right.svg?raw'
import silent from 'lucide-static/icons/volume-x.svg?raw'
import sound from 'lucide-static/icons/volume-2.svg?raw'
import star from 'lucide-static/icons/star.svg?raw'
import split from 'lucide-static/icons/scissors.svg?raw'
import sun from 'lucide-static/icons/sun.svg?raw'
import undo from 'lucide-static/icons/undo-2.svg?raw'
import unlock from 'lucide-static/icons/lock-open.svg?raw'
import user from 'lucide-static/icons/user-round.svg?raw'
import x from 'lucide-static/icons/x.svg?raw'

const DRAWINGS = {
  camera,
  cpu,
  dice,
  down,
  download,
  edit,
  film,
  full,
  grip,
  image,
  keyboard,
  left,
  list,
  lock,
  loop,
  monitor,
  moon,
  pause,
  play,
  plus,
  retry,
  right,
  silent,
  sound,
  split,
  star,
  sun,
  undo,
  unlock,
  user,
  x,
}
export type IconName = keyof typeof DRAWINGS

/** A picture beside a word, or inside a button that has a name: never read aloud. */
export const Icon = ({ name }: { name: IconName }) => (
  <span class="icon" aria-hidden="true" dangerouslySetInnerHTML={{ __html: DRAWINGS[name].replace(/<!--.*?-->/s, '') }} />
)
