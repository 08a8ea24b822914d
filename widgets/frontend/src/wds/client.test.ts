import { expect, test, vi } from 'vitest'

import { ASK_AGAIN_MS, GAP_TIMEOUT_MS } from './client'
import { connected, onFakeTime, recorder, subscribe } from './scripted'

onFakeTime()

const BOARD = 'scanners:top_gainers'

test('values reach the listener from the snapshot on', async () => {
  const board = recorder()
  const { socket } = await connected([BOARD, board])
  socket().feed(BOARD, 1, 'snapshot', null)
  socket().feed(BOARD, 2, 'update', [{ symbol: 'A' }])
  socket().feed('scanners:other', 1, 'update', [{ symbol: 'B' }])
  expect(board.values).toEqual([null, [{ symbol: 'A' }]])
})

test('after lost events updates wait for the snapshot that follows', async () => {
  const alerts = recorder()
  const { socket } = await connected(['alerts', alerts])
  socket().feed('alerts', 1, 'snapshot', 'one')
  socket().feed('alerts', 4, 'update', 'lost some')
  socket().feed('alerts', 5, 'update', 'still not')
  socket().feed('alerts', 6, 'snapshot', 'six')
  socket().feed('alerts', 7, 'update', 'seven')
  expect(alerts.values).toEqual(['one', 'six', 'seven'])
})

test('a gap that no snapshot closes asks for the feed again, every three seconds', async () => {
  const { socket } = await connected(['alerts', recorder()])
  socket().feed('alerts', 1, 'snapshot', 'one')
  socket().feed('alerts', 3, 'update', 'three')
  await vi.advanceTimersByTimeAsync(GAP_TIMEOUT_MS + 500)
  expect(socket().asked).toEqual([subscribe('alerts'), subscribe('alerts')])
  await vi.advanceTimersByTimeAsync(GAP_TIMEOUT_MS + 500)
  expect(socket().asked).toHaveLength(3)
})

test('of a state the newest message counts, whatever was lost before it', async () => {
  const quote = recorder()
  const { socket } = await connected(['quote:IBM', quote])
  socket().feed('quote:IBM', 1, 'snapshot', 1)
  socket().feed('quote:IBM', 5, 'update', 2)
  expect(quote.values).toEqual([1, 2])
})

test('a repeated number is not shown twice', async () => {
  const alerts = recorder()
  const { socket } = await connected(['alerts', alerts])
  socket().feed('alerts', 1, 'snapshot', 1)
  socket().feed('alerts', 2, 'update', 2)
  socket().feed('alerts', 2, 'update', 2)
  socket().feed('alerts', 3, 'update', 3)
  expect(alerts.values).toEqual([1, 2, 3])
})

test('deltas reach listeners as whole boards, and a heartbeat as the very same rows', async () => {
  const board = recorder()
  const { socket } = await connected([BOARD, board, { delta: true }])
  socket().feed(BOARD, 1, 'snapshot', [{ symbol: 'A', price: 1, rank: 1 }, { symbol: 'B', price: 2, rank: 2 }])
  socket().feed(BOARD, 2, 'delta', { base: 1, upsert: [{ symbol: 'B', price: 3 }], remove: [], order: ['B', 'A'] })
  socket().feed(BOARD, 3, 'delta', { base: 2, upsert: [], remove: [] })
  expect(board.values.slice(1)).toEqual(
    Array(2).fill([{ symbol: 'B', price: 3, rank: 1 }, { symbol: 'A', price: 1, rank: 2 }]),
  )
  expect(board.values[2]).toBe(board.values[1])
})

