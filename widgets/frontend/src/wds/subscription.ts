import type { Value } from './feed'
import { isState, type Subscribe } from './protocol'

/** What a part of a page, or a program, does with a feed. */
export interface FeedListener {
  /** The newest value. */
  onData: (data: unknown, value: Value) => void
  /** The server does not serve this feed to this user, or could not understand the request. */
  onRefused?: (reason: string) => void
}

/** How a listener wants its feed. Listeners of one feed share a subscription that suits them all. */
export interface FeedOptions {
  /** Boards travel as changes; listeners get whole boards all the same. */
  readonly delta?: boolean
  /** At most so many values a second (0.01 to 1000), the latest wins. */
  readonly maxRate?: number
  /** The feed speaks at least this often: after so long without it, in milliseconds, the connection is stale. */
  readonly staleAfterMs?: number
}

/** One listener, which gets no more than it asked for though others of the feed do. */
class Seat {
  private readonly waiting = new Map<string, Value>()
  private readonly dueAt = new Map<string, number>()
  private timer: ReturnType<typeof setTimeout> | undefined

  constructor(readonly listener: FeedListener, readonly options: FeedOptions) {}

  /** @param rate What the subscription as a whole is paced to, values a second. */
  offer(value: Value, rate: number): void {
    const own = this.options.maxRate ?? Infinity
    const { feed } = value
    if (own >= rate) {
      // The server paces it, from when a faster listener has left.
      this.waiting.delete(feed)
      this.listener.onData(value.data, value)
      return
    }
    // A list's snapshot must not be lost to the event after it.
    const passes = value.type === 'snapshot' && !isState(feed)
    if (passes || value.receivedAt >= (this.dueAt.get(feed) ?? 0)) this.deliver(value, own)
    else this.waiting.set(feed, value)
    this.wake()
  }

  /** Drops what waits. */
  clear(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    this.waiting.clear()
  }

  private deliver(value: Value, rate: number): void {
    this.waiting.delete(value.feed)
    this.dueAt.set(value.feed, performance.now() + 1_000 / rate)
    this.listener.onData(value.data, value)
  }

  private wake(): void {
    if (this.timer !== undefined || this.waiting.size === 0) return
    const [first] = this.waiting.keys()
    const due = this.dueAt.get(first ?? '') ?? 0
    this.timer = setTimeout(() => this.flush(), Math.max(1, due - performance.now()))
  }

  private flush(): void {
    this.timer = undefined
    const now = performance.now()
    for (const [feed, value] of [...this.waiting]) {
      if (now >= (this.dueAt.get(feed) ?? 0)) this.deliver(value, this.options.maxRate ?? Infinity)
    }
    for (const [feed, due] of this.dueAt) if (due <= now) this.dueAt.delete(feed)
    this.wake()
  }
}

/** A feed or pattern and all who listen to it. */
export class Subscription {
  /** Why the server does not serve it. */
  refusal: string | null = null
  /** Whether the server has said yes or no to the last request. */
  answered = true
  /** When it was asked for last, on the clock of `performance.now()`. */
  requestedAt = -Infinity
  /** When its last value arrived; null before the first. */
  heardAt: number | null = null
  /** The last value of a feed whose every message is its whole state, for listeners that join later. */
  latest: Value | null = null
  private readonly seats = new Set<Seat>()
  private asked = ''

  constructor(readonly name: string) {}

  get isPattern(): boolean {
    return this.name.endsWith('*')
  }

  /** Whether a listener that joins now can only be served by another snapshot. */
  get needsSnapshot(): boolean {
    return this.heardAt !== null && this.latest === null
  }

  get abandoned(): boolean {
    return this.seats.size === 0
  }

  /** The least silence, in milliseconds, that one of the listeners takes for a fault; null when none does. */
  get staleAfterMs(): number | null {
    const limits = [...this.seats].flatMap(({ options }) => options.staleAfterMs ?? [])
    return limits.length === 0 ? null : Math.min(...limits)
  }

  /** Adds a listener; returns what takes it away, whose answer is whether it was there. */
  join(listener: FeedListener, options: FeedOptions): () => boolean {
    const seat = new Seat(listener, options)
    this.seats.add(seat)
    return () => {
      seat.clear()
      return this.seats.delete(seat)
    }
  }

  /** The request that suits all listeners: deltas if one wants them, and as fast as the fastest. */
  request(): Subscribe {
    const rate = this.rate()
    return {
      action: 'subscribe', feed: this.name, envelope: true, snapshot: true,
      ...([...this.seats].some(({ options }) => options.delta === true) ? { delta: true } : {}),
      ...(rate < Infinity ? { max_rate: rate } : {}),
    }
  }

  /** Whether the request is another one than was sent last. */
  get changed(): boolean {
    return JSON.stringify(this.request()) !== this.asked
  }

  /** Notes that the request goes out. */
  sent(request: Subscribe, now: number): void {
    this.asked = JSON.stringify(request)
    this.requestedAt = now
    this.answered = false
    this.refusal = null
  }

  deliver(value: Value): void {
    this.refusal = null
    this.answered = true
    this.heardAt = value.receivedAt
    if (!this.isPattern && isState(value.feed)) this.latest = value.type === 'snapshot' ? value : { ...value, type: 'snapshot' }
    const rate = this.rate()
    for (const seat of this.seats) seat.offer(value, rate)
  }

  refuse(reason: string): void {
    this.refusal = reason
    this.latest = null
    for (const seat of this.seats) {
      seat.clear()
      seat.listener.onRefused?.(reason)
    }
  }

  private rate(): number {
    return Math.max(...[...this.seats].map(({ options }) => options.maxRate ?? Infinity))
  }
}
