/** The terms of the accounts as columns: the two sums of the design's rule 5, from left to right. */

import type { FeedAccounts } from './state'

export interface Term {
  readonly name: keyof FeedAccounts
  readonly label: string
  readonly help: string
  /** Events that reached nobody. */
  readonly loss: boolean
}

const term = (name: Term['name'], help: string, loss = false, label = name.replaceAll('_', ' ')): Term => ({ name, label, help, loss })

/** `received` is the sum of the others. */
export const LISTENER_TERMS: readonly Term[] = [
  term('received', 'Events that the feed sent'),
  term('malformed', 'Events that could not be used', true),
  term('dropped', 'Events that the listener’s buffer had no room for', true),
  term('buffered', 'Events that wait in the listener'),
  term('published', 'Events that the broker has confirmed'),
]

/** `published` is the sum of these. */
export const WORKER_TERMS: readonly Term[] = [
  term('processed', 'Events that are in the table'),
  term('expired_broker', 'Events that were too old in the queue', true, 'expired: broker'),
  term('expired_worker', 'Events whose task had expired at the worker', true, 'worker'),
  term('expired_age', 'Events whose batch was too old when it began', true, 'age'),
  term('overflowed', 'Events that a full or purged queue gave up', true),
  term('failed', 'Events whose batch could not be merged', true),
  term('lost', 'Events that nobody has answered for', true),
  term('in_flight', 'Events under way'),
]

export const TERMS: readonly Term[] = [...LISTENER_TERMS, ...WORKER_TERMS]

const NUMBERS = [...TERMS.map(({ name }) => name), 'duplicate', 'unbalanced', 'in_per_s', 'out_per_s', 'lost_per_min', 'malformed_per_min'] as const

/** All feeds together. */
export function totalOf(feeds: Readonly<Record<string, FeedAccounts>>): FeedAccounts {
  const sum = Object.fromEntries(NUMBERS.map((name) => [name, 0])) as Record<(typeof NUMBERS)[number], number>
  for (const feed of Object.values(feeds)) for (const name of NUMBERS) sum[name] += feed[name]
  return sum
}
