/** The person's login, as the page sees it. */

import { NotAuthorised } from './wds'

const TOKEN_TIMEOUT_MS = 10_000

/**
 * Fetches a short-lived token for the next WebSocket handshake.
 *
 * @throws NotAuthorised when the person is logged out.
 * @throws Error when the server cannot be reached or answers with something else.
 */
export async function fetchToken(url: string, csrfToken: string): Promise<string> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'X-CSRFToken': csrfToken, Accept: 'application/json' },
    credentials: 'same-origin',
    // A redirect is the way to the login page: it must not be followed to a page that is no JSON.
    redirect: 'manual',
    signal: AbortSignal.timeout(TOKEN_TIMEOUT_MS),
  })
  if (response.type === 'opaqueredirect' || response.status === 401 || response.status === 403) {
    throw new NotAuthorised('the login has ended')
  }
  if (!response.ok) throw new Error(`The server answered ${response.status} to the request for a token.`)
  const body: unknown = await response.json()
  if (typeof body === 'object' && body !== null && 'token' in body && typeof body.token === 'string') return body.token
  throw new Error('The server sent no token.')
}

const LAST_REDIRECT_KEY = 'tapewatch.login-redirect-at'
const REDIRECT_PAUSE_MS = 30_000

/**
 * Sends the person to the login page and back here afterwards.
 *
 * @returns False when that was done moments ago and did not help: the page then says so instead of going in circles.
 */
export function goToLogin(loginUrl: string): boolean {
  const last = Number(sessionStorage.getItem(LAST_REDIRECT_KEY) ?? 0)
  if (Date.now() - last < REDIRECT_PAUSE_MS) return false
  sessionStorage.setItem(LAST_REDIRECT_KEY, String(Date.now()))
  const next = encodeURIComponent(location.pathname + location.search)
  location.assign(`${loginUrl}?next=${next}`)
  return true
}
