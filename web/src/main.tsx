import { render } from 'preact'
import { App } from './app'
import { startLive } from './live/stream'
import './style.css'
import './theme'

startLive()
render(<App />, document.getElementById('page')!)
