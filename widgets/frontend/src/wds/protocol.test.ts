import { expect, test } from 'vitest'

import { covers, isBoard, isState, parseMessage } from './protocol'
import { isBoardData, isStatus } from './rows'

test('a feed message keeps its feed, number, type and data', () => {
  expect(parseMessage('{"feed":"status","seq":3,"type":"update","data":{"at":1}}')).toEqual({
    feed: 'status', seq: 3, type: 'update', data: { at: 1 },
  })
})

test('a snapshot of nothing is a message with null', () => {
  expect(parseMessage('{"feed":"scanners:top_gainers","seq":1,"type":"snapshot","data":null}')).toMatchObject({ data: null })
})

test.each([
  { status: 'authorized' }, { status: 'resumed' }, { status: 'forbidden', feed: 'x' }, { status: 'error', error: 'no such feed' },
  { status: 'error', error: 'too many', feed: 'quote:*' }, { status: 'interrupted', error: 'the cache is away' }, { status: 'pong', at: 5 },
  { status: 'reconnect', after_ms: 0 },
])('%j is what the server says', (message) => {
  expect(parseMessage(JSON.stringify(message))).toEqual(message)
})

test.each(['', 'garbage', '[]', 'null', '7', '{}', '{"status":"subscribed"}', '{"status":"what"}', '{"feed":"a","seq":"1","type":"update"}',
  '{"feed":"a","seq":1,"type":"other"}', '{"status":"pong"}', '{"status":"reconnect","after_ms":-1}'])('%j is no message', (text) => {
  expect(parseMessage(text)).toBeNull()
})

test('a name covers its feed, a pattern all that begins so', () => {
  expect(covers('status', 'status')).toBe(true)
  expect(covers('status', 'status:components')).toBe(false)
  expect(covers('quote:*', 'quote:IBM')).toBe(true)
  expect(covers('quote:*', 'scanners:halts')).toBe(false)
})

test('boards and quotes are states, alerts and prints are events', () => {
  expect(['scanners:halts', 'quote:IBM', 'status', 'top_10_lists', 'stocks:quotes:IBM'].every(isState)).toBe(true)
  expect(['alerts', 'alerts:halts', 'stocks:trades:IBM', 'news:latest', 'bars:1m:IBM'].some(isState)).toBe(false)
  expect([isBoard('scanners:halts'), isBoard('quote:IBM')]).toEqual([true, false])
})

test('a board is null or rows with symbols, nothing else', () => {
  expect(isBoardData(null)).toBe(true)
  expect(isBoardData([])).toBe(true)
  expect(isBoardData([{ symbol: 'ZZAB', price: 4.05 }])).toBe(true)
  expect(isBoardData([{ price: 4.05 }])).toBe(false)
  expect(isBoardData({ symbol: 'ZZAB' })).toBe(false)
  expect(isBoardData(undefined)).toBe(false)
})

test('a status without the parts that the page shows is not taken', () => {
  const status = { at: 1, session: 'pre', kind: 'live', feed: { state: 'live', since: 1, reason: '' } }
  expect(isStatus(status)).toBe(true)
  expect(isStatus({ ...status, feed: null })).toBe(false)
  expect(isStatus(null)).toBe(false)
})
