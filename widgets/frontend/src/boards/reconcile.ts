import type { Row } from '../wds'

function sameValues(a: Row, b: Row): boolean {
  const names = Object.keys(b)
  return names.length === Object.keys(a).length && names.every((name) => Object.is(a[name], b[name]))
}

/**
 * The next rows, with the previous object for each row that did not change.
 *
 * The grid compares rows by identity: a board of 500 rows of which 20 moved then costs 20 updates. A symbol that
 * appears twice is kept once, where it ranks best: rows are keyed by symbol.
 */
export function reconcile(previous: readonly Row[], next: readonly Row[]): Row[] {
  const before = new Map(previous.map((row) => [row.symbol, row]))
  const seen = new Set<string>()
  const rows: Row[] = []
  for (const row of next) {
    if (seen.has(row.symbol)) continue
    seen.add(row.symbol)
    const old = before.get(row.symbol)
    rows.push(old !== undefined && (old === row || sameValues(old, row)) ? old : row)
  }
  return rows
}
