import { ref, type Ref } from 'vue'

export type Theme = 'dark' | 'light'

/** The same key as in the script that sets the theme before the first paint (control/theme.js). */
const STORAGE_KEY = 'tapewatch.theme'

function initialTheme(): Theme {
  const chosen = document.documentElement.dataset.theme
  if (chosen === 'dark' || chosen === 'light') return chosen
  return matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark'
}

/** The page's theme: the person's choice, else the system's. */
export function useTheme(): { theme: Ref<Theme>; toggle: () => void } {
  const theme = ref(initialTheme())
  const toggle = (): void => {
    theme.value = theme.value === 'dark' ? 'light' : 'dark'
    document.documentElement.dataset.theme = theme.value
    localStorage.setItem(STORAGE_KEY, theme.value)
  }
  return { theme, toggle }
}
