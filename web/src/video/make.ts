/** Ask for a new video made from one that is there, and open its page; a refusal is kept for the form to show. */
import { type Signal, useSignal } from '@preact/signals'
import { useLocation } from 'preact-iso'
import { create, Problem } from '../api/client'
import type { Video } from '../api/objects'
import { learn } from '../live/store'

interface Make {
  problem: Signal<Problem | null>
  /** Whether the farm was asked and has not answered: another press of the button asks nothing. */
  busy: Signal<boolean>
  make: (path: string, fields: object) => Promise<void>
}

export function useMake(): Make {
  const problem = useSignal<Problem | null>(null)
  const busy = useSignal(false)
  const { route } = useLocation()
  const make = async (path: string, fields: object): Promise<void> => {
    if (busy.value) return
    ;[busy.value, problem.value] = [true, null]
    try {
      const made = await learn(create<Video>(path, fields))
      route(`/ui/videos/${made.id}`)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      problem.value = error
    } finally {
      busy.value = false
    }
  }
  return { problem, busy, make }
}
