/** A video: the player, how it was made, and what one can do next. */
import { useSignal } from '@preact/signals'
import { useRoute } from 'preact-iso'
import { useEffect } from 'preact/hooks'
import { learnFarm } from '../api/facts'
import { isOpen, title, type Video } from '../api/objects'
import { fitting, sides } from '../create/length'
import { change, each } from '../live/actions'
import { world } from '../live/store'
import { Icon } from '../parts/icon'
import { Poster } from '../parts/poster'
import { Star } from '../parts/star'
import { Stopped } from '../parts/stopped'
import { Watch } from '../watch/watch'
import { words } from '../words'
import { Facts } from './facts'
import { Family, learnOne } from './family'
import { Downloads, Menu } from './menu'
import { Next } from './next'
import { Player } from './player'
import { Remake } from './remake'
import './video.css'

export default function VideoView() {
  const id = useRoute().params['id']!
  const isMissing = useSignal(false)
  const video = world.value.videos.get(id)
  useEffect(() => {
    isMissing.value = false
    void learnFarm().catch(() => undefined)
    if (world.value.videos.get(id)?.request) return
    void learnOne(id).then((isHere) => (isMissing.value = !isHere))
  }, [id, video === undefined])
  if (video) return <Page key={id} video={video} />
  return isMissing.value ? <Missing /> : <p class="soft">{words.loading}</p>
}

const Missing = () => (
  <section class="empty">
    <p>{words.video.missing}</p>
    <a class="button" href="/ui/library">
      {words.nav.library}
    </a>
  </section>
)

function Page({ video }: { video: Video }) {
  const time = useSignal(0)
  const isReady = video.status === 'completed'
  return (
    <div class="video-page column">
      <div class="row">
        <a class="button quiet back" href={isOpen(video) ? '/ui/queue' : '/ui/library'}>
          <Icon name="left" />
          {isOpen(video) ? words.nav.queue : words.nav.library}
        </a>
        <Name video={video} />
        <Star video={video} />
        <div class="row end">
          {isReady && <Downloads video={video} />}
          <Menu video={video} />
        </div>
      </div>
      <div class="halves">
        <div>{isReady ? <Player video={video} time={time} /> : isOpen(video) ? <Watch video={video} /> : <Unfinished video={video} />}</div>
        <div class="column">
          <p class="prompt">{video.prompt}</p>
          <Facts video={video} />
          <Next video={video} time={time} />
        </div>
      </div>
      {isReady && video.sections_total > 1 && <Remake video={video} />}
      <Family video={video} />
    </div>
  )
}

/** The name, which a click makes a field. */
function Name({ video }: { video: Video }) {
  const isEdited = useSignal(false)
  const save = async (name: string): Promise<void> => {
    isEdited.value = false
    if (name !== video.name) await each([video], () => change(video, { name }))
  }
  if (!isEdited.value) {
    return (
      <>
        <h1>{title(video)}</h1>
        <button type="button" class="quiet" onClick={() => (isEdited.value = true)}>
          {words.video.rename}
        </button>
      </>
    )
  }
  return (
    <form
      class="row rename"
      onSubmit={(event) => {
        event.preventDefault()
        void save(`${new FormData(event.currentTarget).get('name')}`.trim())
      }}
      onKeyDown={(event) => event.key === 'Escape' && (isEdited.value = false)}
    >
      <input name="name" aria-label={words.queue.name} maxLength={200} defaultValue={video.name} ref={(field) => field?.focus()} />
      <button class="primary">{words.act.save}</button>
    </form>
  )
}

/** A video that failed or was cancelled: why, and how to go on. */
const Unfinished = ({ video }: { video: Video }) => (
  <section class="card column stopped" aria-label={title(video)}>
    <div class="growing" style={fitting(sides(video.size))}>
      <Poster video={video} />
    </div>
    <Stopped video={video} class="note" isMain />
  </section>
)
