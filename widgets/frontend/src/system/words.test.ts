import { describe, expect, test } from 'vitest'

import { totalOf } from './accounting'
import { Refused } from './api'
import { accounts, STATE } from './fixture'
import { changesOf, outcomeOf } from './operations'
import { pageProblem, type Seen } from './problems'
import { isSystemState } from './state'
import { toneOf } from './tones'
import { bytes, delay, lasting, percent, rate, short } from './units'

test.each([
  [bytes(0), '0 B'], [bytes(999), '999 B'], [bytes(4_120_000), '4.1 MB'], [bytes(999_600), '1.0 MB'], [bytes(38.4e9), '38 GB'], [bytes(null), '–'],
  [rate(0), '0/s'], [rate(9.7), '9.7/s'], [rate(10_012), '10,012/s'], [rate(204_000), '204K/s'], [rate(undefined), '–'],
  [delay(4.21), '4.2 ms'], [delay(48), '48 ms'], [delay(1_200), '1.2 s'], [percent(3.44), '3.4 %'], [percent(48.2), '48 %'],
  [lasting(42_000), '42 s'], [lasting(312_000), '5 min 12 s'], [lasting(11_100_000), '3 h 5 min'], [lasting(187_200_000), '2 d 4 h'],
  [short(9_999), '9,999'], [short(4_360_000), '4.36M'], [short(Number.NaN), '–'],
])('%s is %s', (said, wanted) => {
  expect(said).toBe(wanted)
})

describe('why nothing new arrives', () => {
  const live: Seen = { connection: { phase: 'live' }, ageMs: 400, trouble: null, openMs: 60_000 }
  const seen = (changed: Partial<Seen>): string => pageProblem({ ...live, ...changed })?.text ?? ''

  test('nothing is said while states arrive, nor in the first moments', () => {
    expect(pageProblem(live)).toBeNull()
    expect(pageProblem({ ...live, ageMs: null, openMs: 1_000, connection: { phase: 'connecting' } })).toBeNull()
  })

  test('each cause has its own words', () => {
    expect(seen({ ageMs: 4_000, connection: { phase: 'interrupted', reason: 'The cache cannot be reached' } })).toContain('The cache cannot be reached')
    expect(seen({ ageMs: 4_000, trouble: new Refused('The database or the cache cannot be reached; try again.', 503) })).toContain('The cache')
    expect(seen({ ageMs: 4_000, connection: { phase: 'waiting', retryAt: 0, reason: 'closed' } })).toBe('No web process answers.')
    expect(seen({ ageMs: 4_000, connection: { phase: 'offline', reason: 'no network' } })).toContain('no network')
    expect(seen({ ageMs: 4_000, trouble: new Refused('Nobody gathers it.', 503) })).toBe('Nobody gathers it.')
    expect(seen({ ageMs: null, trouble: new Refused('', 401) })).toContain('logged out')
  })
})

test('a card has the colour of its worst problem', () => {
  const problem = { id: '1', text: '', advice: '', since: 0 }
  const problems = [{ ...problem, severity: 'warning', component: 'cache' }, { ...problem, severity: 'error', component: 'feed2' }] as const
  expect(toneOf(problems, (one) => one === 'cache')).toBe('warn')
  expect(toneOf(problems, () => true)).toBe('bad')
  expect(toneOf(problems, (one) => one === 'listener')).toBe('good')
})

test('all feeds together', () => {
  expect(totalOf({ a: accounts(10, { lost: 2 }), b: accounts(5, { lost: 1, unbalanced: -1 }) })).toMatchObject({ received: 15, lost: 3, unbalanced: -1 })
})

test('an outcome says what changed, name by name', () => {
  expect(changesOf({ feed: '', on: false, same: 1 }, { feed: 'delayed', on: true, same: 1, more: ['a', 'b'] })).toEqual([
    { name: 'feed', before: '–', after: 'delayed' }, { name: 'on', before: 'off', after: 'on' }, { name: 'more', before: '–', after: 'a, b' },
  ])
  expect(changesOf(2, 3)).toEqual([{ name: '', before: '2', after: '3' }])
  expect(changesOf(null, null)).toEqual([])
})

test('a problem of the API is an outcome: failed, unanswered, or refused with what is wrong where', () => {
  const entry = { id: 7, operation: 'listener.stop' }
  expect(outcomeOf(new Refused('It is stopped already.', 409, { entry }))).toMatchObject({ state: 'failed', said: 'It is stopped already.', entry })
  expect(outcomeOf(new Refused('Nobody answered.', 504)).state).toBe('unanswered')
  expect(outcomeOf(new Refused('No.', 422, { errors: { feed: ['Use real-time.'] } }))).toMatchObject({ state: 'refused', errors: { feed: ['Use real-time.'] } })
})

test('what is no state is not taken for one', () => {
  expect(isSystemState(STATE)).toBe(true)
  expect(isSystemState({ ...STATE, workers: null })).toBe(false)
  expect(isSystemState({ at: 1 })).toBe(false)
  expect(isSystemState(null)).toBe(false)
})
