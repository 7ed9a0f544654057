/** The shell: header, navigation, the line on top, and the view that the address names. */
import { ErrorBoundary, lazy, LocationProvider, Route, Router, useLocation } from 'preact-iso'
import { away, signedOut } from './api/client'
import { Icon, type IconName } from './parts/icon'
import { openCount, workerCount, world } from './live/store'
import { Toasts } from './parts/toast'
import { SignIn, signOut } from './signin'
import { nextTheme, theme } from './theme'
import { words } from './words'

const Create = lazy(() => import('./create/create'))
const Queue = lazy(() => import('./queue/queue'))
const Library = lazy(() => import('./library/library'))
const VideoPage = lazy(() => import('./video/video'))
const Workers = lazy(() => import('./workers/workers'))

const NOBODY = 'local' //: the owner of all videos on a farm without keys
const THEME_ICON = { system: 'monitor', light: 'sun', dark: 'moon' } as const

export function App() {
  return (
    <LocationProvider scope="/ui/">
      <a class="skip" href="#main">
        {words.skip}
      </a>
      <Header />
      {away.value && (
        <p class="away" role="status">
          {words.away}
        </p>
      )}
      <main id="main" tabIndex={-1}>
        <ErrorBoundary>
          <Router>
            <Route path="/ui/" component={Create} />
            <Route path="/ui/queue" component={Queue} />
            <Route path="/ui/library" component={Library} />
            <Route path="/ui/videos/:id" component={VideoPage} />
            <Route path="/ui/workers" component={Workers} />
            <Route default component={NotHere} />
          </Router>
        </ErrorBoundary>
      </main>
      <Toasts />
      {signedOut.value && <SignIn />}
    </LocationProvider>
  )
}

function Header() {
  return (
    <header class="top">
      <a class="brand" href="/ui/">
        <img src="/ui/mark.svg" alt="" width="24" height="24" />
        <span>{words.farm}</span>
      </a>
      <nav class="tabs" aria-label={words.main}>
        <Tab to="/ui/" icon="plus" text={words.nav.create} />
        <Tab to="/ui/queue" icon="list" text={words.nav.queue} count={openCount.value ? `${openCount.value}` : ''} />
        <Tab to="/ui/library" icon="film" text={words.nav.library} />
        <Tab to="/ui/workers" icon="cpu" text={words.nav.workers} count={workerCount.value} />
      </nav>
      <div class="top-end">
        <Owner />
        <button class="quiet square" onClick={nextTheme} aria-label={`${words.theme.title}: ${words.theme[theme.value]}`} title={words.theme[theme.value]}>
          <Icon name={THEME_ICON[theme.value]} />
        </button>
      </div>
    </header>
  )
}

/** Who one is, where the farm has keys. */
function Owner() {
  const owner = world.value.hello?.owner
  if (!owner || owner === NOBODY) return null
  return (
    <details class="owner">
      <summary>
        <Icon name="user" />
        {owner}
      </summary>
      <div class="card column">
        <p>{words.signIn.as(owner)}</p>
        <button type="button" onClick={() => void signOut()}>
          {words.signIn.out}
        </button>
      </div>
    </details>
  )
}

function Tab({ to, icon, text, count = '' }: { to: string; icon: IconName; text: string; count?: string }) {
  const { path } = useLocation()
  return (
    <a href={to} aria-current={path === to ? 'page' : undefined}>
      <Icon name={icon} />
      {text}
      <span class="count" aria-hidden="true">
        {count}
      </span>
    </a>
  )
}

const NotHere = () => (
  <section class="empty">
    <p>{words.notHere}</p>
    <a class="button" href="/ui/">
      {words.toCreate}
    </a>
  </section>
)
