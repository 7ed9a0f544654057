/** Workers: what each is, what it makes now, and how to lend another. */
import { signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { call } from '../api/client'
import { each } from '../live/actions'
import { queued, take, workers, world } from '../live/store'
import type { BusyWorker } from '../live/world'
import { CopyButton } from '../parts/copy'
import { Dialog } from '../parts/dialog'
import { TitleLink } from '../parts/progress'
import { words } from '../words'
import './workers.css'

type Order = 'pause' | 'resume' | 'drain'

/** The question to confirm. It outlives the worker's card, which goes for a moment when the stream opens again. */
const asked = signal<{ worker: BusyWorker; order: Order } | null>(null)

export default function WorkersView() {
  useEffect(() => () => void (asked.value = null), [])
  const reasons = new Map<string, number>()
  for (const { waiting_for: why } of queued.value) if (why) reasons.set(why, (reasons.get(why) ?? 0) + 1)
  return (
    <div class="workers column">
      <h1>{words.nav.workers}</h1>
      {[...reasons].map(([why, count]) => (
        <p class="note warn" key={why}>
          {words.workers.waits(count, why)}
        </p>
      ))}
      {world.value.hello && !workers.value.length && <p class="note warn">{words.workers.none}</p>}
      {workers.value.length > 0 && (
        <ul class="column">
          {workers.value.map((worker) => (
            <Card key={worker.id} worker={worker} />
          ))}
        </ul>
      )}
      <section class="card column">
        <h2>{words.workers.lend}</h2>
        <p class="soft">{words.workers.lendStart}</p>
        <Command text={words.workers.up(address())} />
        <p class="soft">{words.workers.lendJoin}</p>
        <Command text={words.workers.join(address())} />
        <p class="soft">{words.workers.lendNeeds}</p>
      </section>
      {asked.value && <Ask {...asked.value} onClose={() => (asked.value = null)} />}
    </div>
  )
}

/** The farm's address in a network, where the page's own address tells it. */
const address = (): string => (/^(?!127\.)\d+(\.\d+){3}$/.test(location.hostname) ? location.hostname : 'ADDRESS')

const Command = ({ text }: { text: string }) => (
  <div class="row command">
    <code>{text}</code>
    <CopyButton text={text} />
  </div>
)

function Card({ worker }: { worker: BusyWorker }) {
  const ask = (order: Order): void => void (asked.value = { worker, order })
  const isResting = worker.state === 'paused' || worker.state === 'drained'
  const video = worker.video ? world.value.videos.get(worker.video) : undefined
  const memory = worker.vram_gib ? `${Math.round(worker.vram_gib)} GB` : ''
  return (
    <li class="card worker">
      <div>
        <h2>{worker.id}</h2>
        <p>{[worker.device, memory].filter(Boolean).join(', ')}</p>
        <p class="small soft">
          {[worker.plan, worker.models.join(', '), worker.s_per_section !== null && words.workers.pace(worker.s_per_section)].filter(Boolean).join(' · ')}
        </p>
        {worker.hours && <p class="small soft">{words.workers.hours(worker.hours)}</p>}
      </div>
      <div class="doing">
        <p>
          <span class={`dot ${worker.state}`} aria-hidden="true" />
          {words.workers.states[worker.state]}
          {worker.state === 'paused' && worker.paused === 'hours' && ` ${words.workers.outsideHours}`}
        </p>
        {worker.state === 'busy' && (
          <>
            {video && <TitleLink video={video} />}
            <p class="small soft">{[!video && words.workers.somebody, worker.stage && words.progress.stage[worker.stage]].filter(Boolean).join(' · ')}</p>
            {worker.progress !== null && worker.progress !== undefined && <progress aria-label={words.progress.name} max={100} value={worker.progress} />}
          </>
        )}
      </div>
      {world.value.hello?.operator && (
        <div class="row">
          {isResting || worker.state === 'draining' ? (
            <button type="button" onClick={() => ask('resume')}>
              {words.act.resume}
            </button>
          ) : (
            <>
              <button type="button" onClick={() => ask('pause')}>
                {words.act.pause}
              </button>
              <button type="button" onClick={() => ask('drain')}>
                {words.workers.drain}
              </button>
            </>
          )}
        </div>
      )}
    </li>
  )
}

/** Explains what an order does before it is given. */
function Ask({ worker, order, onClose }: { worker: BusyWorker; order: Order; onClose: () => void }) {
  const give = async (): Promise<void> => {
    const done = await each([worker], ({ id }) => call<BusyWorker>(`/v1/workers/${encodeURIComponent(id)}/${order}`, { method: 'POST', insist: false }))
    for (const data of done) take({ kind: 'worker', data })
  }
  return (
    <Dialog title={words.workers.sure[order](worker.id)} onClose={onClose}>
      <p>{words.workers.explain[order]}</p>
      <form method="dialog" class="row">
        <button class="primary" onClick={() => void give()}>
          {words.workers.order[order]}
        </button>
        <button>{words.act.close}</button>
      </form>
    </Dialog>
  )
}
