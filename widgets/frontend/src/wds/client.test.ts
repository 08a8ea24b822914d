import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { SessionEnded } from '../session'
import { WdsClient, type ConnectionState, type Socket } from './client'

/** A socket whose server side the test plays. */
class ScriptedSocket implements Socket {
  onopen: (() => void) | null = null
  onmessage: ((event: { data: unknown }) => void) | null = null
  onclose: ((event: { code: number; reason: string }) => void) | null = null
  readonly sent: unknown[] = []
  closed = false

  send(text: string): void {
    this.sent.push(JSON.parse(text))
  }

  close(): void {
    this.closed = true
  }

  say(message: unknown): void {
    this.onmessage?.({ data: JSON.stringify(message) })
  }

  end(code: number, reason = ''): void {
    this.onclose?.({ code, reason })
  }

  authorize(): void {
    this.onopen?.()
    this.say({ status: 'authorized' })
  }

  feed(feed: string, seq: number, type: string, data: unknown): void {
    this.say({ feed, seq, type, data })
  }
}

interface Scene {
  readonly client: WdsClient
  readonly sockets: ScriptedSocket[]
  readonly states: ConnectionState[]
  readonly tokens: { fetch: () => Promise<string> }
  socket: () => ScriptedSocket
}

let clients: WdsClient[] = []

function scene(token: string | null = 'first', chance = 0): Scene {
  const sockets: ScriptedSocket[] = []
  const states: ConnectionState[] = []
  let fetched = 0
  const tokens = { fetch: () => Promise.resolve(`fresh-${++fetched}`) }
  const client = new WdsClient({
    url: 'ws://scripted/ws', token, fetchToken: () => tokens.fetch(), random: () => chance,
    openSocket: () => {
      const socket = new ScriptedSocket()
      sockets.push(socket)
      return socket
    },
  })
  clients.push(client)
  client.onState((state) => states.push(state))
  const socket = (): ScriptedSocket => {
    const last = sockets.at(-1)
    if (last === undefined) throw new Error('no socket was opened')
    return last
  }
  return { client, sockets, states, tokens, socket }
}

function recorder(): { values: unknown[]; refusals: string[]; onData: (data: unknown) => void; onRefused: (reason: string) => void } {
  const values: unknown[] = []
  const refusals: string[] = []
  return { values, refusals, onData: (data) => values.push(data), onRefused: (reason) => refusals.push(reason) }
}

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)
const subscribe = (feed: string): unknown => ({ action: 'subscribe', feed, envelope: true, snapshot: true })

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  for (const client of clients) client.stop()
  clients = []
  vi.useRealTimers()
})

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

test('values reach the listener from the snapshot on', async () => {
  const { client, socket } = scene()
  const board = recorder()
  client.subscribe('scanners:top_gainers', board)
  client.start()
  await settle()
  socket().authorize()
  socket().feed('scanners:top_gainers', 1, 'snapshot', null)
  socket().feed('scanners:top_gainers', 2, 'update', [{ symbol: 'A' }])
  expect(board.values).toEqual([null, [{ symbol: 'A' }]])
})

test('after a gap updates wait for the snapshot that follows', async () => {
  const { client, socket } = scene()
  const board = recorder()
  client.subscribe('b', board)
  client.start()
  await settle()
  socket().authorize()
  socket().feed('b', 1, 'snapshot', 'one')
  socket().feed('b', 4, 'update', 'lost some')
  socket().feed('b', 5, 'update', 'still not')
  socket().feed('b', 6, 'snapshot', 'six')
  socket().feed('b', 7, 'update', 'seven')
  expect(board.values).toEqual(['one', 'six', 'seven'])
})

test('a gap that no snapshot closes asks for the feed again', async () => {
  const { client, socket } = scene()
  client.subscribe('b', recorder())
  client.start()
  await settle()
  socket().authorize()
  socket().feed('b', 1, 'snapshot', 'one')
  socket().feed('b', 3, 'update', 'three')
  await vi.advanceTimersByTimeAsync(3500)
  expect(socket().sent.slice(2)).toEqual([{ action: 'unsubscribe', feed: 'b' }, subscribe('b')])
})

test('a repeated number is not shown twice', async () => {
  const { client, socket } = scene()
  const board = recorder()
  client.subscribe('b', board)
  client.start()
  await settle()
  socket().authorize()
  socket().feed('b', 1, 'snapshot', 1)
  socket().feed('b', 2, 'update', 2)
  socket().feed('b', 2, 'update', 2)
  expect(board.values).toEqual([1, 2])
})

test('two listeners share one subscription, and the later one gets the newest value at once', async () => {
  const { client, socket } = scene()
  const [first, second] = [recorder(), recorder()]
  const leaveFirst = client.subscribe('b', first)
  client.start()
  await settle()
  socket().authorize()
  socket().feed('b', 1, 'snapshot', 'one')
  const leaveSecond = client.subscribe('b', second)
  expect(second.values).toEqual(['one'])
  leaveFirst()
  leaveFirst()
  socket().feed('b', 2, 'update', 'two')
  expect([first.values, second.values]).toEqual([['one'], ['one', 'two']])
  leaveSecond()
  expect(socket().sent.slice(1)).toEqual([subscribe('b'), { action: 'unsubscribe', feed: 'b' }])
})

