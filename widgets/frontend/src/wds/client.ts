import { SessionEnded } from '../session'
import { backoffDelay } from './backoff'
import { CLOSE_UNAUTHORIZED, parseMessage, type ClientMessage, type FeedMessage, type StatusMessage } from './protocol'
import { Subscription, type FeedListener } from './subscription'

/** The connection's state, for people. Times are on the clock of `performance.now()`. */
export type ConnectionState =
  | { readonly phase: 'connecting' | 'authenticating' | 'live' }
  /** Connected, but silent for over five seconds. */
  | { readonly phase: 'stale'; readonly since: number }
  | { readonly phase: 'waiting'; readonly retryAt: number; readonly reason: string }
  /** The browser itself has no network, or the client was stopped. */
  | { readonly phase: 'offline'; readonly reason: string }
  | { readonly phase: 'logged out' }

/** The part of the browser's WebSocket that the client uses. */
export interface Socket {
  onopen: (() => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  onclose: ((event: { code: number; reason: string }) => void) | null
  send: (text: string) => void
  close: () => void
}

export interface WdsClientOptions {
  readonly url: string
  /** Token for the first handshake; later ones fetch their own. */
  readonly token: string | null
  /** @throws SessionEnded when the person is logged out. */
  readonly fetchToken: () => Promise<string>
  readonly openSocket?: (url: string) => Socket
  readonly random?: () => number
}

/** The server sends `status` every second: five seconds without a message is not normal. */
export const STALE_AFTER_MS = 5_000
export const DEAD_AFTER_MS = 15_000
/** A gap is followed by a snapshot at once; when it is not, the feed is asked for again. */
export const GAP_TIMEOUT_MS = 3_000
const WATCH_EVERY_MS = 500

/**
 * A connection to the WDS that stays: it authorises, subscribes, notices silence, and comes back with a fresh token.
 *
 * Nothing here throws to the caller; what goes wrong shows in the state, or at the listener of the feed.
 */
export class WdsClient {
  /** When the last message of any kind arrived, on the clock of `performance.now()`. */
  lastMessageAt: number | null = null
  /** Frames that were no message of the protocol. */
  malformed = 0

  private current: ConnectionState = { phase: 'offline', reason: 'not started' }
  private readonly stateListeners = new Set<(state: ConnectionState) => void>()
  private readonly subscriptions = new Map<string, Subscription>()
  private socket: Socket | null = null
  private authorized = false
  private token: string | null
  private attempt = 0
  private tokenRefused = false
  private openedAt = 0
  /** Grows with each attempt, so that an answer to an abandoned one is recognised. */
  private generation = 0
  private retryTimer: ReturnType<typeof setTimeout> | undefined
  private watchTimer: ReturnType<typeof setInterval> | undefined

  constructor(private readonly options: WdsClientOptions) {
    this.token = options.token
  }

  get state(): ConnectionState {
    return this.current
  }

  /** Calls the listener with the state now and whenever it changes; returns what ends that. */
  onState(listener: (state: ConnectionState) => void): () => void {
    this.stateListeners.add(listener)
    listener(this.current)
    return () => this.stateListeners.delete(listener)
  }

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
    if (online) {
      if (this.current.phase === 'offline') this.retryNow()
    } else {
      this.abandon()
      this.setState({ phase: 'offline', reason: 'no network' })
    }
  }

  /** Ends the wait before the next attempt. */
  retryNow(): void {
    if (this.current.phase !== 'waiting' && this.current.phase !== 'offline') return
    this.attempt = 0
    void this.connect()
  }

  /**
   * Follows a feed, on this socket and on all that come after it. Several listeners share one subscription.
   *
   * @returns What ends it.
   */
  subscribe(feed: string, listener: FeedListener): () => void {
    let subscription = this.subscriptions.get(feed)
    if (subscription === undefined) {
      subscription = new Subscription(feed)
      this.subscriptions.set(feed, subscription)
      if (this.authorized) this.request(subscription)
    } else {
      const { latest, refusal } = subscription
      if (latest !== null) listener.onData(latest.data, latest.receivedAt)
      if (refusal !== null) listener.onRefused?.(refusal)
    }
    subscription.listeners.add(listener)
    return () => this.leave(feed, listener)
  }

