/** What the feeds carry: the values of boards and of `status`. Times are epoch milliseconds. */

export type Scalar = string | number | boolean | null

/** One row of the symbol table, as boards carry it. */
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

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Whether the value is rows of a board: an array of objects that have a symbol. */
export function isRows(value: unknown): value is readonly Row[] {
  return Array.isArray(value) && value.every((row) => isObject(row) && typeof row.symbol === 'string')
}

/** Whether the value is a board: rows, or null. */
export function isBoardData(value: unknown): value is BoardData {
  return value === null || isRows(value)
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
