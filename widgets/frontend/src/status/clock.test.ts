import { expect, test } from 'vitest'

import type { Status } from '../wds'
import { clockFace, MarketClock, nextBell } from './clock'

const NINE_THIRTY = Date.UTC(2026, 10, 20, 14, 30)

function status(change: Partial<Status> = {}): Status {
  return {
    at: NINE_THIRTY, market_clock: NINE_THIRTY, session: 'regular', trading_day: '2026-11-20', source: 'sim:7', kind: 'simulator',
    speed: 1, newest_event_at: NINE_THIRTY, delay_ms: 40, feed: { state: 'live', since: 0, reason: '' }, ...change,
  }
}

test('the face shows New York time and date', () => {
  expect(clockFace(NINE_THIRTY)).toEqual({ time: '09:30:00', date: 'Fri 20 Nov 2026' })
})

test('between two messages the clock runs on, but not for long', () => {
  const clock = new MarketClock()
  expect(clock.at(0)).toBeNull()
  clock.follow(status(), 1000)
  expect(clock.at(1900)).toBe(NINE_THIRTY + 900)
  expect(clock.at(60_000)).toBe(NINE_THIRTY + 1500)
})

test('at ten times the speed it runs ten times as fast', () => {
  const clock = new MarketClock()
  clock.follow(status({ speed: 10 }), 0)
  expect(clock.at(500)).toBe(NINE_THIRTY + 5000)
})

test('it stands while the feed is away', () => {
  const clock = new MarketClock()
  clock.follow(status({ feed: { state: 'backing off', since: 0, reason: '' } }), 0)
  expect(clock.at(1000)).toBe(NINE_THIRTY)
})

test('jitter never turns it back, another source does', () => {
  const clock = new MarketClock()
  clock.follow(status(), 0)
  expect(clock.at(1000)).toBe(NINE_THIRTY + 1000)
  clock.follow(status({ market_clock: NINE_THIRTY + 600 }), 1000)
  expect(clock.at(1000)).toBe(NINE_THIRTY + 1000)
  clock.follow(status({ market_clock: NINE_THIRTY - 3_600_000 }), 2000)
  expect(clock.at(2000)).toBe(NINE_THIRTY - 3_600_000)
})

test('a live market that is closed shows the wall clock', () => {
  const clock = new MarketClock()
  clock.follow(status({ kind: 'live', session: 'closed', at: NINE_THIRTY + 7_200_000 }), 0)
  expect(clock.at(0)).toBe(NINE_THIRTY + 7_200_000)
})

test('the next bell comes from the server, else from the usual hours', () => {
  expect(nextBell('regular', NINE_THIRTY, undefined)).toEqual({ words: 'closes in', inMs: 6.5 * 3_600_000 })
  expect(nextBell('pre', NINE_THIRTY - 60_000, null)).toEqual({ words: 'opens in', inMs: 60_000 })
  expect(nextBell('regular', NINE_THIRTY, NINE_THIRTY + 1000)).toEqual({ words: 'closes in', inMs: 1000 })
  expect(nextBell('closed', NINE_THIRTY, undefined)).toBeNull()
  expect(nextBell('regular', null, undefined)).toBeNull()
})
