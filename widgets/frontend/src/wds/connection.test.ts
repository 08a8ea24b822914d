import { expect, test, vi } from 'vitest'

import { NotAuthorised, STEADY_MS } from './connection'
import { connected, onFakeTime, recorder, scene, settle, subscribe } from './scripted'

onFakeTime()

test('it authorises with the page’s token first and subscribes only when authorised', async () => {
  const { client, socket } = scene()
  client.subscribe('status', recorder())
  client.start()
  await settle()
  socket().onopen?.()
  expect(socket().sent).toEqual([{ action: 'auth', api_key: 'first' }])
  expect(client.state.phase).toBe('authenticating')
  socket().say({ status: 'authorized' })
  expect(socket().sent.slice(1)).toEqual([subscribe('status')])
  expect(client.state.phase).toBe('live')
})

test('a lost connection comes back with a fresh token and every subscription', async () => {
  const board = recorder()
  const { sockets, socket, states } = await connected(['b', board], ['scanners:x', recorder(), { delta: true, maxRate: 2 }])
  socket().feed('b', 9, 'snapshot', 'before')
  socket().end(1006)
  expect(states.at(-1)).toMatchObject({ phase: 'waiting', reason: 'the connection was lost' })
  await vi.advanceTimersByTimeAsync(500)
  expect(sockets).toHaveLength(2)
  socket().authorize()
  expect(socket().sent).toEqual([
    { action: 'auth', api_key: 'fresh-1' }, subscribe('b'), subscribe('scanners:x', { delta: true, max_rate: 2 }),
  ])
  socket().feed('b', 1, 'snapshot', 'after')
  expect(board.values).toEqual(['before', 'after'])
})

test('attempts wait longer each time, also those that are let in, until a connection lasts', async () => {
  const { client, socket, wait } = scene('first', 0.5)
  client.subscribe('status', recorder())
  client.start()
  await settle()
  const waits: number[] = []
  for (let attempt = 0; attempt < 4; attempt++) {
    if (attempt >= 2) {
      socket().authorize()
      if (attempt === 3) await vi.advanceTimersByTimeAsync(STEADY_MS)
      socket().feed('status', 1, 'snapshot', {})
    }
    socket().end(1006)
    waits.push(wait())
    await vi.advanceTimersByTimeAsync(wait())
  }
  expect(waits).toEqual([750, 1250, 2250, 750])
})

test('a server that goes down says when to come back, and why is told', async () => {
  const { sockets, socket, states, wait } = await connected(['status', recorder()])
  socket().say({ status: 'reconnect', after_ms: 3_000 })
  await vi.advanceTimersByTimeAsync(1_000)
  expect(states.at(-1)?.phase).toBe('live')
  socket().end(1012)
  expect(states.at(-1)).toMatchObject({ phase: 'waiting', reason: 'the server restarts' })
  expect(wait()).toBe(2_000)
  await vi.advanceTimersByTimeAsync(2_000)
  expect(sockets).toHaveLength(2)
})

test('a server that announced its end and does not hang up is left', async () => {
  const { sockets, socket } = await connected(['status', recorder()])
  socket().say({ status: 'reconnect', after_ms: 1_000 })
  await vi.advanceTimersByTimeAsync(1_500)
  expect(sockets[0]?.closed).toBe(true)
  expect(sockets).toHaveLength(2)
})

test.each([
  [1012, '', 'the server restarts', 2_750], [1013, 'the process is full', 'the process is full', 6_000],
  [4429, 'too many sockets of this user', 'too many sockets of this user', 30_000],
])('close %i waits as long as it takes, somewhere in between', async (code, reason, words, delay) => {
  const { client, states, socket, wait } = scene('first', 0.5)
  client.start()
  await settle()
  socket().authorize()
  socket().end(code, reason)
  expect(states.at(-1)).toMatchObject({ phase: 'waiting', reason: words })
  expect(wait()).toBe(delay)
})

test('a refused token is replaced once; refused again means logged out, with the reason', async () => {
  const { client, sockets, socket } = scene('old')
  client.start()
  await settle()
  socket().onopen?.()
  socket().say({ status: 'invalid key' })
  socket().end(4401, 'invalid key')
  await settle()
  expect(sockets).toHaveLength(2)
  socket().onopen?.()
  expect(socket().sent).toEqual([{ action: 'auth', api_key: 'fresh-1' }])
  socket().end(4401, 'the user was switched off')
  await settle()
  expect(client.state).toEqual({ phase: 'logged out', reason: 'the user was switched off' })
  client.retryNow()
  client.setOnline(true)
  await vi.advanceTimersByTimeAsync(60_000)
  expect(sockets).toHaveLength(2)
})

test('a login that ended while connected is noticed when the token is fetched', async () => {
  const { client, tokens, socket } = await connected()
  tokens.fetch = () => Promise.reject(new NotAuthorised('the login has ended'))
  socket().end(4401, 'the user was switched off')
  await settle()
  expect(client.state).toEqual({ phase: 'logged out', reason: 'the user was switched off' })
})

test('who was too slow to authorise is not logged out for it', async () => {
  const { client, sockets, socket } = scene()
  client.start()
  await settle()
  for (let time = 0; time < 3; time++) {
    socket().end(4401, 'not authorised in time')
    expect(client.state.phase).toBe('waiting')
    await vi.advanceTimersByTimeAsync(500)
  }
  expect(sockets).toHaveLength(4)
})

