import type { AddressInfo } from 'node:net'

import { afterEach, expect, test, vi } from 'vitest'
import { WebSocketServer, type WebSocket as ServerSocket } from 'ws'

import { WdsClient, type ConnectionState } from '.'

/** The client over real sockets, against a local server that follows a script. */

const ends: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function serve(talk: (socket: ServerSocket, connection: number) => void): Promise<string> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  let connections = 0
  server.on('connection', (socket) => talk(socket, ++connections))
  await new Promise((resolve) => server.once('listening', resolve))
  ends.push(() => {
    for (const socket of server.clients) socket.terminate()
    return new Promise((resolve) => server.close(() => resolve()))
  })
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`
}

function follow(url: string, token: string): { client: WdsClient; values: unknown[] } {
  const values: unknown[] = []
  let fetched = 0
  const client = new WdsClient({ url, token, fetchToken: () => Promise.resolve(`fresh-${++fetched}`), random: () => 0 })
  client.subscribe('b', { onData: (data) => values.push(data) })
  client.start()
  ends.push(() => client.stop())
  return { client, values }
}

function read(data: unknown): Record<string, unknown> {
  return JSON.parse(String(data)) as Record<string, unknown>
}

test('a server that falls over after the first value is found again, with its subscription', async () => {
  const heard: unknown[][] = []
  const url = await serve((socket, connection) => {
    const messages: unknown[] = []
    heard.push(messages)
    socket.on('message', (data) => {
      const message = read(data)
      messages.push(message)
      if (message.action === 'auth') socket.send('{"status":"authorized"}')
      if (message.action !== 'subscribe') return
      socket.send('{"status":"subscribed","feed":"b"}')
      socket.send(JSON.stringify({ feed: 'b', seq: 1, type: 'snapshot', data: connection }))
      if (connection === 1) setTimeout(() => socket.terminate(), 20)
    })
  })
  const { client, values } = follow(url, 'first')
  await vi.waitFor(() => expect(values).toEqual([1, 2]), 5000)
  expect(client.state.phase).toBe('live')
  expect(heard.map((messages) => messages[0])).toEqual([
    { action: 'auth', api_key: 'first' },
    { action: 'auth', api_key: 'fresh-1' },
  ])
})

test('the close code of a bad token arrives, and a fresh token is tried', async () => {
  const url = await serve((socket) => {
    socket.on('message', (data) => {
      const message = read(data)
      if (message.action === 'auth' && message.api_key === 'expired') {
        socket.send('{"status":"invalid key"}')
        socket.close(4401)
      } else if (message.action === 'auth') {
        socket.send('{"status":"authorized"}')
      } else {
        socket.send(JSON.stringify({ feed: 'b', seq: 1, type: 'snapshot', data: 'in' }))
      }
    })
  })
  const { values } = follow(url, 'expired')
  await vi.waitFor(() => expect(values).toEqual(['in']), 5000)
})

test('a server that goes down and comes back carries a board of changes on where it stood', async () => {
  const url = await serve((socket, connection) => {
    socket.on('message', (data) => {
      const message = read(data)
      if (message.action === 'auth') socket.send('{"status":"authorized"}')
      if (message.action !== 'subscribe') return
      const say = (seq: number, type: string, value: unknown): void => socket.send(JSON.stringify({ feed: 'scanners:b', seq, type, data: value }))
      say(1, 'snapshot', [{ symbol: 'A', price: 10 * connection, rank: 1 }])
      say(2, 'delta', { base: 1, upsert: [{ symbol: 'A', price: 10 * connection + 1 }], remove: [] })
      if (connection > 1) return
      socket.send('{"status":"reconnect","after_ms":50}')
      socket.close(1012, 'the server restarts')
    })
  })
  const prices: unknown[] = []
  const states: ConnectionState[] = []
  const client = new WdsClient({ url, fetchToken: () => Promise.resolve('good') })
  client.onState((state) => states.push(state))
  client.subscribe('scanners:b', { onData: (rows) => prices.push((rows as { price: number }[])[0]?.price) }, { delta: true })
  client.start()
  ends.push(() => client.stop())
  await vi.waitFor(() => expect(prices).toEqual([10, 11, 20, 21]), 5000)
  expect(states.map((state) => state.phase)).toEqual([
    'offline', 'connecting', 'authenticating', 'live', 'waiting', 'connecting', 'authenticating', 'live',
  ])
})
