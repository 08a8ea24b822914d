import { expect, test } from 'vitest'

import type { Unit } from '../format'
import type { Board, Field } from '../page'
import type { Row, Status } from '../wds'
import { boardColumns, boardWidth, compareValues } from './columns'
import { countdownWords } from './CountdownCell'
import { startCountdown, stopCountdown, tickCountdowns } from './countdowns'
import { emptyWords, isOld, otherDay } from './freshness'
import { reconcile } from './reconcile'
import { haltWords } from './SymbolCell'
import { flashKind, toneClasses } from './ValueCell'

const board: Board = {
  slug: 'top_gainers', name: 'Top gainers', description: '', columns: ['symbol', 'price', 'odd_field'], order_by: 'price',
  descending: true, limit: 50,
}
const fields: Record<string, Field> = { price: { label: 'Price', unit: 'usd', description: 'last eligible trade' } }
const open = { session: 'regular', trading_day: '2026-11-20' } as Status

test('rows that did not change keep their identity, changed and new ones do not', () => {
  const before: Row[] = [{ symbol: 'A', price: 1 }, { symbol: 'B', price: 2 }]
  const after = reconcile(before, [{ symbol: 'B', price: 3 }, { symbol: 'A', price: 1 }, { symbol: 'C', price: null }])
  expect(after.map((row) => row.symbol)).toEqual(['B', 'A', 'C'])
  expect(after[1]).toBe(before[0])
  expect(after[0]).not.toBe(before[1])
})

test('a field that appears or disappears is a change', () => {
  const before: Row[] = [{ symbol: 'A', price: 1 }]
  expect(reconcile(before, [{ symbol: 'A', price: 1, bid: 2 }])[0]).not.toBe(before[0])
  expect(reconcile(before, [{ symbol: 'A' }])[0]).not.toBe(before[0])
})

test('a symbol that comes twice is shown once', () => {
  expect(reconcile([], [{ symbol: 'A', rank: 1 }, { symbol: 'A', rank: 2 }])).toEqual([{ symbol: 'A', rank: 1 }])
})

test('a board begins with rank and symbol, each once, and shows unknown fields under their name', () => {
  const columns = boardColumns(board, fields)
  expect(columns.map((column) => column.colId)).toEqual(['rank', 'symbol', 'price', 'odd_field', 'gutter'])
  expect(columns[2]).toMatchObject({ headerName: 'Price', headerTooltip: 'Price: last eligible trade' })
  expect(columns[3]?.headerName).toBe('odd field')
})

test('numbers and times stand on the right, text, flags and what is not known on the left', () => {
  const units = ['notional', 'countdown', 'time', 'text', 'flag', 'furlongs']
  const own = Object.fromEntries(units.map((unit) => [unit, { label: unit, unit: unit as Unit, description: '' }]))
  const columns = boardColumns({ ...board, columns: units }, own).slice(2, -1)
  expect(columns.map((column) => column.headerClass)).toEqual([
    ['align-right'], ['align-right'], ['align-right'], ['align-left'], ['align-left'], ['align-left'],
  ])
  expect(columns.every((column) => (column.minWidth ?? 0) >= 48)).toBe(true)
})

test('a board is as wide as its columns at their least', () => {
  expect(boardWidth(board, fields)).toBe(32 + 92 + 60 + 96 + 14)
})

test('a count-down runs in the market’s time and ends at nought', () => {
  const until = Date.UTC(2026, 10, 20, 15, 36, 7)
  expect(countdownWords(until, until - 299_001)).toBe('05:00')
  expect(countdownWords(until, until - 1)).toBe('00:01')
  expect(countdownWords(until, until + 5_000)).toBe('00:00')
  expect(countdownWords(until, null)).toBe('10:36:07')
  expect(countdownWords(null, until)).toBe('–')
})

test('count-downs tick together for as long as they are shown', () => {
  const heard: (number | null)[] = []
  const cell = { tick: (at: number | null) => heard.push(at) }
  startCountdown(cell)
  tickCountdowns(1_000)
  tickCountdowns(2_000)
  stopCountdown(cell)
  tickCountdowns(3_000)
  expect(heard).toEqual([null, 1_000, 2_000])
})

test('what is not known sorts last in both directions', () => {
  const order = (values: (number | null)[], down: boolean): (number | null)[] =>
    values.toSorted((a, b) => (down ? -1 : 1) * compareValues(a, b, null, null, down))
  expect(order([2, null, 3, 1], false)).toEqual([1, 2, 3, null])
  expect(order([2, null, 3, 1], true)).toEqual([3, 2, 1, null])
})

test('colour follows sign and strength, relative volume has classes of its own', () => {
  expect(toneClasses('percent', 12)).toBe('up tint-4')
  expect(toneClasses('percent', -0.5)).toBe('down tint-1')
  expect(toneClasses('percent', 0)).toBe('')
  expect(toneClasses('usd_signed', -3)).toBe('down')
  expect(toneClasses('ratio', 6)).toBe('ratio-2')
  expect(toneClasses('usd', -3)).toBe('')
  expect(toneClasses('percent', null)).toBe('')
})

test('a cell flashes in the direction of its change, and not when it first gets a value', () => {
  expect(flashKind('usd', 1, 2)).toBe('up')
  expect(flashKind('usd', 2, 1)).toBe('down')
  expect(flashKind('shares', 1, 2)).toBe('new')
  expect(flashKind('usd', null, 2)).toBeNull()
})

test('a board is old when the connection is not live or it fell silent in an open market', () => {
  expect(isOld({ phase: 'live' }, open, 0, 2000)).toBe(false)
  expect(isOld({ phase: 'live' }, open, 0, 12_000)).toBe(true)
  expect(isOld({ phase: 'live' }, { ...open, session: 'closed' }, 0, 99_000)).toBe(false)
  expect(isOld({ phase: 'stale', since: 0 }, open, 0, 100)).toBe(true)
  expect(isOld({ phase: 'interrupted', reason: 'no cache' }, open, 0, 100)).toBe(true)
  expect(isOld({ phase: 'connecting' }, open, null, 100)).toBe(false)
})

test('rows of another day are recognised', () => {
  expect(otherDay([{ symbol: 'A', trading_day: '2026-11-19' }], open)).toBe('2026-11-19')
  expect(otherDay([{ symbol: 'A', trading_day: '2026-11-20' }], open)).toBeNull()
  expect(otherDay([], open)).toBeNull()
})

test('an empty board says why it is empty', () => {
  expect(emptyWords(null, false, { phase: 'connecting' }, '')).toBe('Not connected yet.')
  expect(emptyWords(null, false, { phase: 'live' }, '')).toBe('Loading…')
  expect(emptyWords(null, true, { phase: 'live' }, '')).toBe('Waiting for the first trades…')
  expect(emptyWords([], true, { phase: 'live' }, '')).toBe('No symbol matches right now.')
  expect(emptyWords([{ symbol: 'A' }], true, { phase: 'live' }, '')).toBeNull()
  expect(emptyWords(null, false, { phase: 'live' }, 'not allowed for this login')).toContain('not allowed')
})

test('a halted row says since when and why', () => {
  expect(haltWords({ symbol: 'A', halted_at: Date.UTC(2026, 10, 20, 15, 31, 7), halt_reason: 'LUDP' })).toBe(
    'Trading halted since 10:31:07 (LUDP)',
  )
  expect(haltWords({ symbol: 'A' })).toBe('Trading halted')
})
