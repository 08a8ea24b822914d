import { expect, test } from 'vitest'

import { isBoardData, isStatus, parseMessage } from './protocol'

test('a feed message keeps its feed, number, type and data', () => {
  expect(parseMessage('{"feed":"status","seq":3,"type":"update","data":{"at":1}}')).toEqual({
    feed: 'status', seq: 3, type: 'update', data: { at: 1 },
  })
})

test('a snapshot of nothing is a message with null', () => {
  expect(parseMessage('{"feed":"scanners:top_gainers","seq":1,"type":"snapshot","data":null}')).toMatchObject({ data: null })
})

test('statuses of the handshake and of feeds are told apart', () => {
  expect(parseMessage('{"status":"authorized"}')).toEqual({ status: 'authorized' })
  expect(parseMessage('{"status":"forbidden","feed":"x"}')).toEqual({ status: 'forbidden', feed: 'x' })
  expect(parseMessage('{"status":"error","error":"no such feed"}')).toEqual({ status: 'error', error: 'no such feed' })
})

test.each(['', 'garbage', '[]', 'null', '7', '{}', '{"status":"subscribed"}', '{"status":"what"}', '{"feed":"a","seq":"1","type":"update"}',
  '{"feed":"a","seq":1,"type":"other"}'])('%j is no message', (text) => {
  expect(parseMessage(text)).toBeNull()
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
