import { delayAfterClose, delayAfterNotice } from './delays'
import { CLOSE, parseMessage, type ClientMessage, type FeedMessage, type FeedNotice, type SocketNotice } from './protocol'

/** Thrown by `fetchToken` when there is none to be had: the login has ended. */
export class NotAuthorised extends Error {
  override name = 'NotAuthorised'
}

/** The connection's state, for people. Times are on the clock of `performance.now()`. */
export type ConnectionState =
  | { readonly phase: 'connecting' | 'authenticating' | 'live' }
  /** Connected, but a feed that should have spoken since then has not. */
  | { readonly phase: 'stale'; readonly since: number }
  /** Connected, but the server cannot reach what it serves from; it says when that is over. */
  | { readonly phase: 'interrupted'; readonly reason: string }
  | { readonly phase: 'waiting'; readonly retryAt: number; readonly reason: string }
  /** The browser itself has no network, or the client was stopped. */
  | { readonly phase: 'offline'; readonly reason: string }
  | { readonly phase: 'logged out'; readonly reason: string }

/** The part of the browser's WebSocket that the client uses. */
export interface Socket {
  onopen: (() => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number; reason: string }) => void) | null
  send: (text: string) => void
  close: () => void
}

export interface ConnectionOptions {
  readonly url: string
  /** Token for the first handshake; null: one is fetched. */
  readonly token?: string | null
  /**
   * A token for the next handshake. One of a page is good for one alone.
   *
   * @throws NotAuthorised when the login has ended; any other error is tried again later.
   */
  readonly fetchToken: () => Promise<string>
  readonly openSocket?: (url: string) => Socket
  /** Numbers in [0, 1), for delays. */
  readonly random?: () => number
}

/** Authorised within so long, or the server is given up. */
export const HANDSHAKE_MS = 15_000
export const PING_EVERY_MS = 5_000
/** No answer to a ping, and nothing else, for so long: the connection is dead, whatever the browser says. */
export const PONG_WITHIN_MS = 10_000
/** A connection that has lasted so long was a good one: the next wait is short again. */
export const STEADY_MS = 10_000
const WATCH_EVERY_MS = 500
/** When the network is back, all tabs come back within so long. */
const ONLINE_SPREAD_MS = 1_000

/** One authorised socket after another: connects, notices silence, and comes back with a fresh token. */
export abstract class Connection {
  /** When the last message of any kind arrived, on the clock of `performance.now()`. */
  lastMessageAt: number | null = null
  /** How long the last ping took there and back; null before the first. */
  roundTripMs: number | null = null
  /** Frames that were no message of the protocol. */
  malformed = 0

  private current: ConnectionState = { phase: 'offline', reason: 'not started' }
  private readonly listeners = new Set<(state: ConnectionState) => void>()
  private socket: Socket | null = null
  /** Whether the socket is there and takes requests. */
  protected authorised = false
  /** Since when all is well, but for silence; on the clock of `performance.now()`. */
  protected liveSince = 0
  private token: string | null
  private attempt = 0
  private tokenRefused = false
  /** Why the server ended the last socket that was authorised, if it did. */
  private endedFor = ''
  private openedAt = 0
  private pingedAt: number | null = null
  private lastPingAt = 0
  private returnAt: number | null = null
  /** Grows with each attempt, so that an answer to an abandoned one is recognised. */
  private generation = 0
  private retryTimer: ReturnType<typeof setTimeout> | undefined
  private watchTimer: ReturnType<typeof setInterval> | undefined

  constructor(private readonly options: ConnectionOptions) {
    this.token = options.token ?? null
  }

  get state(): ConnectionState {
    return this.current
  }

  /** Calls the listener with the state now and whenever it changes; returns what ends that. */
  onState(listener: (state: ConnectionState) => void): () => void {
    this.listeners.add(listener)
    listener(this.current)
    return () => this.listeners.delete(listener)
  }

  /** Connects, and stays connected until `stop`. */
  start(): void {
    if (this.watchTimer !== undefined) return
    this.watchTimer = setInterval(() => this.watch(), WATCH_EVERY_MS)
    void this.connect()
  }

  stop(): void {
    clearInterval(this.watchTimer)
    this.watchTimer = undefined
    this.abandon()
    this.setState({ phase: 'offline', reason: 'stopped' })
  }

  /** The browser lost or found its network. */
  setOnline(online: boolean): void {
    if (this.watchTimer === undefined || this.current.phase === 'logged out') return
    if (!online) {
      this.abandon()
      this.setState({ phase: 'offline', reason: 'no network' })
    } else if (this.current.phase === 'offline') {
      this.attempt = 0
      this.wait(Math.round(this.random() * ONLINE_SPREAD_MS), 'the network is back')
    }
  }

  /** Ends the wait before the next attempt. */
  retryNow(): void {
    if (this.watchTimer === undefined || (this.current.phase !== 'waiting' && this.current.phase !== 'offline')) return
    this.attempt = 0
    void this.connect()
  }

  /** Called when authorised on a new socket, which knows of no subscription yet. */
  protected abstract ready(): void
  protected abstract received(message: FeedMessage | FeedNotice, now: number): void
  /** Called twice a second while authorised; returns since when a feed is silent that should not be, or null. */
  protected abstract watched(now: number): number | null

  protected send(message: ClientMessage): void {
    this.socket?.send(JSON.stringify(message))
  }

  private random(): number {
    return (this.options.random ?? Math.random)()
  }

