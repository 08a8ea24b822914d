/** For tests: a client whose server side the test plays. */

import { afterEach, beforeEach, vi } from 'vitest'

import { WdsClient } from './client'
import type { ConnectionState, Socket } from './connection'
import type { FeedListener, FeedOptions } from './subscription'

export class ScriptedSocket implements Socket {
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

  /** What was asked of feeds: neither the handshake nor pings. */
  get asked(): unknown[] {
    return this.sent.filter((message) => ['subscribe', 'unsubscribe'].includes((message as { action: string }).action))
  }
}

export interface Scene {
  readonly client: WdsClient
  readonly sockets: ScriptedSocket[]
  readonly states: ConnectionState[]
  readonly tokens: { fetch: () => Promise<string> }
  socket: () => ScriptedSocket
  /** How long the client says it waits, in milliseconds. */
  wait: () => number
}

let clients: WdsClient[] = []

/** Lets the tests of a file run on a clock of their own, and stops their clients. */
export function onFakeTime(): void {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => {
    for (const client of clients) client.stop()
    clients = []
    vi.useRealTimers()
  })
}

/** @param chance What the client takes for a random number. */
export function scene(token: string | null = 'first', chance = 0): Scene {
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
  const wait = (): number => {
    const state = states.at(-1)
    if (state?.phase !== 'waiting') throw new Error(`expected to wait, but was ${state?.phase ?? 'nothing'}`)
    return state.retryAt - performance.now()
  }
  return { client, sockets, states, tokens, socket, wait }
}

/** A client that is connected and authorised. */
export async function connected(...subscriptions: readonly [string, FeedListener, FeedOptions?][]): Promise<Scene> {
  const made = scene()
  for (const [feed, listener, options] of subscriptions) made.client.subscribe(feed, listener, options)
  made.client.start()
  await settle()
  made.socket().authorize()
  return made
}

export interface Recorder extends FeedListener {
  readonly values: unknown[]
  readonly refusals: string[]
}

export function recorder(): Recorder {
  const values: unknown[] = []
  const refusals: string[] = []
  return { values, refusals, onData: (data) => values.push(data), onRefused: (reason) => refusals.push(reason) }
}

export const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0)

export const subscribe = (feed: string, options: object = {}): unknown => ({
  action: 'subscribe', feed, envelope: true, snapshot: true, ...options,
})