test('a delta that does not fit asks for a snapshot at once, and counts for nothing until it comes', async () => {
  const board = recorder()
  const { socket } = await connected([BOARD, board, { delta: true }])
  socket().feed(BOARD, 1, 'snapshot', [{ symbol: 'A', rank: 1 }])
  await vi.advanceTimersByTimeAsync(GAP_TIMEOUT_MS)
  socket().feed(BOARD, 3, 'delta', { base: 2, upsert: [{ symbol: 'A', price: 2 }], remove: [] })
  socket().feed(BOARD, 4, 'delta', { base: 3, upsert: [{ symbol: 'A', price: 3 }], remove: [] })
  expect(socket().asked).toEqual([subscribe(BOARD, { delta: true }), subscribe(BOARD, { delta: true })])
  socket().feed(BOARD, 5, 'snapshot', [{ symbol: 'A', price: 4, rank: 1 }])
  socket().feed(BOARD, 6, 'delta', { base: 5, upsert: [{ symbol: 'A', price: 5 }], remove: [] })
  expect(board.values.slice(1)).toEqual([[{ symbol: 'A', price: 4, rank: 1 }], [{ symbol: 'A', price: 5, rank: 1 }]])
})

test('two listeners share one subscription, and the later one gets the newest value at once', async () => {
  const [first, second] = [recorder(), recorder()]
  const { client, socket } = await connected()
  const leaveFirst = client.subscribe('quote:IBM', first)
  socket().feed('quote:IBM', 1, 'snapshot', 'one')
  const leaveSecond = client.subscribe('quote:IBM', second)
  expect(second.values).toEqual(['one'])
  leaveFirst()
  leaveFirst()
  socket().feed('quote:IBM', 2, 'update', 'two')
  expect([first.values, second.values]).toEqual([['one'], ['one', 'two']])
  leaveSecond()
  expect(socket().asked).toEqual([subscribe('quote:IBM'), { action: 'unsubscribe', feed: 'quote:IBM' }])
})

test('who joins a list later gets it as a fresh snapshot: its events alone are no list', async () => {
  const [first, second] = [recorder(), recorder()]
  const { client, socket } = await connected(['alerts', first])
  socket().feed('alerts', 1, 'snapshot', [])
  socket().feed('alerts', 2, 'update', 'a')
  client.subscribe('alerts', second)
  expect(second.values).toEqual([])
  expect(socket().asked).toEqual([subscribe('alerts'), subscribe('alerts')])
  socket().feed('alerts', 3, 'snapshot', ['a'])
  expect(first.values).toEqual([[], 'a', ['a']])
  expect(second.values).toEqual([['a']])
})

test('listeners with different wishes share the request that suits all of them', async () => {
  const { client, socket } = await connected([BOARD, recorder(), { maxRate: 1 }])
  const leave = client.subscribe(BOARD, recorder(), { delta: true, maxRate: 5 })
  client.subscribe(BOARD, recorder(), { maxRate: 2 })
  leave()
  expect(socket().asked).toEqual([
    subscribe(BOARD, { max_rate: 1 }), subscribe(BOARD, { delta: true, max_rate: 5 }), subscribe(BOARD, { max_rate: 2 }),
  ])
})

test('a listener that asked for less gets less, but always the last', async () => {
  const [fast, slow] = [recorder(), recorder()]
  const { socket } = await connected(['quote:IBM', fast], ['quote:IBM', slow, { maxRate: 2 }])
  expect(socket().asked).toEqual([subscribe('quote:IBM')])
  for (let seq = 1; seq <= 10; seq++) {
    socket().feed('quote:IBM', seq, seq === 1 ? 'snapshot' : 'update', seq)
    await vi.advanceTimersByTimeAsync(100)
  }
  await vi.advanceTimersByTimeAsync(1_000)
  expect(fast.values).toHaveLength(10)
  expect(slow.values).toEqual([1, 5, 10])
})

