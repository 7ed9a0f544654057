/** The header: where one is, who one is, and what the page should look and sound like. */
import { useSignal } from '@preact/signals'
import { useLocation } from 'preact-iso'
import { useEffect } from 'preact/hooks'
import { farm, learnFarm } from '../api/facts'
import { hasSound, toggleSound } from '../live/ends'
import { openCount, workerCount } from '../live/store'
import { IconButton } from '../parts/button'
import { Dialog } from '../parts/dialog'
import { Icon, type IconName } from '../parts/icon'
import { Popup } from '../parts/popup'
import { isTyping } from '../parts/typing'
import { words } from '../words'
import { signOut } from './signin'
import { nextTheme, theme } from './theme'

const THEME_ICON = { system: 'monitor', light: 'sun', dark: 'moon' } as const
const VIEWS = ['/ui/', '/ui/queue', '/ui/library', '/ui/workers'] as const

export function Header() {
  const asksKeys = useSignal(false)
  const { route } = useLocation()
  useEffect(() => void learnFarm().catch(() => undefined), [])
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector('dialog[open]')) return
      const view = VIEWS[Number(event.key) - 1]
      if (event.key === '?') asksKeys.value = true
      else if (view) route(view)
    }
    addEventListener('keydown', press)
    return () => removeEventListener('keydown', press)
  }, [])
  return (
    <header class="top">
      <a class="brand" href={VIEWS[0]}>
        <img src="/ui/mark.svg" alt="" width="24" height="24" />
        <span>{words.farm}</span>
      </a>
      <nav class="tabs" aria-label={words.main}>
        <Tab to={VIEWS[0]} icon="plus" text={words.nav.create} />
        <Tab to={VIEWS[1]} icon="list" text={words.nav.queue} count={openCount.value ? `${openCount.value}` : ''} />
        <Tab to={VIEWS[2]} icon="film" text={words.nav.library} />
        <Tab to={VIEWS[3]} icon="cpu" text={words.nav.workers} count={workerCount.value} />
      </nav>
      <div class="top-end">
        <Owner />
        <IconButton icon={hasSound.value ? 'sound' : 'silent'} name={words.sound} isPressed={hasSound.value} onClick={toggleSound} />
        <IconButton icon={THEME_ICON[theme.value]} name={`${words.theme.title}: ${words.theme[theme.value]}`} onClick={nextTheme} />
        <IconButton icon="keyboard" name={words.keys.title} class="only-wide" onClick={() => (asksKeys.value = true)} />
      </div>
      {asksKeys.value && (
        <Dialog title={words.keys.title} onClose={() => (asksKeys.value = false)}>
          <dl class="keys">
            {words.keys.list.map(([key, text]) => (
              <div key={key}>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{text}</dd>
              </div>
            ))}
          </dl>
          <form method="dialog">
            <button>{words.act.close}</button>
          </form>
        </Dialog>
      )}
    </header>
  )
}

/** Who one is, where this browser is signed in. */
function Owner() {
  const me = farm.value?.me
  if (me?.signed_in_by !== 'session') return null
  const { owner } = me
  return (
    <Popup
      class="owner"
      summary={
        <>
          <Icon name="user" />
          {owner}
        </>
      }
    >
      <p>{words.signIn.as(owner)}</p>
      <button type="button" onClick={() => void signOut()}>
        {words.signIn.out}
      </button>
    </Popup>
  )
}

function Tab({ to, icon, text, count = '' }: { to: string; icon: IconName; text: string; count?: string }) {
  const { path } = useLocation()
  const isHere = path === to || (to === VIEWS[0] && path === '/ui')
  return (
    <a href={to} aria-current={isHere ? 'page' : undefined}>
      <Icon name={icon} />
      {text}
      <span class="count" aria-hidden="true">
        {count}
      </span>
    </a>
  )
}
