/** Boards as changes: what the server sends from one message of a board to the next. */

import { isObject, isRows, type Row } from './rows'

export interface Delta {
  /** The `seq` of the message that this one builds on. */
  readonly base: number
  /** Rows with their symbol and only the fields that changed; a row that is new comes whole. */
  readonly upsert: readonly Row[]
  /** Symbols that left the board. */
  readonly remove: readonly string[]
  /** All symbols, best first, where the order is another one. */
  readonly order?: readonly string[]
}

/** A board as one message left it. */
export interface BoardAt {
  readonly seq: number
  readonly rows: readonly Row[]
}

function isSymbols(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((symbol) => typeof symbol === 'string')
}

export function isDelta(value: unknown): value is Delta {
  return (
    isObject(value) &&
    typeof value.base === 'number' &&
    isRows(value.upsert) &&
    isSymbols(value.remove) &&
    (value.order === undefined || isSymbols(value.order))
  )
}

/**
 * The board after a delta: rows in `remove` go, those in `upsert` are changed or come last, and `order` is the order of
 * all. A row's rank is its place.
 *
 * @param board The board that the delta should build on; it is not changed.
 * @param seq The number of the delta's message.
 * @returns Null when the delta does not fit: another base, or an order of other symbols. Rows that are as before are
 *   the same objects, and where no row changed, so is the array.
 */
export function applyDelta(board: BoardAt, seq: number, delta: Delta): BoardAt | null {
  if (delta.base !== board.seq) return null
  if (delta.upsert.length === 0 && delta.remove.length === 0 && delta.order === undefined) return { seq, rows: board.rows }
  const rows = new Map(board.rows.map((row) => [row.symbol, row]))
  for (const symbol of delta.remove) rows.delete(symbol)
  for (const change of delta.upsert) rows.set(change.symbol, { ...rows.get(change.symbol), ...change })
  const order = delta.order
  if (order !== undefined && order.length !== rows.size) return null
  const after: Row[] = []
  for (const symbol of order ?? rows.keys()) {
    const row = rows.get(symbol)
    if (row === undefined) return null
    // Each symbol once: a second time it is no longer there.
    if (order !== undefined) rows.delete(symbol)
    const rank = after.length + 1
    after.push(row.rank === rank ? row : { ...row, rank })
  }
  return { seq, rows: after }
}
