import { render } from 'preact'
import { App } from './app'
import { startLive } from './live/stream'
import { takeKeyOfAddress } from './signin'
import './style.css'
import './theme'

void takeKeyOfAddress().then(startLive)
render(<App />, document.getElementById('page')!)
