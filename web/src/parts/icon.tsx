/** Lucide's drawings (ISC), built in as inline SVG. */
import check from 'lucide-static/icons/check.svg?raw'
import monitor from 'lucide-static/icons/monitor.svg?raw'
import moon from 'lucide-static/icons/moon.svg?raw'
import sun from 'lucide-static/icons/sun.svg?raw'
import film from 'lucide-static/icons/film.svg?raw'
import list from 'lucide-static/icons/list-video.svg?raw'
import plus from 'lucide-static/icons/sparkles.svg?raw'
import cpu from 'lucide-static/icons/cpu.svg?raw'

const DRAWINGS = { check, monitor, moon, sun, film, list, plus, cpu }
export type IconName = keyof typeof DRAWINGS

/** A picture beside a word, or inside a button that has a name: never read aloud. */
export const Icon = ({ name }: { name: IconName }) => (
  <span class="icon" aria-hidden="true" dangerouslySetInnerHTML={{ __html: DRAWINGS[name].replace(/<!--.*?-->/s, '') }} />
)
