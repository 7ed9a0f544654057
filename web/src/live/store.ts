/** The one copy of what the page knows, as signals. Only the stream, and lists and answers of calls, change it. */
import { computed, signal } from '@preact/signals'
import { type Page, title, type Video } from '../api/objects'
import { words } from '../words'
import { apply, EMPTY, type FarmEvent, listed, waiting, withStatus, type World } from './world'

export const world = signal<World>(EMPTY)

/** Whether the open videos were listed once: before that, an empty queue means nothing. */
export const isListed = signal(false)

/** For each answer on its way, the ids of which events told since it was asked for. */
const awaited = new Set<Set<string>>()

export const take = (event: FarmEvent): void => {
  world.value = apply(world.value, event)
  if (event.kind === 'video' || event.kind === 'gone') for (const told of awaited) told.add(event.data.id)
}

/** Take in the videos of an answer when it comes, and return it. Events that come before it are newer. */
export async function learn<T extends Video | Page<Video> | readonly Video[]>(answer: Promise<T>): Promise<T> {
  const told = new Set<string>()
  awaited.add(told)
  try {
    const said = await answer
    world.value = listed(world.value, videosOf(said), told)
    return said
  } finally {
    awaited.delete(told)
  }
}

function videosOf(said: Video | Page<Video> | readonly Video[]): readonly Video[] {
  if ('data' in said) return said.data
  return 'id' in said ? [said] : said
}

export const running = computed(() => withStatus(world.value, 'in_progress'))
export const queued = computed(() => waiting(world.value))
export const paused = computed(() => withStatus(world.value, 'paused'))
export const workers = computed(() => [...world.value.workers.values()].sort((a, b) => a.id.localeCompare(b.id)))

/** How the farm's store is: "ok", or why it cannot work. */
export const storeState = computed(() => world.value.farm.store)

export const openCount = computed(() => running.value.length + queued.value.length + paused.value.length)
export const workerCount = computed(() => {
  const able = workers.value.filter((worker) => worker.state === 'idle' || worker.state === 'busy').length
  return workers.value.length ? `${able}/${workers.value.length}` : ''
})

/** The path of the view that is shown. */
export const place = signal('')

/** The page's title: how far the first running video is, how many wait, and the view. */
export const pageTitle = computed(() => {
  const parts = [running.value[0] && words.progress.percent(running.value[0].progress), queued.value.length && words.queue.wait(queued.value.length)]
  return [parts.filter(Boolean).join(' · '), viewName(world.value, place.value), words.farm].filter(Boolean).join(' – ')
})

/** Return the name of a path's view or video. */
function viewName({ videos }: World, path: string): string {
  const [view, id] = path.replace(/^\/ui\/?/, '').split('/')
  const video = view === 'videos' && id ? videos.get(id) : undefined
  if (video) return title(video)
  return { '': words.nav.create, queue: words.nav.queue, library: words.nav.library, workers: words.nav.workers }[view ?? ''] ?? ''
}
