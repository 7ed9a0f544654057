/** The sections of a video from left to right in time. Each shows its preview; models that make the end first fill from the right. */
import { useSignal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'
import { isForward } from '../api/facts'
import { contentUrl, type Video } from '../api/objects'
import { sectionOf } from '../video/sections'
import { sides } from '../create/length'
import { words } from '../words'
import { Frames } from './frames'

export function Strip({ video }: { video: Video }) {
  const under = useSignal<number | null>(null)
  const [width, height] = sides(video.size)
  const now = video.status === 'in_progress' ? (video.section ?? video.sections_done) : null
  const list = useRef<HTMLOListElement>(null)
  useEffect(() => show(list.current, list.current?.querySelector('.now')), [now])
  return (
    <figure class="strip">
      <ol ref={list} aria-label={words.watch.strip} style={{ gridTemplateColumns: `repeat(${video.sections_total}, minmax(24px, 1fr))` }}>
        {Array.from({ length: video.sections_total }, (_, at) => {
          const section = sectionOf(at, video.sections_total, isForward(video.model))
          const isDone = section < video.sections_done
          return (
            <li
              key={section}
              class={isDone ? 'done' : section === now ? 'now' : ''}
              style={{ aspectRatio: `${width} / ${height}` }}
              aria-label={words.watch.cell(at + 1, isDone ? 'done' : section === now ? 'now' : 'open')}
              onPointerEnter={() => (under.value = section)}
              onPointerLeave={() => (under.value = null)}
            >
              {isDone && <Frames src={contentUrl(video, 'preview', { section: `${section}` })} size={video.size} isPlaying={under.value === section} />}
            </li>
          )
        })}
      </ol>
      {!isForward(video.model) && video.sections_total > 1 && video.status !== 'completed' && <figcaption class="small soft">{words.watch.endFirst}</figcaption>}
    </figure>
  )
}

/** Scroll the strip of a long video to the section in hand; the page itself stays where it is. */
function show(list: HTMLElement | null, cell: Element | null | undefined): void {
  if (!list || !cell) return
  const [frame, at] = [list.getBoundingClientRect(), cell.getBoundingClientRect()]
  if (at.left < frame.left || at.right > frame.right) list.scrollLeft += at.left + at.width / 2 - frame.left - frame.width / 2
}
