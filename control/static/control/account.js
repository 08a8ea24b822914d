// What the account pages do in the browser beside allauth's own scripts: copying secrets, and saying why a key failed.
const WORDS = {
  NotAllowedError: 'The key was not shown in time, or you stopped it.',
  InvalidStateError: 'This key is added already.',
  SecurityError: 'Passkeys need this page under a name (not a number) and https, or localhost.',
}

function say(text) {
  for (const place of document.querySelectorAll('[data-key-error]')) {
    place.textContent = text
    place.hidden = text === ''
  }
}

document.addEventListener('allauth.error', (event) => {
  event.preventDefault()
  const error = event.detail.exception
  say(WORDS[error.name] ?? `The key could not be used: ${error.message}`)
})

for (const button of document.querySelectorAll('[data-passkey]')) {
  if (!window.PublicKeyCredential) {
    button.disabled = true
    button.title = WORDS.SecurityError
  }
  button.addEventListener('click', () => say(''))
}
for (const place of document.querySelectorAll('[data-key-error]')) place.hidden = place.textContent.trim() === ''

for (const button of document.querySelectorAll('[data-copy]')) {
  const source = document.getElementById(button.dataset.copy)
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(source.textContent.trim())
      button.textContent = 'Copied'
    } catch {
      // Without https there is no clipboard for pages: the text is selected, to be copied by hand.
      getSelection().selectAllChildren(source)
    }
  })
}
