/** Many pictures at once: one video each, or a video from each first picture to its last one. */
import { signal, useSignal } from '@preact/signals'
import { Problem } from '../api/client'
import { Dialog } from '../parts/dialog'
import { say } from '../parts/toast'
import { words } from '../words'
import { type Draft, draft, type Picture } from './draft'
import { send } from './keep'
import { readPicture } from './picture'
import { model } from './specs'

/** Files that were dropped together and wait for a word on what is meant. */
export const dropped = signal<readonly File[]>([])

interface Shot {
  first: File
  last: File | null
  /** The text of NAME.txt beside NAME.png; null: the form's prompt. */
  text: File | null
}

const stem = (name: string): string => name.replace(/\.[^.]*$/, '').toLowerCase()

/** Sort dropped files into videos: by name, each picture with its text, or two by two. */
export function shotsOf(files: readonly File[], isPairs: boolean): Shot[] {
  const texts = new Map(files.filter((file) => /\.txt$/i.test(file.name)).map((file) => [stem(file.name), file]))
  const pictures = files.filter((file) => !/\.txt$/i.test(file.name)).sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }))
  const step = isPairs ? 2 : 1
  return pictures
    .map((first, at) => ({ first, last: isPairs ? (pictures[at + 1] ?? null) : null, text: texts.get(stem(first.name)) ?? null }))
    .filter((_, at) => at % step === 0)
}

export function Many() {
  const files = dropped.value
  const done = useSignal<{ at: number; of: number } | null>(null)
  if (files.length === 0) return null
  const pictures = files.filter((file) => !/\.txt$/i.test(file.name)).length
  const close = (): void => {
    dropped.value = []
    done.value = null
  }
  const make = async (isPairs: boolean): Promise<void> => {
    const shots = shotsOf(files, isPairs)
    const refused: string[] = []
    for (const [at, shot] of shots.entries()) {
      done.value = { at, of: shots.length }
      await sendShot(draft.value, shot).catch((error: unknown) => refused.push(`${shot.first.name}: ${(error as Error).message}`))
    }
    const made = shots.length - refused.length
    if (refused.length > 0) say([words.many.made(made), words.many.refused(refused)].join(' '), { isBad: true })
    else say(words.many.made(made))
    close()
  }
  const isPairsPossible = pictures % 2 === 0 && model.value?.supports.end_image !== false
  return (
    <Dialog title={words.many.title(pictures)} onClose={close}>
      <p class="soft">{words.many.text}</p>
      {done.value === null ? (
        <div class="row">
          <button type="button" class="primary" onClick={() => void make(false)}>
            {words.many.each(pictures)}
          </button>
          <button type="button" disabled={!isPairsPossible} onClick={() => void make(true)}>
            {words.many.pairs(Math.floor(pictures / 2))}
          </button>
        </div>
      ) : (
        <p role="status">{words.many.sending(done.value.at + 1, done.value.of)}</p>
      )}
    </Dialog>
  )
}

async function sendShot(form: Draft, shot: Shot): Promise<void> {
  const [image, end] = await Promise.all([readPicture(shot.first, shot.first.name), shot.last ? readPicture(shot.last, shot.last.name) : form.end])
  const prompt = shot.text ? (await shot.text.text()).trim() : form.prompt
  if (!prompt) throw new Error(words.create.promptMissing)
  await patiently(() => send({ ...form, image, end: end as Picture | null, prompt }))
}

/** Wait where the farm takes no more at the moment and says for how long. */
export async function patiently<T>(act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act()
    } catch (error) {
      const wait = error instanceof Problem && error.status === 429 && error.code === 'busy' ? error.retryAfterS : null
      if (wait === null) throw error
      await new Promise((done) => setTimeout(done, wait * 1000))
    }
  }
}
