import { render } from 'preact'
import { App } from './shell/app'
import { watchEnds } from './live/ends'
import { startLive } from './live/stream'
import { takeKeyOfAddress } from './shell/signin'
import './style.css'
import './shell/theme'

watchEnds()
void takeKeyOfAddress().then(() => {
  startLive()
  render(<App />, document.getElementById('page')!)
})
