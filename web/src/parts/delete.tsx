/** Ask before videos are erased, by name. */
import { title, type Video } from '../api/objects'
import { erase } from '../live/actions'
import { words } from '../words'
import { Dialog } from './dialog'

const NAMED = 8

export function DeleteDialog({ videos, onClose, onDeleted }: { videos: readonly Video[]; onClose: () => void; onDeleted?: (gone: readonly string[]) => void }) {
  return (
    <Dialog title={words.delete.title(videos.length)} onClose={onClose}>
      <ul class="names">
        {videos.slice(0, NAMED).map((video) => (
          <li key={video.id}>{title(video)}</li>
        ))}
        {videos.length > NAMED && <li class="soft">{words.delete.more(videos.length - NAMED)}</li>}
      </ul>
      <p class="soft">{words.delete.text}</p>
      <form method="dialog" class="row">
        <button class="danger" onClick={() => void erase(videos).then((gone) => gone.length && onDeleted?.(gone))}>
          {words.act.delete}
        </button>
        <button>{words.act.close}</button>
      </form>
    </Dialog>
  )
}
