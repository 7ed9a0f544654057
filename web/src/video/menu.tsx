/** Download in every form, copy as a command, delete. */
import { useSignal } from '@preact/signals'
import { useLocation } from 'preact-iso'
import { contentUrl, isOpen, title, type Video } from '../api/objects'
import { copy } from '../parts/copy'
import { DeleteDialog } from '../parts/delete'
import { fileName } from '../parts/format'
import { Icon } from '../parts/icon'
import { Popup } from '../parts/popup'
import { say } from '../parts/toast'
import { words } from '../words'
import { farm } from '../api/facts'
import { asCommand, asCurl, asPython, type Made } from './copy-as'
import { hasPicture } from './to-form'

export const Downloads = ({ video }: { video: Video }) => (
  <a class="button primary" href={contentUrl(video, 'video')} download={fileName(title(video), video.id, 'mp4')}>
    <Icon name="download" />
    {words.act.download}
  </a>
)

export function Menu({ video }: { video: Video }) {
  const asks = useSignal(false)
  const pictures = useSignal({ hasStart: true, hasEnd: false })
  const { route } = useLocation()
  const isKeyed = farm.value?.me.signed_in_by === 'session'
  const made: Made = { origin: location.origin, isKeyed, ...pictures.value }
  /** A request does not tell which pictures came with it. */
  const look = async (): Promise<void> => {
    const [hasStart, hasEnd] = await Promise.all([hasPicture(video, 'start'), hasPicture(video, 'end')])
    pictures.value = { hasStart, hasEnd }
  }
  const copyAs = (name: string, text: string) => (
    <button
      type="button"
      class="quiet"
      onClick={async () => {
        await copy(text)
        say([words.menu.copied(name), isKeyed && words.menu.readsKey].filter(Boolean).join(' '))
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
    <>
      <Popup class="menu" summary={words.act.more} summaryClass="button" onOpen={() => void look().catch(() => undefined)}>
        {video.status === 'completed' && (
          <>
            {file(words.menu.lastFrame, contentUrl(video, 'frame', { at_s: 'last' }), 'png')}
            {video.request?.save_frames && video.request.save_frames !== 'none' && file(words.menu.frames, contentUrl(video, 'frames'), 'zip')}
            {file(words.menu.latents, contentUrl(video, 'latents'), 'safetensors')}
          </>
        )}
        {file(words.menu.export, `/v1/videos/${video.id}/export`, 'tar')}
        {copyAs('curl', asCurl(video, made))}
        {copyAs('Python', asPython(video, made))}
        {copyAs('framefarm', asCommand(video, made))}
        {!isOpen(video) && (
          <button type="button" class="quiet danger" onClick={() => (asks.value = true)}>
            {words.act.delete}
          </button>
        )}
      </Popup>
      {asks.value && <DeleteDialog videos={[video]} onClose={() => (asks.value = false)} onDeleted={() => route('/ui/library')} />}
    </>
  )
}
