/** Library: what ended, as a wall. */
import { signal, useComputed, useSignal } from '@preact/signals'
import { useLocation } from 'preact-iso'
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks'
import { contentUrl, title, type Video } from '../api/objects'
import { world } from '../live/store'
import { PickBar, PickButton } from '../parts/pick-bar'
import { DeleteDialog } from '../parts/delete'
import { download } from '../parts/download'
import { fileName } from '../parts/format'
import { Refused } from '../parts/refused'
import { endPicking, pick, picked } from '../parts/selection'
import { VirtualList } from '../parts/virtual'
import { words } from '../words'
import { Card } from './card'
import { Compare, MOST_COMPARED } from './compare'
import './library.css'
import { addressOf, ALL, begin, fits, readMore, reading, wall, type Wish, wishOf } from './wall'

const wished = signal<Wish>(ALL)

export default function LibraryView() {
  const { query } = useLocation()
  const compared = query['compare']?.split(',') ?? []
  useMemo(() => (wished.value = wishOf(new URLSearchParams(location.search))), [])
  return compared.length > 1 ? <Compare ids={compared} /> : <Wall />
}

function Wall() {
  const wish = wished.value
  const asked = `${wish.text} ${wish.kind} ${wish.order}`
  useEffect(() => {
    const timer = setTimeout(() => begin(wish), wish.text ? 250 : 0)
    return () => clearTimeout(timer)
  }, [asked])
  useEffect(() => endPicking, [])
  useEffect(() => history.replaceState(history.state, '', addressOf(wish)), [wish])
  const videos = useComputed(() => wall(world.value.videos.values(), wished.value, reading.value)).value
  const { hasMore, isBusy, fault } = reading.value
  return (
    <div class="column library">
      <h1 class="unseen">{words.nav.library}</h1>
      <Tools videos={videos} />
      <Refused why={fault}>
        <button type="button" onClick={() => readMore(wish)}>
          {words.act.again}
        </button>
      </Refused>
      {videos.length > 0 && <Grid videos={videos} />}
      {!videos.length && !fault && (hasMore || isBusy ? <p class="soft">{words.loading}</p> : <Nothing isAll={addressOf(wish) === addressOf(ALL)} />)}
      {hasMore && !isBusy && !fault && videos.length > 0 && <More onSeen={() => readMore(wish)} />}
      {picked.value && <LibraryBar videos={videos} />}
    </div>
  )
}

const Nothing = ({ isAll }: { isAll: boolean }) => (
  <div class="empty">
    <p>{isAll ? words.library.none : words.library.noneFound}</p>
    {isAll && (
      <a class="button primary" href="/ui/">
        {words.toCreate}
      </a>
    )}
  </div>
)

function Tools({ videos }: { videos: readonly Video[] }) {
  const set = (change: Partial<Wish>) => (wished.value = { ...wished.value, ...change })
  const { text, kind, model, length, order } = wished.value
  const models = new Set([...world.value.videos.values()].filter((video) => fits(video, ALL)).map((video) => video.model))
  return (
    <div class="row tools">
      <input type="search" aria-label={words.library.search} placeholder={`${words.library.search} …`} value={text} onInput={(event) => set({ text: event.currentTarget.value })} />
      <div class="choice" role="group" aria-label={words.library.show}>
        {(['all', 'starred', 'failed'] as const).map((name) => (
          <button type="button" key={name} aria-pressed={kind === name} onClick={() => set({ kind: name })}>
            {words.library.kinds[name]}
          </button>
        ))}
      </div>
      <select aria-label={words.library.model} value={model} onChange={(event) => set({ model: event.currentTarget.value })}>
        <option value="">{words.library.anyModel}</option>
        {[...models].sort().map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      <select aria-label={words.library.length} value={length} onChange={(event) => set({ length: event.currentTarget.value as Wish['length'] })}>
        {(['', 'short', 'middle', 'long'] as const).map((name) => (
          <option key={name} value={name}>
            {words.library.lengths[name]}
          </option>
        ))}
      </select>
      <select aria-label={words.library.order} value={order} onChange={(event) => set({ order: event.currentTarget.value as Wish['order'] })}>
        <option value="desc">{words.library.newest}</option>
        <option value="asc">{words.library.oldest}</option>
      </select>
      {videos.length > 0 && <PickButton class="end" />}
    </div>
  )
}

/** As many cards beside each other as fit. Each keeps its place in the document when others come, and so the focus in it. */
function Grid({ videos }: { videos: readonly Video[] }) {
  const frame = useRef<HTMLDivElement>(null)
  const width = useSignal(1056)
  useLayoutEffect(() => {
    const watch = new ResizeObserver(([entry]) => (width.value = entry!.contentRect.width))
    watch.observe(frame.current!)
    return () => watch.disconnect()
  }, [])
  const gap = width.value < 600 ? 16 : 24
  const columns = width.value < 420 ? 2 : Math.max(2, Math.floor((width.value + gap) / 264))
  return (
    <div ref={frame}>
      <VirtualList items={videos} keyOf={({ id }) => id} estimate={280} gap={gap} columns={columns} label={words.nav.library} render={(video) => <Card video={video} />} />
    </div>
  )
}

/** Reads on when the end of the wall comes into view. */
function More({ onSeen }: { onSeen: () => void }) {
  const mark = useRef<HTMLParagraphElement>(null)
  useEffect(() => {
    const watch = new IntersectionObserver((seen) => seen.some((entry) => entry.isIntersecting) && onSeen(), { rootMargin: '600px' })
    watch.observe(mark.current!)
    return () => watch.disconnect()
  }, [onSeen])
  return (
    <p ref={mark} class="soft">
      {words.loading}
    </p>
  )
}

function LibraryBar({ videos }: { videos: readonly Video[] }) {
  const asks = useSignal(false)
  const { route } = useLocation()
  const ids = picked.value ?? new Set<string>()
  const chosen = [...ids].flatMap((id) => world.value.videos.get(id) ?? [])
  const ready = chosen.filter((video) => video.status === 'completed')
  return (
    <PickBar videos={videos} count={chosen.length}>
      <button
        type="button"
        disabled={ready.length < 2 || ready.length > MOST_COMPARED}
        title={words.library.compareHint}
        onClick={() => {
          route(`/ui/library?compare=${ready.map(({ id }) => id).join(',')}`)
          picked.value = null
        }}
      >
        {words.library.compare}
      </button>
      <button type="button" disabled={!ready.length} onClick={() => void download(ready.map((video) => ({ url: contentUrl(video, 'video'), name: fileName(title(video), video.id, 'mp4') })))}>
        {words.library.download}
      </button>
      <button type="button" class="danger" disabled={!chosen.length} onClick={() => (asks.value = true)}>
        {words.act.delete}
      </button>
      {asks.value && <DeleteDialog videos={chosen} onClose={() => (asks.value = false)} onDeleted={(gone) => pick(gone, false)} />}
    </PickBar>
  )
}
