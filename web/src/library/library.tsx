import { words } from '../words'
export default function LibraryView() {
  return <h1>{words.nav.library}</h1>
}
