/** Sign-in: over the page, which stays as it is. The key goes to the farm once; a cookie stands for it after that. */
import { useSignal } from '@preact/signals'
import type { TargetedSubmitEvent } from 'preact'
import { call, Problem, signedOut } from '../api/client'
import { farm } from '../api/facts'
import { world } from '../live/store'
import { Dialog } from '../parts/dialog'
import { say } from '../parts/toast'
import { words } from '../words'

interface Session {
  owner: string
}

async function signIn(key: string): Promise<void> {
  const before = farm.value?.me.owner ?? world.value.hello?.owner
  const { owner } = await call<Session>('/v1/session', { method: 'POST', body: { key }, insist: false })
  if (before !== undefined && before !== owner) location.reload() // nothing of the person before stays, no request that waits either
  else signedOut.value = false
}

export async function signOut(): Promise<void> {
  try {
    await call('/v1/session', { method: 'DELETE' })
    location.reload() // the next person sees nothing of this one
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    say(error.message, { isBad: true })
  }
}

/** Take the key that an address brings (#key=…), and let it vanish from the address. */
export async function takeKeyOfAddress(): Promise<void> {
  const key = new URLSearchParams(location.hash.slice(1)).get('key')
  if (!key) return
  history.replaceState(history.state, '', location.pathname + location.search)
  await signIn(key).catch(() => (signedOut.value = true))
}

export function SignIn() {
  const fault = useSignal('')
  const send = async (event: TargetedSubmitEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault()
    fault.value = ''
    try {
      await signIn(`${new FormData(event.currentTarget).get('key')}`.trim())
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      fault.value = error.message
    }
  }
  return (
    <Dialog title={words.signIn.title} isFirm>
      <p class="soft">{words.signIn.text}</p>
      <form class="column" onSubmit={send}>
        <label class="field">
          {words.signIn.key}
          <input name="key" type="password" autocomplete="off" required aria-invalid={fault.value ? true : undefined} aria-describedby="key-fault" />
        </label>
        {fault.value && (
          <p id="key-fault" class="bad small" role="alert">
            {fault.value}
          </p>
        )}
        <button class="primary">{words.signIn.act}</button>
      </form>
    </Dialog>
  )
}
