/** Why there is no video, and what to do: a failed one says why, a cancelled one what is kept. */
import type { Video } from '../api/objects'
import { wish } from '../live/actions'
import { words } from '../words'
import { Icon } from './icon'
import { Smaller } from './smaller'

/** class: of the reason. isMain: Retry is what one is here for. */
export const Stopped = ({ video, class: look, isMain = false }: { video: Video; class: string; isMain?: boolean }) => (
  <>
    <p class={`${look} ${video.error ? 'bad' : ''}`}>{video.error ? words.failed.at(video.sections_done + 1, video.error.message) : words.failed.cancelled(video.sections_done, video.sections_total)}</p>
    {video.error && <p>{words.failed.advice(video.error.code)}</p>}
    <div class="row">
      <button type="button" class={isMain ? 'primary' : ''} onClick={() => wish([video], 'retry')}>
        <Icon name="retry" />
        {words.act.retry}
      </button>
      <Smaller video={video} />
    </div>
  </>
)
