/** Dark or light: the system's choice, or the one made here, which this browser remembers. */
import { effect, signal } from '@preact/signals'
import { remember, remembered } from '../parts/memory'

export type Theme = 'system' | 'light' | 'dark'
const THEMES: readonly Theme[] = ['system', 'light', 'dark']
const KEY = 'framefarm-theme'

const kept = remembered(KEY)
export const theme = signal<Theme>(THEMES.find((name) => name === kept) ?? 'system')

effect(() => {
  remember(KEY, theme.value)
  document.documentElement.style.colorScheme = theme.value === 'system' ? 'light dark' : theme.value
})

export const nextTheme = (): void => {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length]!
}
