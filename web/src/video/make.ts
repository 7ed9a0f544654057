/** Ask for a new video made from one that is there, and open its page; a refusal is kept for the form to show. */
import { type Signal, useSignal } from '@preact/signals'
import { useLocation } from 'preact-iso'
import { create, Problem } from '../api/client'
import type { Video } from '../api/objects'
import { learn } from '../live/store'

export function useMake(): { problem: Signal<Problem | null>; make: (path: string, fields: object) => Promise<void> } {
  const problem = useSignal<Problem | null>(null)
  const { route } = useLocation()
  const make = async (path: string, fields: object): Promise<void> => {
    problem.value = null
    try {
      const made = await learn(create<Video>(path, fields))
      route(`/ui/videos/${made.id}`)
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      problem.value = error
    }
  }
  return { problem, make }
}
