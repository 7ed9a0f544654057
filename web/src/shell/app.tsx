/** The shell: header, navigation, the line on top, and the view that the address names. */
import { ErrorBoundary, lazy, LocationProvider, Route, Router } from 'preact-iso'
import { away, signedOut } from '../api/client'
import { lastEnd } from '../live/ends'
import { storeState } from '../live/store'
import { Arrive } from '../parts/arrive'
import { Toasts } from '../parts/toast'
import { Header } from './header'
import { part } from './part'
import { SignIn } from './signin'
import { words } from '../words'

const Create = lazy(() => part(() => import('../create/create')))
const Queue = lazy(() => part(() => import('../queue/queue')))
const Library = lazy(() => part(() => import('../library/library')))
const VideoPage = lazy(() => part(() => import('../video/video')))
const Workers = lazy(() => part(() => import('../workers/workers')))

export function App() {
  return (
    <LocationProvider scope="/ui/">
      <a class="skip" href="#main">
        {words.skip}
      </a>
      <Arrive />
      <Header />
      {(away.value || storeState.value !== 'ok') && (
        <p class="away" role="status">
          {away.value ? words.away : words.storeAway(storeState.value)}
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
      <p class="unseen" role="status">
        {lastEnd.value}
      </p>
      {signedOut.value && <SignIn />}
    </LocationProvider>
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
