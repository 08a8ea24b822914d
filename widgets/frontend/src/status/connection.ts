/** The connection's state in words: the browser's to the server, and the server's to its feed. */

import type { ConnectionState, Status } from '../wds'

export type Tone = 'good' | 'busy' | 'bad'

export interface ConnectionWords {
  readonly tone: Tone
  /** One or two words for the top bar. */
  readonly label: string
  /** A sentence that says what is wrong; empty while all is well. */
  readonly detail: string
}

const FEED_LABELS: Readonly<Record<Status['feed']['state'], { tone: Tone; label: string; words: string }>> = {
  live: { tone: 'good', label: 'Live', words: '' },
  connecting: { tone: 'busy', label: 'Feed connecting…', words: 'The server is connecting to its market feed.' },
  authenticating: { tone: 'busy', label: 'Feed connecting…', words: 'The server is logging in to its market feed.' },
  'backing off': { tone: 'busy', label: 'Feed reconnecting', words: 'The server lost its market feed and will try again.' },
  refused: { tone: 'bad', label: 'Feed refused', words: 'The market feed refuses the server.' },
  waiting: { tone: 'busy', label: 'Feed waiting', words: 'The server waits for its market feed.' },
  stopped: { tone: 'bad', label: 'Feed stopped', words: 'The market feed is stopped.' },
}

function feedWords(feed: Status['feed']): ConnectionWords {
  const { tone, label, words } = FEED_LABELS[feed.state]
  const reason = feed.reason !== '' && words !== '' ? ` (${feed.reason})` : ''
  return { tone, label, detail: words === '' ? '' : words.replace(/\.$/, `${reason}.`) }
}

/** A reason as a sentence of its own. */
function sentence(reason: string): string {
  const words = reason.replace(/\.$/, '')
  return `${words.slice(0, 1).toUpperCase()}${words.slice(1)}.`
}

/** @param now On the clock of `performance.now()`. */
export function connectionWords(state: ConnectionState, status: Status | null, now: number): ConnectionWords {
  switch (state.phase) {
    case 'live':
      return status === null ? { tone: 'good', label: 'Live', detail: '' } : feedWords(status.feed)
    case 'connecting':
    case 'authenticating':
      return { tone: 'busy', label: 'Connecting…', detail: '' }
    case 'stale':
      return { tone: 'busy', label: 'Stale', detail: 'The server has said nothing of the market for over five seconds. What you see may be old.' }
    case 'interrupted':
      return { tone: 'bad', label: 'Interrupted', detail: `${sentence(state.reason)} What you see is old.` }
    case 'waiting': {
      const seconds = Math.max(1, Math.ceil((state.retryAt - now) / 1000))
      return { tone: 'bad', label: `Reconnecting in ${seconds} s`, detail: `Not connected: ${state.reason}. What you see is old.` }
    }
    case 'offline':
      return { tone: 'bad', label: 'Offline', detail: `Not connected: ${state.reason}. What you see is old.` }
    case 'logged out':
      return { tone: 'bad', label: 'Logged out', detail: `You are logged out${state.reason === '' ? '' : `: ${state.reason}`}. Log in again to go on.` }
  }
}