test('a lost connection comes back with a fresh token and every subscription', async () => {
  const { client, sockets, socket, states } = scene()
  const board = recorder()
  client.subscribe('b', board)
  client.subscribe('status', recorder())
  client.start()
  await settle()
  socket().authorize()
  socket().feed('b', 9, 'snapshot', 'before')
  socket().end(1006)
  expect(states.at(-1)).toMatchObject({ phase: 'waiting', reason: 'the connection was lost' })
  await vi.advanceTimersByTimeAsync(500)
  expect(sockets).toHaveLength(2)
  socket().authorize()
  expect(socket().sent).toEqual([{ action: 'auth', api_key: 'fresh-1' }, subscribe('b'), subscribe('status')])
  socket().feed('b', 1, 'snapshot', 'after')
  expect(board.values).toEqual(['before', 'after'])
})

test('attempts that fail wait longer each time, and a message makes the next wait short again', async () => {
  const { client, socket, states } = scene('first', 0.5)
  client.subscribe('status', recorder())
  client.start()
  await settle()
  const waits: number[] = []
  for (let attempt = 0; attempt < 4; attempt++) {
    if (attempt === 3) {
      socket().authorize()
      socket().feed('status', 1, 'snapshot', {})
    }
    socket().end(1006)
    const state = states.at(-1)
    if (state?.phase !== 'waiting') throw new Error(`expected to wait, but was ${state?.phase ?? 'nothing'}`)
    waits.push(state.retryAt - performance.now())
    await vi.advanceTimersByTimeAsync(state.retryAt - performance.now())
  }
  expect(waits).toEqual([750, 1250, 2250, 750])
})

test('a refused token is replaced once; refused again means logged out', async () => {
  const { client, sockets, socket } = scene('old')
  client.start()
  await settle()
  socket().onopen?.()
  socket().end(4401)
  await settle()
  expect(sockets).toHaveLength(2)
  socket().onopen?.()
  expect(socket().sent).toEqual([{ action: 'auth', api_key: 'fresh-1' }])
  socket().end(4401)
  await settle()
  expect(client.state.phase).toBe('logged out')
  await vi.advanceTimersByTimeAsync(60_000)
  expect(sockets).toHaveLength(2)
})

test('a login that ended while connected is noticed when the token is fetched', async () => {
  const { client, tokens, socket } = scene()
  client.start()
  await settle()
  socket().authorize()
  tokens.fetch = () => Promise.reject(new SessionEnded('ended'))
  socket().end(4401)
  await settle()
  expect(client.state.phase).toBe('logged out')
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

test('five silent seconds are stale, a message ends that, fifteen mean a new connection', async () => {
  const { client, sockets, socket, states } = scene()
  client.subscribe('status', recorder())
  client.start()
  await settle()
  socket().authorize()
  await vi.advanceTimersByTimeAsync(5500)
  expect(client.state.phase).toBe('stale')
  socket().feed('status', 1, 'snapshot', {})
  expect(client.state.phase).toBe('live')
  await vi.advanceTimersByTimeAsync(15_500)
  expect(states.map((state) => state.phase)).toContain('waiting')
  expect(sockets[0]?.closed).toBe(true)
  expect(sockets.length).toBeGreaterThan(1)
})

test('a server that accepts but never answers is left after fifteen seconds', async () => {
  const { client, socket, states } = scene()
  client.start()
  await settle()
  socket().onopen?.()
  await vi.advanceTimersByTimeAsync(15_000)
  expect(states.at(-1)).toMatchObject({ phase: 'waiting', reason: 'no message for 15 seconds' })
})

test('garbage is counted and changes nothing', async () => {
  const { client, socket } = scene()
  const board = recorder()
  client.subscribe('b', board)
  client.start()
  await settle()
  socket().authorize()
  socket().onmessage?.({ data: '{"feed":' })
  socket().onmessage?.({ data: new ArrayBuffer(2) })
  socket().say({ status: 'invalid action' })
  socket().feed('b', 1, 'snapshot', 'one')
  expect(client.malformed).toBe(2)
  expect(board.values).toEqual(['one'])
})

test('a refused feed tells its listeners why, also those that come later, and is not asked for again', async () => {
  const { client, socket } = scene()
  const [first, later] = [recorder(), recorder()]
  client.subscribe('secret', first)
  client.start()
  await settle()
  socket().authorize()
  socket().say({ status: 'forbidden', feed: 'secret' })
  client.subscribe('secret', later)
  await vi.advanceTimersByTimeAsync(4000)
  expect([first.refusals, later.refusals]).toEqual([['not allowed for this login'], ['not allowed for this login']])
  expect(socket().sent).toHaveLength(2)
})

test('without a network it waits, and comes back when the network does', async () => {
  const { client, sockets, socket } = scene()
  client.start()
  await settle()
  socket().authorize()
  client.setOnline(false)
  expect(client.state).toEqual({ phase: 'offline', reason: 'no network' })
  await vi.advanceTimersByTimeAsync(30_000)
  expect(sockets).toHaveLength(1)
  client.setOnline(true)
  await settle()
  expect(sockets).toHaveLength(2)
})

test('a stopped client lets go of its socket and does not return', async () => {
  const { client, sockets, socket } = scene()
  client.start()
  await settle()
  socket().authorize()
  client.stop()
  await vi.advanceTimersByTimeAsync(60_000)
  expect(socket().closed).toBe(true)
  expect(sockets).toHaveLength(1)
  expect(client.state.phase).toBe('offline')
})
