/** Delays between attempts to reconnect: exponential with full jitter, so that clients do not return in step. */

export const BACKOFF_FIRST_MS = 500
export const BACKOFF_CAP_MS = 15_000

/**
 * The delay before an attempt.
 *
 * @param attempt How many attempts have failed since the last good connection, from 0.
 * @param random A number in [0, 1).
 * @returns Milliseconds, between half a second and the jittered bound, never above 15 s.
 */
export function backoffDelay(attempt: number, random: number): number {
  const bound = Math.min(BACKOFF_CAP_MS, BACKOFF_FIRST_MS * 2 ** (attempt + 1))
  return Math.round(BACKOFF_FIRST_MS + random * (bound - BACKOFF_FIRST_MS))
}