test('a server that cannot look the token up is asked again later', async () => {
  const { client, sockets, states, socket } = scene()
  client.start()
  await settle()
  socket().onopen?.()
  socket().say({ status: 'error', error: 'The database cannot be reached at the moment. Try again.' })
  expect(states.at(-1)).toMatchObject({ phase: 'waiting', reason: 'The database cannot be reached at the moment. Try again.' })
  await vi.advanceTimersByTimeAsync(500)
  expect(sockets).toHaveLength(2)
})

test('a server that gives no token is asked again later', async () => {
  const { client, tokens, sockets } = scene(null)
  const good = tokens.fetch
  tokens.fetch = () => Promise.reject(new Error('500'))
  client.start()
  await settle()
  expect(client.state).toMatchObject({ phase: 'waiting', reason: 'the server does not answer' })
  tokens.fetch = good
  await vi.advanceTimersByTimeAsync(500)
  expect(sockets).toHaveLength(1)
})

test('silence of a feed that should speak is stale, and its next value ends that', async () => {
  const { client, sockets, socket } = await connected(['status', recorder(), { staleAfterMs: 5_000 }], ['alerts', recorder()])
  socket().feed('status', 1, 'snapshot', {})
  for (let second = 0; second < 6; second++) {
    await vi.advanceTimersByTimeAsync(1_000)
    socket().feed('alerts', second + 1, second === 0 ? 'snapshot' : 'update', {})
    socket().say({ status: 'pong', at: 0 })
  }
  expect(client.state.phase).toBe('stale')
  socket().feed('status', 2, 'update', {})
  expect(client.state.phase).toBe('live')
  expect(sockets).toHaveLength(1)
})

test('feeds that may be silent are, as long as the server answers pings', async () => {
  const { client, sockets, socket } = await connected(['alerts', recorder()])
  for (let second = 0; second < 120; second++) {
    await vi.advanceTimersByTimeAsync(1_000)
    if (socket().sent.at(-1) !== undefined) socket().say({ status: 'pong', at: 0 })
  }
  expect([client.state.phase, sockets.length]).toEqual(['live', 1])
})

test('a ping measures the way there and back', async () => {
  const { client, socket } = await connected()
  expect(client.roundTripMs).toBeNull()
  await vi.advanceTimersByTimeAsync(5_000)
  expect(socket().sent.at(-1)).toEqual({ action: 'ping' })
  await vi.advanceTimersByTimeAsync(42)
  socket().say({ status: 'pong', at: 0 })
  expect(client.roundTripMs).toBe(42)
})

test('a server that no longer answers is left, whatever its socket says', async () => {
  const { sockets, states } = await connected(['status', recorder()])
  await vi.advanceTimersByTimeAsync(15_000)
  expect(states.at(-1)).toMatchObject({ phase: 'waiting', reason: 'the server fell silent' })
  expect(sockets[0]?.closed).toBe(true)
})

test('a server that accepts but never answers is left after fifteen seconds', async () => {
  const { client, socket, states } = scene()
  client.start()
  await settle()
  socket().onopen?.()
  await vi.advanceTimersByTimeAsync(15_000)
  expect(states.at(-1)).toMatchObject({ phase: 'waiting', reason: 'the server does not answer' })
})

test('an interruption is told and ends when the server says so, without a new connection', async () => {
  const board = recorder()
  const { client, sockets, socket } = await connected(['status', recorder(), { staleAfterMs: 5_000 }], ['b', board])
  socket().feed('b', 1, 'snapshot', 'before')
  socket().say({ status: 'interrupted', error: 'The cache cannot be reached.' })
  for (let second = 0; second < 30; second++) {
    await vi.advanceTimersByTimeAsync(1_000)
    socket().say({ status: 'pong', at: 0 })
  }
  expect(client.state).toEqual({ phase: 'interrupted', reason: 'The cache cannot be reached.' })
  socket().say({ status: 'resumed' })
  await vi.advanceTimersByTimeAsync(1_000)
  expect(client.state.phase).toBe('live')
  socket().feed('b', 2, 'snapshot', 'after')
  expect(board.values).toEqual(['before', 'after'])
  expect(sockets).toHaveLength(1)
})

test('without a network it waits, and comes back when the network does', async () => {
  const { client, sockets } = await connected()
  client.setOnline(false)
  expect(client.state).toEqual({ phase: 'offline', reason: 'no network' })
  await vi.advanceTimersByTimeAsync(30_000)
  expect(sockets).toHaveLength(1)
  client.setOnline(true)
  await settle()
  expect(sockets).toHaveLength(2)
})

test('garbage is counted and changes nothing', async () => {
  const board = recorder()
  const { client, socket } = await connected(['b', board])
  socket().onmessage?.({ data: '{"feed":' })
  socket().onmessage?.({ data: new ArrayBuffer(2) })
  socket().say({ status: 'invalid action' })
  socket().feed('b', 1, 'snapshot', 'one')
  expect(client.malformed).toBe(2)
  expect(board.values).toEqual(['one'])
})

test('a stopped client lets go of its socket and does not return', async () => {
  const { client, sockets, socket } = await connected()
  client.stop()
  client.retryNow()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(socket().closed).toBe(true)
  expect(sockets).toHaveLength(1)
  expect(client.state.phase).toBe('offline')
})
