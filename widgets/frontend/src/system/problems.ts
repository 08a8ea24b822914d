/** What is wrong with the page's own way to the system; the server cannot tell of that. */

import type { ConnectionState } from '../wds'
import type { Refused } from './api'
import type { Problem, Severity } from './state'

/** A state that is older than this is no picture of the system any more, in ms. */
export const OLD_MS = 3_000

export interface Seen {
  readonly connection: ConnectionState
  /** How long ago the newest state arrived, ms; null when none has. */
  readonly ageMs: number | null
  readonly trouble: Refused | null
  /** How long the page has been open, ms. */
  readonly openMs: number
}

/** Why no fresh state arrives, in words; null while it does. */
export function pageProblem({ connection, ageMs, trouble, openMs }: Seen): Omit<Problem, 'since'> | null {
  if (connection.phase === 'logged out' || trouble?.status === 401) {
    return told('web', 'You are logged out, so this page learns nothing new.', 'Log in again.')
  }
  if (trouble?.status === 403) return told('web', trouble.message, 'Ask an administrator for the role operator.')
  if (ageMs === null ? openMs < OLD_MS : ageMs < OLD_MS) return null
  if (connection.phase === 'interrupted' || (trouble?.status === 503 && /cache/i.test(trouble.message))) {
    return told('cache', 'The cache cannot be reached, so nothing is known of the system: no board, alert or quote moves.',
      '`up` starts its own Valkey again within seconds. A Redis of your own: look whether it runs and whether REDIS_URL is right.')
  }
  if (connection.phase === 'offline') {
    return told('web', 'This browser has no network.', 'What you see is old until it has one again.')
  }
  if (trouble?.status === 0 || connection.phase === 'waiting' || (trouble === null && connection.phase === 'connecting')) {
    return told('web', 'No web process answers.', '`up` starts one again within seconds. If it does not, look at what `up` printed.')
  }
  return told('web', trouble?.message ?? 'Nobody gathers the state of the system.',
    'A web process takes that over within two seconds. If none does, restart the web processes one by one.')
}

function told(component: string, text: string, advice: string, severity: Severity = 'error'): Omit<Problem, 'since'> {
  return { id: `page:${component}`, component, text, advice, severity }
}
