// The page that shows a new token once: copies it, and keeps a reload from making another one.
const card = document.querySelector('.tw-token')
const field = document.getElementById('made-token')
const said = document.getElementById('copied-token')

history.replaceState(null, '', card.dataset.list)
field.addEventListener('focus', () => field.select())

document.getElementById('copy-token').addEventListener('click', async () => {
  field.select()
  try {
    await navigator.clipboard.writeText(field.value)
    said.textContent = 'Copied.'
  } catch {
    // Without https there is no clipboard for scripts; the text is selected.
    said.textContent = 'Selected: press Ctrl-C.'
  }
})