test('what waits for a slow listener is gone when the right is, or something newer has come', async () => {
  const slow = recorder()
  const { client, socket } = await connected(['quote:IBM', slow, { maxRate: 2 }])
  const leave = client.subscribe('quote:IBM', recorder())
  for (const seq of [1, 2]) socket().feed('quote:IBM', seq, 'snapshot', seq)
  leave()
  socket().feed('quote:IBM', 3, 'snapshot', 3)
  await vi.advanceTimersByTimeAsync(1_000)
  client.subscribe('quote:IBM', recorder())
  for (const seq of [4, 5]) socket().feed('quote:IBM', seq, 'update', seq)
  socket().say({ status: 'forbidden', feed: 'quote:IBM' })
  await vi.advanceTimersByTimeAsync(1_000)
  expect(slow.values).toEqual([1, 3, 4])
})

test('a pattern brings its feeds, each with its own numbers', async () => {
  const heard: string[] = []
  const { client, socket } = await connected(['alerts:*', { onData: (data, { feed }) => heard.push(`${feed} ${String(data)}`) }])
  socket().feed('alerts:halts', 1, 'snapshot', 1)
  socket().feed('alerts:momo', 1, 'snapshot', 2)
  socket().feed('alerts:halts', 2, 'update', 3)
  socket().feed('news:latest', 1, 'update', 4)
  // It matches both names and is sent once.
  const one = recorder()
  client.subscribe('alerts:halts', one)
  socket().feed('alerts:halts', 3, 'snapshot', 5)
  expect(heard).toEqual(['alerts:halts 1', 'alerts:momo 2', 'alerts:halts 3', 'alerts:halts 5'])
  expect(one.values).toEqual([5])
})

test('a refused feed tells its listeners why, also those that come later, and is not asked for again', async () => {
  const [first, later] = [recorder(), recorder()]
  const { client, socket } = await connected(['secret', first])
  socket().say({ status: 'forbidden', feed: 'secret' })
  client.subscribe('secret', later)
  await vi.advanceTimersByTimeAsync(14_000)
  expect([first.refusals, later.refusals]).toEqual([['not allowed for this login'], ['not allowed for this login']])
  expect(socket().asked).toHaveLength(1)
})

test('a request that fails for the moment, or is not answered, is sent again; one that is answered is not', async () => {
  const [quote, alerts] = [recorder(), recorder()]
  const { socket } = await connected(['quote:IBM', quote], ['alerts', alerts], ['news:latest', recorder()])
  socket().say({ status: 'error', error: 'the cache cannot be reached', feed: 'quote:IBM' })
  socket().say({ status: 'subscribed', feed: 'alerts' })
  await vi.advanceTimersByTimeAsync(ASK_AGAIN_MS)
  expect(socket().asked.slice(3)).toEqual([subscribe('quote:IBM'), subscribe('news:latest')])
  socket().feed('quote:IBM', 1, 'snapshot', 1)
  expect([quote.refusals, quote.values]).toEqual([['the cache cannot be reached'], [1]])
})

test('a right that ends takes the last value along, and one that is back brings it', async () => {
  const [first, later] = [recorder(), recorder()]
  const { client, socket } = await connected([BOARD, first])
  socket().feed(BOARD, 1, 'snapshot', [])
  socket().say({ status: 'forbidden', feed: BOARD })
  client.subscribe(BOARD, later)
  expect(later.values).toEqual([])
  expect(first.refusals).toHaveLength(1)
  socket().end(1006)
  await vi.advanceTimersByTimeAsync(500)
  socket().authorize()
  socket().feed(BOARD, 1, 'snapshot', [])
  expect([first.values, later.values]).toEqual([[[], []], [[]]])
})

test('a name that is none is refused at once, and nobody is asked', async () => {
  const nothing = recorder()
  const { client, socket } = await connected(['no such feed', nothing])
  expect(nothing.refusals).toEqual([expect.stringMatching(/^no such feed/)])
  client.subscribe('a*b', nothing)()
  await vi.advanceTimersByTimeAsync(2 * ASK_AGAIN_MS)
  expect(nothing.refusals).toHaveLength(2)
  expect(socket().asked).toEqual([])
})
