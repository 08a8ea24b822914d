/** Every message of the WDS protocol (`/ws`), as this client sends and receives it. */

import { isObject } from './rows'

export interface Subscribe {
  readonly action: 'subscribe'
  /** A feed's name, or a pattern that ends in `*`. */
  readonly feed: string
  readonly envelope: true
  readonly snapshot: true
  /** Boards as changes from one message to the next. */
  readonly delta?: true
  /** At most so many messages a second, the latest wins. */
  readonly max_rate?: number
}

export type ClientMessage =
  | { readonly action: 'auth'; readonly api_key: string }
  | Subscribe
  | { readonly action: 'unsubscribe'; readonly feed: string }
  | { readonly action: 'ping' }

/** A value of one feed, or a change of it. `seq` counts the messages sent on this socket for this feed. */
export interface FeedMessage {
  readonly feed: string
  readonly seq: number
  readonly type: 'snapshot' | 'update' | 'delta'
  readonly data: unknown
}

/** What the server says of one feed or pattern. */
export type FeedNotice =
  | { readonly status: 'subscribed' | 'unsubscribed' | 'forbidden'; readonly feed: string }
  | { readonly status: 'error'; readonly error: string; readonly feed: string }

/** What the server says of the socket. */
export type SocketNotice =
  | { readonly status: 'authorized' | 'invalid key' | 'unauthorized' | 'invalid action' | 'resumed' }
  | { readonly status: 'error' | 'interrupted'; readonly error: string }
  /** `at`: the server's wall clock, epoch ms. */
  | { readonly status: 'pong'; readonly at: number }
  /** The server goes down: come back after so long. */
  | { readonly status: 'reconnect'; readonly after_ms: number }

export type ServerMessage = FeedMessage | FeedNotice | SocketNotice

/** Codes of the WDS beside the usual ones of WebSockets. */
export const CLOSE = {
  /** The token or the login is no longer good, or there was none in time. */
  notAuthorised: 4401,
  /** The server goes down to come back. */
  restart: 1012,
  /** The process has as many sockets as it takes; another may have room. */
  full: 1013,
  /** Too many requests, subscriptions or sockets. */
  tooMany: 4429,
} as const

/** The first words of the feeds whose every message is the whole state; others bring one event a message. */
const STATES = ['scanners:', 'quote:', 'status', 'stocks:quotes:', 'stocks:agg:', 'top_10_lists'] as const

/** Whether each message of a feed is its whole state, so that only the latest counts. */
export function isState(feed: string): boolean {
  return STATES.some((start) => feed.startsWith(start))
}

/** Whether a feed is a board, which can come as deltas. */
export function isBoard(feed: string): boolean {
  return feed.startsWith('scanners:')
}

const NAME = /^(?:[\w.:/-]{1,100}|[\w.:/-]{0,99}\*)$/

/** Whether it can be subscribed to: the name of a feed, or a pattern. */
export function isName(name: string): boolean {
  return NAME.test(name)
}

/** Whether a subscription's name, a feed or a pattern, covers a feed. */
export function covers(name: string, feed: string): boolean {
  return name === feed || (name.endsWith('*') && feed.startsWith(name.slice(0, -1)))
}

const BARE: ReadonlySet<string> = new Set(['authorized', 'invalid key', 'unauthorized', 'invalid action', 'resumed'])
const OF_A_FEED: ReadonlySet<string> = new Set(['subscribed', 'unsubscribed', 'forbidden'])
const TYPES: ReadonlySet<string> = new Set(['snapshot', 'update', 'delta'])

/**
 * Reads one text frame from the server.
 *
 * @returns The message, or null for anything the protocol does not know.
 */
export function parseMessage(text: string): ServerMessage | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (!isObject(value)) return null
  if (typeof value.status === 'string') return parseNotice(value, value.status)
  const { feed, seq, type, data } = value
  if (typeof feed !== 'string' || typeof seq !== 'number' || typeof type !== 'string' || !TYPES.has(type)) return null
  return { feed, seq, type: type as FeedMessage['type'], data }
}

function parseNotice(value: Record<string, unknown>, status: string): FeedNotice | SocketNotice | null {
  const { feed, error, at, after_ms } = value
  if (BARE.has(status)) return { status } as SocketNotice
  if (OF_A_FEED.has(status)) return typeof feed === 'string' ? ({ status, feed } as FeedNotice) : null
  if (status === 'pong') return typeof at === 'number' ? { status, at } : null
  if (status === 'reconnect') return typeof after_ms === 'number' && after_ms >= 0 ? { status, after_ms } : null
  if (status !== 'error' && status !== 'interrupted') return null
  const words = typeof error === 'string' ? error : 'unknown error'
  return status === 'error' && typeof feed === 'string' ? { status, error: words, feed } : { status, error: words }
}
