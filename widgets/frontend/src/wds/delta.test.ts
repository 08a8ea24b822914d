import fc from 'fast-check'
import { expect, test, vi } from 'vitest'

import { GAP_TIMEOUT_MS } from './client'
import { applyDelta, isDelta, type Delta } from './delta'
import { connected, onFakeTime, type ScriptedSocket } from './scripted'
import type { Row, Scalar } from './rows'

onFakeTime()

const BOARD = 'scanners:any'

/** What the server says of the way from one board to another. */
function difference(before: readonly Row[], after: readonly Row[], base: number): Delta {
  const old = new Map(before.map((row) => [row.symbol, row]))
  const symbols = after.map((row) => row.symbol)
  const upsert = after.flatMap((row) => {
    const was = old.get(row.symbol)
    const changed = Object.entries(row).filter(([name, value]) => name !== 'rank' && (was === undefined || was[name] !== value))
    return changed.length === 0 ? [] : [{ ...Object.fromEntries(changed), symbol: row.symbol }]
  })
  const remove = [...old.keys()].filter((symbol) => !symbols.includes(symbol))
  const kept = [...old.keys()].filter((symbol) => symbols.includes(symbol))
  return { base, upsert, remove, ...(kept.join() === symbols.join() ? {} : { order: symbols }) }
}

const value = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.constant(null), fc.constantFrom('LUDP', 'T1'))
/** A few symbols and values, so that boards share rows, swap them and lose them. */
const board: fc.Arbitrary<Row[]> = fc
  .uniqueArray(fc.record({ symbol: fc.constantFrom('A', 'B', 'C', 'D', 'E', 'F', 'G'), price: value, volume: value, halted: fc.boolean() }), {
    selector: (row) => row.symbol,
  })
  .map((rows) => rows.map((row, index) => ({ ...row, rank: index + 1 })))

test('a delta between any two boards gives the second, and leaves the first as it was', () => {
  fc.assert(fc.property(board, board, (before, after) => {
    const untouched = structuredClone(before)
    const delta: unknown = JSON.parse(JSON.stringify(difference(before, after, 7)))
    if (!isDelta(delta)) throw new Error('no delta')
    expect(applyDelta({ seq: 7, rows: before }, 8, delta)).toEqual({ seq: 8, rows: after })
    expect(before).toEqual(untouched)
  }))
})

test('rows that stay the same stay the same object', () => {
  fc.assert(fc.property(board, board, (before, after) => {
    const rows = applyDelta({ seq: 1, rows: before }, 2, difference(before, after, 1))?.rows ?? []
    for (const row of rows) {
      const was = before.find(({ symbol }) => symbol === row.symbol)
      const same = was !== undefined && Object.entries(row).every(([name, now]: [string, Scalar | undefined]) => was[name] === now)
      expect(row === was).toBe(same)
    }
  }))
})

const AB: Row[] = [{ symbol: 'A', rank: 1 }, { symbol: 'B', rank: 2 }]

test.each<[string, Partial<Delta>]>([
  ['another base', { base: 4 }],
  ['an order that forgets a row', { order: ['A'] }],
  ['an order of rows that are not there', { order: ['A', 'C'] }],
  ['an order that names a row twice', { order: ['A', 'A'] }],
])('%s does not fit', (_, wrong) => {
  expect(applyDelta({ seq: 5, rows: AB }, 6, { base: 5, upsert: [], remove: [], ...wrong })).toBeNull()
})

test('a row that went and came again in one delta is a new one, last where no order says otherwise', () => {
  const delta = { base: 5, remove: ['A', 'Z'], upsert: [{ symbol: 'A', price: 1 }] }
  expect(applyDelta({ seq: 5, rows: [{ symbol: 'A', bid: 1, rank: 1 }, { symbol: 'B', rank: 2 }] }, 6, delta)?.rows).toEqual([
    { symbol: 'B', rank: 1 }, { symbol: 'A', price: 1, rank: 2 },
  ])
})

test.each([null, [], {}, { base: 1 }, { base: '1', upsert: [], remove: [] }, { base: 1, upsert: [{}], remove: [] },
  { base: 1, upsert: [], remove: [1] }, { base: 1, upsert: [], remove: [], order: null }])('%j is no delta', (data) => {
  expect(isDelta(data)).toBe(false)
})

/** The server's side of one board on one socket: numbers, and what it sent last. */
class ServedBoard {
  private seq = 0
  private sent: readonly Row[] | null = null
  private answered = 0

  constructor(private readonly socket: ScriptedSocket) {}

  /** @param arrives Whether the message does; its number is used up all the same. */
  send(rows: readonly Row[], arrives = true): void {
    // Each request is answered with the whole board.
    if (this.socket.asked.length > this.answered) this.sent = null
    this.answered = this.socket.asked.length
    const delta = this.sent === null ? null : difference(this.sent, rows, this.seq)
    this.sent = rows
    this.seq += 1
    if (arrives) this.socket.feed(BOARD, this.seq, delta === null ? 'snapshot' : 'delta', delta ?? rows)
  }
}

interface Step {
  readonly does: 'send' | 'lose' | 'repeat' | 'conflate' | 'reconnect'
  readonly rows: Row[]
}

const step: fc.Arbitrary<Step> = fc.record({
  does: fc.oneof({ weight: 6, arbitrary: fc.constant('send' as const) }, fc.constantFrom('lose', 'repeat', 'conflate', 'reconnect')),
  rows: board,
})

test('whatever is lost, repeated, conflated or reconnected, what is shown was a board, and in the end it is the board', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), board, async (steps, last) => {
    let shown: unknown = null
    const { client, sockets, socket } = await connected([BOARD, { onData: (data) => (shown = data) }, { delta: true }])
    let served = new ServedBoard(socket())
    for (const { does, rows } of steps) {
      const before = shown
      if (does === 'reconnect') {
        socket().end(1006)
        const count = sockets.length
        await vi.advanceTimersByTimeAsync(500)
        expect(sockets).toHaveLength(count + 1)
        socket().authorize()
        served = new ServedBoard(socket())
      } else if (does !== 'conflate') {
        served.send(rows, does !== 'lose')
      }
      if (does === 'repeat') served.send(rows)
      if (shown !== before) expect(shown).toEqual(rows)
      await vi.advanceTimersByTimeAsync(1_000)
      socket().say({ status: 'pong', at: 0 })
    }
    // A lost message shows with the next one; the request that follows is answered with a snapshot.
    served.send(last)
    await vi.advanceTimersByTimeAsync(GAP_TIMEOUT_MS + 500)
    served.send(last)
    expect(shown).toEqual(last)
    client.stop()
  }), { numRuns: 200 })
})
