/** Download in every form, copy as a command, delete. */
import { useSignal } from '@preact/signals'
import { useLocation } from 'preact-iso'
import { contentUrl, isOpen, title, type Video } from '../api/objects'
import { copy } from '../parts/copy'
import { DeleteDialog } from '../parts/delete'
import { fileName } from '../parts/format'
import { Icon } from '../parts/icon'
import { say } from '../parts/toast'
import { words } from '../words'
import { asCommand, asCurl, asPython } from './copy-as'

export const Downloads = ({ video }: { video: Video }) => (
  <a class="button primary" href={contentUrl(video, 'video')} download={fileName(title(video), video.id, 'mp4')}>
    <Icon name="download" />
    {words.act.download}
  </a>
)

export function Menu({ video }: { video: Video }) {
  const asks = useSignal(false)
  const { route } = useLocation()
  const copyAs = (name: string, text: string) => (
    <button
      type="button"
      class="quiet"
      onClick={async () => {
        await copy(text)
        say(words.menu.copied(name))
      }}
    >
      {words.menu.copyAs(name)}
    </button>
  )
  const file = (text: string, address: string, ending: string) => (
    <a class="button quiet" href={address} download={fileName(title(video), video.id, ending)}>
      {text}
    </a>
  )
  return (
    <details class="menu">
      <summary class="button">{words.act.more}</summary>
      <div class="card">
        {video.status === 'completed' && (
          <>
            {file(words.menu.lastFrame, contentUrl(video, 'frame', { at_s: 'last' }), 'png')}
            {video.request?.save_frames && video.request.save_frames !== 'none' && file(words.menu.frames, contentUrl(video, 'frames'), 'zip')}
            {file(words.menu.latents, contentUrl(video, 'latents'), 'safetensors')}
          </>
        )}
        {file(words.menu.export, `/v1/videos/${video.id}/export`, 'tar')}
        {copyAs('curl', asCurl(video, location.origin))}
        {copyAs('Python', asPython(video, location.origin))}
        {copyAs('framefarm', asCommand(video))}
        {!isOpen(video) && (
          <button type="button" class="quiet danger" onClick={() => (asks.value = true)}>
            {words.act.delete}
          </button>
        )}
      </div>
      {asks.value && <DeleteDialog videos={[video]} onClose={() => (asks.value = false)} onDeleted={() => route('/ui/library')} />}
    </details>
  )
}
