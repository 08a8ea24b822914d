// Sets the person's choice of theme before the first paint. A script of its own: inline ones are not allowed.
try {
  const theme = localStorage.getItem('tapewatch.theme')
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme
} catch {
  // Storage can be forbidden: the system's theme then rules.
}
