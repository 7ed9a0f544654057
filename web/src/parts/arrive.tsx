/** Rules of every view: one arrives with the focus on it, and a file that is dropped beside a field begins a video. */
import { useLocation } from 'preact-iso'
import { useEffect, useRef } from 'preact/hooks'
import { learnFarm } from '../api/facts'
import { keepFor } from '../create/keep'
import { place } from '../live/store'

export function Arrive() {
  const { path, route } = useLocation()
  const last = useRef(path)
  useEffect(() => {
    place.value = path
    if (last.current !== path) document.getElementById('main')?.focus({ preventScroll: true })
    last.current = path
  }, [path])
  useEffect(() => {
    /** Without this, the browser leaves the page and shows the file. */
    const over = (event: DragEvent): void => {
      if (event.dataTransfer?.types.includes('Files')) event.preventDefault()
    }
    const drop = (event: DragEvent): void => {
      const files = Array.from(event.dataTransfer?.files ?? [])
      if (event.defaultPrevented || !files.length) return // a field has taken it, or it is a text
      event.preventDefault()
      void begin(files).then(() => route('/ui/'), () => undefined) // a farm that asks for a key: the sign-in takes over
    }
    addEventListener('dragover', over)
    addEventListener('drop', drop)
    return () => {
      removeEventListener('dragover', over)
      removeEventListener('drop', drop)
    }
  }, [route])
  return null
}

/** Put files into the form, which is taken up first as the person left it. */
async function begin(files: readonly File[]): Promise<void> {
  const [{ me }, { takeAll }] = await Promise.all([learnFarm(), import('../create/create')])
  await keepFor(me.owner)
  takeAll(files)
}
