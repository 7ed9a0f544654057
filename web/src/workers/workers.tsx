import { workers } from '../live/store'
import { words } from '../words'
export default function WorkersView() {
  return (
    <section class="column">
      <h1>{words.nav.workers}</h1>
      {workers.value.map((worker) => (
        <p key={worker.id}>
          {worker.id}: {worker.device}, {worker.plan}
        </p>
      ))}
    </section>
  )
}