  private async connect(): Promise<void> {
    this.abandon()
    const generation = this.generation
    this.setState({ phase: 'connecting' })
    let token: string
    try {
      token = this.token ?? (await this.options.fetchToken())
    } catch (error) {
      if (generation !== this.generation) return
      if (error instanceof NotAuthorised) this.setState({ phase: 'logged out', reason: this.endedFor || error.message })
      else this.retryLater(0, 'the server does not answer')
      return
    }
    if (generation !== this.generation) return
    this.token = null
    this.open(token)
  }

  private open(token: string): void {
    const create = this.options.openSocket ?? ((url: string): Socket => new WebSocket(url) as Socket)
    let socket: Socket
    try {
      socket = create(this.options.url)
    } catch {
      this.retryLater(0, 'the address of the data service is not valid')
      return
    }
    this.socket = socket
    this.openedAt = performance.now()
    socket.onopen = () => {
      this.setState({ phase: 'authenticating' })
      this.send({ action: 'auth', api_key: token })
    }
    socket.onmessage = (event) => this.receive(event.data)
    socket.onclose = (event) => this.closed(event.code, event.reason)
  }

  private receive(data: unknown): void {
    const message = typeof data === 'string' ? parseMessage(data) : null
    if (message === null) {
      this.malformed += 1
      return
    }
    const now = (this.lastMessageAt = performance.now())
    // To be let in and thrown out again is no success.
    if (now - this.openedAt >= STEADY_MS) this.attempt = 0
    if ('status' in message && !('feed' in message)) {
      this.receiveNotice(message, now)
      return
    }
    this.received(message, now)
    if (this.current.phase === 'stale' && this.watched(now) === null) this.setState({ phase: 'live' })
  }

  private receiveNotice(message: SocketNotice, now: number): void {
    switch (message.status) {
      case 'authorized':
        if (this.authorised) return
        this.authorised = true
        this.tokenRefused = false
        this.endedFor = ''
        this.lastPingAt = now
        this.setState({ phase: 'live' })
        this.ready()
        return
      case 'pong':
      case 'invalid action': // A server that knows no ping answers all the same.
        if (this.pingedAt !== null) this.roundTripMs = now - this.pingedAt
        this.pingedAt = null
        return
      case 'interrupted':
        this.setState({ phase: 'interrupted', reason: message.error })
        return
      case 'resumed':
        if (this.current.phase === 'interrupted') this.setState({ phase: 'live' })
        return
      case 'reconnect':
        this.returnAt = now + delayAfterNotice(message.after_ms, this.random())
        return
      case 'error':
        // It could not look the token up; the token may be good.
        if (!this.authorised) this.leave(message.error)
        return
      case 'invalid key':
      case 'unauthorized': // The server closes.
    }
  }

  private closed(code: number, reason: string): void {
    const { authorised, returnAt } = this
    this.abandon()
    if (code === CLOSE.notAuthorised && reason !== 'not authorised in time') {
      if (authorised) this.endedFor = reason
      if (this.tokenRefused) {
        this.setState({ phase: 'logged out', reason: this.endedFor || reason })
      } else {
        this.tokenRefused = true
        void this.connect()
      }
    } else if (returnAt !== null) {
      this.wait(Math.max(0, returnAt - performance.now()), 'the server restarts')
    } else {
      const words = code === CLOSE.restart ? 'the server restarts' : authorised ? 'the connection was lost' : 'the server cannot be reached'
      this.retryLater(code, reason !== '' ? reason : words)
    }
  }

  private retryLater(code: number, reason: string): void {
    const delay = delayAfterClose(code, this.attempt, this.random())
    this.attempt += 1
    this.wait(delay, reason)
  }

  private wait(delayMs: number, reason: string): void {
    clearTimeout(this.retryTimer)
    this.setState({ phase: 'waiting', retryAt: performance.now() + delayMs, reason })
    this.retryTimer = setTimeout(() => void this.connect(), delayMs)
  }

  private leave(reason: string): void {
    this.abandon()
    this.retryLater(0, reason)
  }

  /** Lets go of the socket without waiting for its closing handshake, which a dead peer never answers. */
  private abandon(): void {
    this.generation += 1
    clearTimeout(this.retryTimer)
    this.authorised = false
    this.pingedAt = this.returnAt = null
    const socket = this.socket
    this.socket = null
    if (socket === null) return
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close()
  }

  private watch(): void {
    if (this.socket === null) return
    const now = performance.now()
    if (this.returnAt !== null && now >= this.returnAt) {
      // It announced that it goes, and has not hung up in time.
      void this.connect()
    } else if (!this.authorised) {
      if (now - this.openedAt >= HANDSHAKE_MS) this.leave('the server does not answer')
    } else if (this.pingedAt !== null && now - Math.max(this.pingedAt, this.lastMessageAt ?? 0) >= PONG_WITHIN_MS) {
      this.leave('the server fell silent')
    } else {
      if (this.pingedAt === null && now - this.lastPingAt >= PING_EVERY_MS) {
        this.pingedAt = this.lastPingAt = now
        this.send({ action: 'ping' })
      }
      const silentSince = this.watched(now)
      if (silentSince !== null && this.current.phase === 'live') this.setState({ phase: 'stale', since: silentSince })
    }
  }

  private setState(state: ConnectionState): void {
    const previous = this.current
    this.current = state
    if (state.phase === 'live' && previous.phase !== 'stale') this.liveSince = performance.now()
    if (previous.phase === state.phase && state.phase !== 'waiting' && state.phase !== 'offline') return
    for (const listener of this.listeners) listener(state)
  }
}
