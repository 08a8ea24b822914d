/** Every message of the WDS protocol (`/ws`), as the browser sends and receives it. */

export type Scalar = string | number | boolean | null

/** One row of the symbol table, as boards carry it. Times are epoch milliseconds. */
export interface Row {
  readonly symbol: string
  readonly rank?: number
  readonly trading_day?: string
  readonly session?: Session
  readonly complete?: boolean
  /** The company's name. */
  readonly name?: string | null
  readonly halted?: boolean | null
  readonly halted_at?: number | null
  readonly halt_reason?: string | null
  readonly [field: string]: Scalar | undefined
}

/** The value of a board's feed: rows, best first, or null while nothing has been published. */
export type BoardData = readonly Row[] | null

export type Session = 'pre' | 'regular' | 'post' | 'closed'

/** Empty: there has been no source yet. */
export type SourceKind = 'live' | 'simulator' | 'recording' | ''

export type FeedState = 'live' | 'connecting' | 'authenticating' | 'backing off' | 'refused' | 'waiting' | 'stopped'

/** The value of the feed `status`, sent once a second. */
export interface Status {
  /** Server's wall clock when it was sent, epoch ms. */
  readonly at: number
  /** Newest event time of the source, epoch ms. */
  readonly market_clock: number | null
  readonly session: Session
  readonly trading_day: string | null
  /** Epoch ms of the next change of session; known only to servers that send it. */
  readonly next_bell_at?: number | null
  readonly source: string
  readonly kind: SourceKind
  readonly speed: number
  readonly newest_event_at: number | null
  readonly delay_ms: number | null
  /** Which halts are seen at all, in words; known only to servers that send it. */
  readonly halts?: { readonly covers: string }
  readonly feed: { readonly state: FeedState; readonly since: number; readonly reason: string }
}

export type ClientMessage =
  | { readonly action: 'auth'; readonly api_key: string }
  | { readonly action: 'subscribe'; readonly feed: string; readonly envelope: true; readonly snapshot: true }
  | { readonly action: 'unsubscribe'; readonly feed: string }

/** A value of one feed. `seq` counts the messages sent on this socket for this feed. */
export interface FeedMessage {
  readonly feed: string
  readonly seq: number
  readonly type: 'snapshot' | 'update' | 'delta'
  readonly data: unknown
}

export type StatusMessage =
  | { readonly status: 'authorized' | 'invalid key' | 'unauthorized' | 'invalid action' }
  | { readonly status: 'subscribed' | 'unsubscribed' | 'forbidden'; readonly feed: string }
  | { readonly status: 'error'; readonly error: string; readonly feed?: string }

/** Close code of a socket whose token or login is no longer good. */
export const CLOSE_UNAUTHORIZED = 4401

const BARE_STATUSES: ReadonlySet<string> = new Set(['authorized', 'invalid key', 'unauthorized', 'invalid action'])
const FEED_STATUSES: ReadonlySet<string> = new Set(['subscribed', 'unsubscribed', 'forbidden'])
const FEED_TYPES: ReadonlySet<string> = new Set(['snapshot', 'update', 'delta'])

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Reads one text frame from the server.
 *
 * @returns The message, or null for anything the protocol does not know.
 */
export function parseMessage(text: string): FeedMessage | StatusMessage | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (!isObject(value)) return null
  if (typeof value.status === 'string') return parseStatus(value, value.status)
  const { feed, seq, type, data } = value
  if (typeof feed !== 'string' || typeof seq !== 'number' || typeof type !== 'string' || !FEED_TYPES.has(type)) {
    return null
  }
  return { feed, seq, type: type as FeedMessage['type'], data }
}

function parseStatus(value: Record<string, unknown>, status: string): StatusMessage | null {
  const feed = value.feed
  if (BARE_STATUSES.has(status)) return { status } as StatusMessage
  if (FEED_STATUSES.has(status)) return typeof feed === 'string' ? ({ status, feed } as StatusMessage) : null
  if (status !== 'error') return null
  const error = typeof value.error === 'string' ? value.error : 'unknown error'
  return typeof feed === 'string' ? { status, error, feed } : { status, error }
}

/** Whether the value is a board: null, or an array of objects that have a symbol. */
export function isBoardData(value: unknown): value is BoardData {
  return value === null || (Array.isArray(value) && value.every((row) => isObject(row) && typeof row.symbol === 'string'))
}

/** Whether the value has the parts of a status message that the page depends on. */
export function isStatus(value: unknown): value is Status {
  return (
    isObject(value) &&
    typeof value.at === 'number' &&
    typeof value.session === 'string' &&
    typeof value.kind === 'string' &&
    isObject(value.feed) &&
    typeof value.feed.state === 'string'
  )
}
