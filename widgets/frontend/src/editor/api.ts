/** What the editor asks the API: whether texts can be used, and which rows they would show. */

import type { Scalar } from '../wds'

const TIMEOUT_MS = 10_000

/** What is wrong in a text; `start` and `end` count characters (code points) as the server does. */
export interface Trouble {
  readonly field: string
  readonly message: string
  readonly start: number
  readonly end: number
}

export interface Verdict {
  readonly valid: boolean
  readonly errors: readonly Trouble[]
}

export type Row = Readonly<Record<string, Scalar>>

export interface Rows {
  readonly rows: readonly Row[]
  /** Epoch ms; null before there is a source. */
  readonly market_clock: number | null
  readonly took_ms: number
}

/** An answer that is none, in words for people. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly status: number,
    /** How long not to ask again, in ms; null when nothing is said about it. */
    readonly waitMs: number | null = null,
  ) {
    super(message)
    this.name = 'Refusal'
  }
}

/**
 * Posts a question.
 *
 * @throws Refusal when the server answers with a problem, or cannot be reached (status 0).
 * @throws DOMException (AbortError) when `signal` says so.
 */
export async function ask<T>(url: string, csrfToken: string, question: unknown, signal: AbortSignal): Promise<T> {
  let response: Response
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', 'X-CSRFToken': csrfToken, Accept: 'application/json' },
      credentials: 'same-origin',
      body: JSON.stringify(question),
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
    })
  } catch (error) {
    if (signal.aborted) throw error
    throw new Refusal('The server cannot be reached.', 0)
  }
  if (response.ok) return (await response.json()) as T
  const wait = Number(response.headers.get('Retry-After') ?? Number.NaN)
  throw new Refusal(await wordsOf(response), response.status, Number.isFinite(wait) ? wait * 1000 : null)
}

async function wordsOf(response: Response): Promise<string> {
  if (response.status === 401) return 'Your login has ended: log in again in another tab; what you wrote stays here.'
  try {
    const problem: unknown = await response.json()
    if (typeof problem === 'object' && problem !== null && 'detail' in problem) return String(problem.detail)
  } catch {
    // No problem details, then.
  }
  return `The server answered ${response.status}.`
}
