import { expect, test } from 'vitest'

import type { Status } from '../wds'
import { connectionWords } from './connection'

const live: Status = {
  at: 0, market_clock: null, session: 'closed', trading_day: null, source: 'live', kind: 'live', speed: 1, newest_event_at: null,
  delay_ms: null, feed: { state: 'live', since: 0, reason: '' },
}

test('all is well: live, and nothing more to say', () => {
  expect(connectionWords({ phase: 'live' }, live, 0)).toEqual({ tone: 'good', label: 'Live', detail: '' })
})

test('the wait is counted down in whole seconds, never zero', () => {
  const state = { phase: 'waiting', retryAt: 3000, reason: 'the connection was lost' } as const
  expect(connectionWords(state, live, 200)).toMatchObject({ tone: 'bad', label: 'Reconnecting in 3 s' })
  expect(connectionWords(state, live, 3500).label).toBe('Reconnecting in 1 s')
  expect(connectionWords(state, live, 0).detail).toContain('the connection was lost')
})

test('a connection that lives while the server has no feed says so, with the reason', () => {
  const status: Status = { ...live, feed: { state: 'refused', since: 0, reason: 'the API key is not valid' } }
  const words = connectionWords({ phase: 'live' }, status, 0)
  expect(words).toEqual({
    tone: 'bad', label: 'Feed refused', detail: 'The market feed refuses the server (the API key is not valid).',
  })
})

test('an interruption says what is away', () => {
  expect(connectionWords({ phase: 'interrupted', reason: 'the cache cannot be reached' }, live, 0)).toEqual({
    tone: 'bad', label: 'Interrupted', detail: 'The cache cannot be reached. What you see is old.',
  })
})

test('stale, offline and logged out each say what that means', () => {
  expect(connectionWords({ phase: 'stale', since: 0 }, live, 6000)).toMatchObject({ tone: 'busy', label: 'Stale' })
  expect(connectionWords({ phase: 'offline', reason: 'no network' }, live, 0).detail).toContain('no network')
  expect(connectionWords({ phase: 'logged out', reason: 'the user was switched off' }, live, 0).detail).toBe(
    'You are logged out: the user was switched off. Log in again to go on.',
  )
})
