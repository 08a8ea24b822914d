/** How long to wait before connecting again: random, so that clients and tabs do not return in step. */

import { CLOSE } from './protocol'

export const BACKOFF_FIRST_MS = 500
export const BACKOFF_CAP_MS = 15_000
/** The longest pause that a server's notice may ask for. */
export const LONGEST_PAUSE_MS = 60_000

/** Least and most of the first wait after these closes, in milliseconds. */
const AFTER_CLOSE: ReadonlyMap<number, readonly [number, number]> = new Map([
  // All clients of the process come back: they spread over what a restart takes.
  [CLOSE.restart, [500, 5_000]],
  [CLOSE.full, [2_000, 10_000]],
  // Whoever returns at once makes it worse; somebody has to close a tab, or the limit's second has to pass.
  [CLOSE.tooMany, [15_000, 45_000]],
])

/**
 * The delay before an attempt: exponential with full jitter.
 *
 * @param attempt How many attempts have failed since the last good connection, from 0.
 * @param random A number in [0, 1).
 * @returns Milliseconds, between half a second and the jittered bound, never above 15 s.
 */
export function backoffDelay(attempt: number, random: number): number {
  const bound = Math.min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** (attempt + 1))
  return Math.round(BACKOFF_FIRST_MS + random * (bound - BACKOFF_FIRST_MS))
}

/** The delay after a close with this code, in milliseconds: never shorter than the backoff. */
export function delayAfterClose(code: number, attempt: number, random: number): number {
  const [least, most] = AFTER_CLOSE.get(code) ?? [0, 0]
  return Math.max(backoffDelay(attempt, random), Math.round(least + random * (most - least)))
}

/** The delay that a server's notice asks for, in milliseconds, with up to a quarter of a second more. */
export function delayAfterNotice(afterMs: number, random: number): number {
  return Math.round(Math.min(afterMs, LONGEST_PAUSE_MS) + random * 250)
}
