/** All that a video was made with. */
import { lengthS, type Video } from '../api/objects'
import { labelOf } from '../create/fields'
import { CopyButton } from '../parts/copy'
import { length, span, when } from '../parts/format'
import { words } from '../words'
import { telling } from './copy-as'

const SHOWN_ABOVE = new Set(['model', 'seconds', 'size', 'seed', 'num_inference_steps', 'cache'])

export function Facts({ video }: { video: Video }) {
  const request = video.request
  const line = [
    video.model,
    request?.num_inference_steps && words.facts.steps(request.num_inference_steps),
    request && (request.cache && request.cache !== 'none' ? words.facts.cached(request.cache) : words.facts.full),
    video.size.replace('x', ' × '),
  ]
  const rest = telling(video).filter(([name]) => !SHOWN_ABOVE.has(name))
  return (
    <div class="facts column">
      <p class="number">{line.filter(Boolean).join(' · ')}</p>
      <p class="row number">
        {words.queue.seed(video.seed)}
        <CopyButton text={`${video.seed}`} name={words.facts.copySeed} />
        {words.facts.frames(video.frames)} · {length(lengthS(video))}
      </p>
      <p class="small soft number">
        {words.facts.asked(when(video.created_at))}
        {video.completed_at !== null && ` · ${words.facts.made(span(video.gpu_seconds))}`}
        {video.expires_at !== null && ` · ${words.facts.expires(when(video.expires_at))}`}
      </p>
      {rest.length > 0 && (
        <details>
          <summary>{words.facts.more}</summary>
          <dl>
            {rest.map(([name, value]) => (
              <div key={name}>
                <dt>{labelOf(name)}</dt>
                <dd class="number">{typeof value === 'string' ? value : JSON.stringify(value)}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </div>
  )
}
