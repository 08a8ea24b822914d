/** Whether what a board shows can be trusted to be now, and the words for it when there is nothing to show. */

import type { ConnectionState, Row, Status } from '../wds'

/** The engine publishes each board every second: ten seconds of silence are no jitter. */
export const OLD_AFTER_MS = 10_000

/**
 * Whether a board shows old data.
 *
 * @param receivedAt When its last message arrived; both times on the clock of `performance.now()`.
 */
export function isOld(state: ConnectionState, status: Status | null, receivedAt: number | null, now: number): boolean {
  if (receivedAt === null) return false
  if (state.phase !== 'live') return true
  // A closed market changes nothing: its boards stand still and are still right.
  if (status?.session === 'closed') return false
  return now - receivedAt > OLD_AFTER_MS
}

/** The trading day of the rows when it is not the market's: what is shown is then another day's board. */
export function otherDay(rows: readonly Row[] | null, status: Status | null): string | null {
  const day = rows?.[0]?.trading_day
  const today = status?.trading_day
  return day === undefined || today === null || today === undefined || day === today ? null : day
}

/** What an empty board says; null when there are rows. */
export function emptyWords(rows: readonly Row[] | null, received: boolean, state: ConnectionState, refusal: string): string | null {
  if (refusal !== '') return `This board cannot be shown: ${refusal}.`
  if (rows !== null && rows.length > 0) return null
  if (received && rows !== null) return 'No symbol matches right now.'
  if (received) return 'Waiting for the first trades…'
  return state.phase === 'live' || state.phase === 'stale' ? 'Loading…' : 'Not connected yet.'
}
