/** Every word that the page shows, in one place, so that it can be translated. docs/reference/glossary.md rules them. */
import type { Status } from './api/objects'

const number = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`

export const words = {
  farm: 'framepack-farm',
  away: 'The farm does not answer, trying again.',
  refused: (status: number) => `The farm refused with status ${status} and gave no reason.`,
  loading: 'Loading …',
  main: 'Main',
  skip: 'Skip to the content',
  notHere: 'There is nothing at this address.',
  toCreate: 'Make a video',
  nav: { create: 'Create', queue: 'Queue', library: 'Library', workers: 'Workers' },
  theme: { title: 'Theme', system: 'As the system', light: 'Light', dark: 'Dark' },
  status: {
    queued: 'waits',
    in_progress: 'runs',
    paused: 'is paused',
    completed: 'is ready',
    failed: 'has failed',
    cancelled: 'was cancelled',
  } satisfies Record<Status, string>,
  act: {
    pause: 'Pause',
    resume: 'Resume',
    cancel: 'Cancel',
    edit: 'Edit',
    retry: 'Retry',
    delete: 'Delete',
    open: 'Open',
    save: 'Save',
    close: 'Close',
    copy: 'Copy',
    copied: 'Copied',
  },
  count: {
    sections: (n: number) => number(n, 'section', 'sections'),
    videos: (n: number) => number(n, 'video', 'videos'),
  },
  time: {
    seconds: (s: number) => `${s.toFixed(1)} s`,
    left: (text: string) => `about ${text} left`,
  },
  create: {
    image: 'Start image',
    prompt: 'Prompt',
    generate: 'Generate',
    added: 'It is in the queue.',
    whatHappens: 'What happens?',
  },
}
