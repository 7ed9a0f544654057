/** Load a view's code. An import fails where the farm is away, or was updated and has other files now. */
import { call, sleep } from '../api/client'
import { remember, remembered } from '../parts/memory'

const KEY = 'framefarm-reloaded'
const AGAIN_MS = 60_000 //: a page that was loaded again so lately would not gain by it

/** Load, try once more as soon as the farm answers, and then load the whole page again. */
export async function part<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch {
    await sleep(500)
    await call('/v1/farm')
    return load().catch(reload)
  }
}

function reload(error: unknown): Promise<never> {
  if (Date.now() - Number(remembered(KEY)) < AGAIN_MS) throw error
  remember(KEY, `${Date.now()}`)
  location.reload()
  return new Promise(() => undefined)
}