  private leave(feed: string, listener: FeedListener): void {
    const subscription = this.subscriptions.get(feed)
    if (subscription?.listeners.delete(listener) !== true || subscription.listeners.size > 0) return
    this.subscriptions.delete(feed)
    if (this.authorized) this.send({ action: 'unsubscribe', feed })
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
      if (error instanceof SessionEnded) this.setState({ phase: 'logged out' })
      else this.retryLater('the server does not answer')
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
      this.retryLater('the address of the data service is not valid')
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
    this.lastMessageAt = performance.now()
    if (this.current.phase === 'stale') this.setState({ phase: 'live' })
    if ('status' in message) this.receiveStatus(message)
    else this.receiveFeed(message, this.lastMessageAt)
  }

  private receiveStatus(message: StatusMessage): void {
    if (message.status === 'authorized') {
      if (this.authorized) return
      this.authorized = true
      this.tokenRefused = false
      this.setState({ phase: 'live' })
      for (const subscription of this.subscriptions.values()) this.request(subscription)
    } else if (message.status === 'forbidden') {
      this.subscriptions.get(message.feed)?.refuse('not allowed for this login')
    } else if (message.status === 'error' && message.feed !== undefined) {
      this.subscriptions.get(message.feed)?.refuse(message.error)
    }
  }

  private receiveFeed(message: FeedMessage, now: number): void {
    this.attempt = 0
    this.subscriptions.get(message.feed)?.accept(message, now)
  }

  private request(subscription: Subscription): void {
    subscription.restart()
    this.send({ action: 'subscribe', feed: subscription.feed, envelope: true, snapshot: true })
  }

  private send(message: ClientMessage): void {
    this.socket?.send(JSON.stringify(message))
  }

  private closed(code: number, reason: string): void {
    const wasAuthorized = this.authorized
    this.abandon()
    if (code !== CLOSE_UNAUTHORIZED) {
      this.retryLater(reason !== '' ? reason : wasAuthorized ? 'the connection was lost' : 'the server cannot be reached')
    } else if (this.tokenRefused) {
      this.setState({ phase: 'logged out' })
    } else {
      this.tokenRefused = true
      void this.connect()
    }
  }

  private retryLater(reason: string): void {
    const delay = backoffDelay(this.attempt, (this.options.random ?? Math.random)())
    this.attempt += 1
    this.setState({ phase: 'waiting', retryAt: performance.now() + delay, reason })
    this.retryTimer = setTimeout(() => void this.connect(), delay)
  }

  /** Lets go of the socket without waiting for its closing handshake, which a dead peer never answers. */
  private abandon(): void {
    this.generation += 1
    clearTimeout(this.retryTimer)
    this.authorized = false
    const socket = this.socket
    this.socket = null
    if (socket === null) return
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.close()
  }

  private watch(): void {
    if (this.socket === null) return
    const now = performance.now()
    const since = Math.max(this.openedAt, this.lastMessageAt ?? 0)
    if (now - since >= DEAD_AFTER_MS) {
      this.abandon()
      this.retryLater('no message for 15 seconds')
    } else if (this.current.phase === 'live' && now - since >= STALE_AFTER_MS) {
      this.setState({ phase: 'stale', since })
    }
    if (!this.authorized) return
    for (const subscription of this.subscriptions.values()) {
      if (subscription.gapSince !== null && now - subscription.gapSince >= GAP_TIMEOUT_MS) {
        this.send({ action: 'unsubscribe', feed: subscription.feed })
        this.request(subscription)
        subscription.gapSince = now
      }
    }
  }

  private setState(state: ConnectionState): void {
    const previous = this.current
    this.current = state
    if (previous.phase === state.phase && state.phase !== 'waiting' && state.phase !== 'offline') return
    for (const listener of this.stateListeners) listener(state)
  }
}
