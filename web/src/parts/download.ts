/** Save files: the browser asks the farm for each, one after the other. */
import { sleep } from '../api/client'

export async function download(files: readonly { url: string; name: string }[]): Promise<void> {
  for (const { url, name } of files) {
    const link = document.createElement('a')
    link.href = url
    link.download = name
    link.click()
    if (files.length > 1) await sleep(400) // browsers drop downloads that begin at once
  }
}
