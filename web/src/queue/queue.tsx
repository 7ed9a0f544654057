/** Queue: every video that has not ended. What runs is large, what waits are rows. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { wish } from '../live/actions'
import { isListed, paused, queued, running, world } from '../live/store'
import { Dialog } from '../parts/dialog'
import { VirtualList } from '../parts/virtual'
import { words } from '../words'
import { entries, type Entry, filtered } from './entries'
import './queue.css'
import { editing, openBatches, Row } from './row'
import { RunningCard } from './running'
import { QueueBar, PickButton } from './pick-bar'
import { endPicking, picked } from '../parts/selection'

export default function QueueView() {
  const filter = useSignal('')
  useEffect(() => endPicking, [])
  const [waits, rests] = [filtered(queued.value, filter.value), filtered(paused.value, filter.value)]
  const dispatcher = world.value.farm.dispatcher
  const isEmpty = !running.value.length && !queued.value.length && !paused.value.length
  return (
    <div class="queue column">
      <div class="row">
        <h1>{words.nav.queue}</h1>
        {!isEmpty && <Everything />}
      </div>
      {dispatcher !== 'ok' && <p class="note warn">{words.queue.dispatcherAway(dispatcher)}</p>}
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
      {queued.value.length > 0 && <Rows text={words.queue.waiting} count={queued.value.length} rows={entries(waits, openBatches.value)} isNumbered />}
      {paused.value.length > 0 && <Rows text={words.queue.paused} count={paused.value.length} rows={entries(rests, openBatches.value)} />}
      {picked.value && <QueueBar videos={[...waits, ...rests]} />}
    </div>
  )
}

const Heading = ({ text, count }: { text: string; count: number }) => (
  <h2>
    {text} <span class="soft number">{count}</span>
  </h2>
)

function Rows({ text, count, rows, isNumbered = false }: { text: string; count: number; rows: Entry[]; isNumbered?: boolean }) {
  let place = 0
  const edited = rows.findIndex((row) => row.videos.length === 1 && row.videos[0].id === editing.value)
  const places = rows.map((row) => (row.isInside ? undefined : ++place))
  return (
    <div class="column">
      <Heading text={text} count={count} />
      {rows.length ? (
        <VirtualList items={rows} keyOf={(row) => row.key} estimate={73} label={text} class="rows" keep={edited < 0 ? null : edited} render={(entry, at) => <Row entry={entry} {...(isNumbered && places[at] && { place: places[at] })} />} />
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
