/** The API as this page uses it: with the login's cookie, and the CSRF token for whatever changes something. */

const TIMEOUT_MS = 10_000

/** What the server says went wrong, in its own words (RFC 9457), or why it did not answer. */
export class Refused extends Error {
  override name = 'Refused'

  /** @param status HTTP's; 0 when there was no answer. */
  constructor(message: string, readonly status: number, readonly body: Readonly<Record<string, unknown>> = {}) {
    super(message)
  }
}

export interface Api {
  get: (path: string) => Promise<unknown>
  post: (path: string, body: unknown) => Promise<unknown>
}

export function connectApi(base: string, csrfToken: string): Api {
  async function call(path: string, request: RequestInit): Promise<unknown> {
    let response: Response
    try {
      response = await fetch(base + path, {
        ...request, credentials: 'same-origin', redirect: 'manual', cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS),
      })
    } catch (error) {
      const late = error instanceof DOMException && error.name === 'TimeoutError'
      throw new Refused(late ? `The server did not answer within ${TIMEOUT_MS / 1_000} s.` : 'The server cannot be reached.', 0)
    }
    const body: unknown = await response.json().catch(() => null)
    if (response.ok && body === null) throw new Refused('The server’s answer was cut off.', 0)
    if (response.ok) return body
    const problem = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
    throw new Refused(typeof problem.detail === 'string' ? problem.detail : `The server answered ${response.status}.`, response.status, problem)
  }
  return {
    get: (path) => call(path, { headers: { Accept: 'application/json' } }),
    post: (path, body) =>
      call(path, {
        method: 'POST',
        headers: { Accept: 'application/json', 'Content-Type': 'application/json', 'X-CSRFToken': csrfToken },
        body: JSON.stringify(body),
      }),
  }
}
