import { isStarred, STARRED, type Video } from '../api/objects'
import { change, each } from '../live/actions'
import { words } from '../words'
import { IconButton } from './button'

/** Star a video, or take its star away. */
export const Star = ({ video, class: more = '' }: { video: Video; class?: string }) => (
  <IconButton icon="star" name={words.act.star} class={`star ${more}`} isPressed={isStarred(video)} onClick={() => toggle(video)} />
)

const toggle = (video: Video): Promise<unknown> => {
  const others = (video.labels ?? []).filter((label) => label !== STARRED)
  return each([video], () => change(video, { labels: isStarred(video) ? others : [...others, STARRED] }))
}
