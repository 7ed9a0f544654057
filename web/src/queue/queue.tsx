/** Queue: every video that has not ended. Running videos are large, waiting ones are rows. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { wish } from '../live/actions'
import { isListed, paused, queued, running, world } from '../live/store'
import { Dialog } from '../parts/dialog'
import { PickButton } from '../parts/pick-bar'
import { VirtualList } from '../parts/virtual'
import { words } from '../words'
import { lifted, sort, told } from './drag'
import { entries, type Entry, filtered } from './entries'
import './queue.css'
import { editing, Strayed } from './edit'
import { openBatches, Row } from './row'
import { RunningCard } from './running'
import { QueueBar } from './pick-bar'
import { endPicking, picked } from '../parts/selection'
import { shifted } from './turns'

export default function QueueView() {
  const filter = useSignal(new URLSearchParams(location.search).get('q') ?? '')
  useEffect(() => endPicking, [])
  useEffect(() => history.replaceState(history.state, '', filter.value ? `/ui/queue?${new URLSearchParams({ q: filter.value })}` : '/ui/queue'), [filter.value])
  const [waits, rests] = [filtered(queued.value, filter.value), filtered(paused.value, filter.value)]
  const [waitRows, restRows] = [entries(waits, openBatches.value), entries(rests, openBatches.value)]
  const isStrayed = editing.value !== null && editedAt([...waitRows, ...restRows]) < 0
  const dispatcher = world.value.farm.dispatcher
  const isEmpty = !running.value.length && !queued.value.length && !paused.value.length
  return (
    <div class="queue column">
      <div class="row">
        <h1>{words.nav.queue}</h1>
        {!isEmpty && <Everything />}
      </div>
      {dispatcher !== 'ok' && <p class="note warn">{words.queue.dispatcherAway(dispatcher)}</p>}
      {isStrayed && <Strayed />}
      {isEmpty && (isListed.value ? <Nothing /> : <p class="soft">{words.loading}</p>)}
      {running.value.length > 0 && (
        <div class="column">
          <Heading text={words.queue.running} count={running.value.length} />
          {running.value.map((video) => (
            <RunningCard key={video.id} video={video} />
          ))}
        </div>
      )}
      {(queued.value.length > 0 || paused.value.length > 0) && (
        <div class="row tools">
          <input type="search" aria-label={words.queue.filter} placeholder={`${words.queue.filter} …`} value={filter.value} onInput={(event) => (filter.value = event.currentTarget.value)} />
          <PickButton />
        </div>
      )}
      {queued.value.length > 0 && <Waiting rows={waitRows} />}
      {paused.value.length > 0 && <Rows text={words.queue.paused} count={paused.value.length} rows={restRows} />}
      {picked.value && <QueueBar videos={[...waits, ...rests]} />}
    </div>
  )
}

/** The row with the form of the video that is edited; -1: none of them. */
const editedAt = (rows: readonly Entry[]): number => rows.findIndex((row) => row.videos.length === 1 && row.videos[0].id === editing.value?.video.id)

const Heading = ({ text, count }: { text: string; count: number }) => (
  <h2>
    {text} <span class="soft number">{count}</span>
  </h2>
)

/** The rows that wait, with the one that is lifted where it would be dropped. */
function Waiting({ rows }: { rows: Entry[] }) {
  const now = lifted.value
  const from = now ? rows.findIndex((row) => row.key === now.key) : -1
  sort(rows)
  useEffect(() => {
    if (now && from < 0) lifted.value = null // a worker took it
  })
  useEffect(() => () => void (lifted.value = null), [])
  const shown = now && from >= 0 ? shifted(rows, from, now.to) : rows
  return (
    <>
      <p class="unseen" role="status">
        {told.value}
      </p>
      <Rows text={words.queue.waiting} count={queued.value.length} rows={shown} isNumbered {...(now && from >= 0 && { lifted: now.to, still: rows })} />
    </>
  )
}

interface RowsProps {
  text: string
  count: number
  rows: readonly Entry[]
  isNumbered?: boolean
  /** The row that is lifted, and the rows as they are without that. */
  lifted?: number
  still?: readonly Entry[]
}

function Rows({ text, count, rows, isNumbered = false, lifted: at, still }: RowsProps) {
  let place = 0
  const edited = editedAt(rows)
  const places = rows.map((row) => (row.isInside ? undefined : ++place))
  return (
    <div class="column">
      <Heading text={text} count={count} />
      {rows.length ? (
        <VirtualList items={rows} keyOf={(row) => row.key} estimate={73} label={text} class={`rows ${at === undefined ? '' : 'sorting'}`} keep={at ?? (edited < 0 ? null : edited)} {...(still && { still })} render={(entry, at) => <Row entry={entry} {...(isNumbered && places[at] && { place: places[at] })} />} />
      ) : (
        <p class="soft">{words.queue.noneFound}</p>
      )}
    </div>
  )
}

/** Pause, resume and cancel all at once. */
function Everything() {
  const asks = useSignal(false)
  const active = [...running.value, ...queued.value]
  return (
    <div class="row end">
      {paused.value.length > 1 && (
        <button type="button" onClick={() => wish(paused.value, 'resume')}>
          {words.queue.resumeAll}
        </button>
      )}
      <button type="button" disabled={!active.length} onClick={() => wish(active, 'pause')}>
        {words.queue.pauseAll}
      </button>
      <button type="button" disabled={!queued.value.length} onClick={() => (asks.value = true)}>
        {words.queue.cancelWaiting}
      </button>
      {asks.value && (
        <Dialog title={words.queue.sureCancel(queued.value.length)} onClose={() => (asks.value = false)}>
          <p>{words.queue.sureCancelText}</p>
          <form method="dialog" class="row">
            <button class="primary" onClick={() => wish(queued.value, 'cancel')}>
              {words.queue.cancelWaiting}
            </button>
            <button>{words.act.close}</button>
          </form>
        </Dialog>
      )}
    </div>
  )
}

const Nothing = () => (
  <div class="empty">
    <p>{words.queue.none}</p>
    <a class="button primary" href="/ui/">
      {words.toCreate}
    </a>
  </div>
)
