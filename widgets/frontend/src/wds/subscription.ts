import type { FeedMessage } from './protocol'

/** What a part of the page does with one feed. */
export interface FeedListener {
  /** The newest value; `receivedAt` is on the clock of `performance.now()`. */
  onData: (data: unknown, receivedAt: number) => void
  /** The server does not serve this feed to this person, or could not understand the request. */
  onRefused?: (reason: string) => void
}

/**
 * One feed as one socket sees it: follows the sequence numbers and decides which messages count.
 *
 * After subscribing, and after a skipped number, only a snapshot counts: what lies between was lost.
 */
export class Subscription {
  readonly listeners = new Set<FeedListener>()
  /** The last value that counted, for listeners that join later. */
  latest: { data: unknown; receivedAt: number } | null = null
  /** When a gap was noticed that no snapshot has closed yet. */
  gapSince: number | null = null
  /** Why the server does not serve it. */
  refusal: string | null = null
  private next: number | null = null

  constructor(readonly feed: string) {}

  /** Forgets the sequence: a new socket, or a new request on the same one. */
  restart(): void {
    this.next = null
    this.gapSince = null
    this.refusal = null
  }

  /** @returns Whether the message was the one to show next. */
  accept(message: FeedMessage, now: number): boolean {
    const follows = message.type === 'update' && message.seq === this.next
    if (message.type !== 'snapshot' && !follows) {
      if (this.next !== null) this.gapSince ??= now
      this.next = null
      return false
    }
    this.next = message.seq + 1
    this.gapSince = null
    this.latest = { data: message.data, receivedAt: now }
    for (const listener of this.listeners) listener.onData(message.data, now)
    return true
  }

  refuse(reason: string): void {
    this.refusal = reason
    this.gapSince = null
    for (const listener of this.listeners) listener.onRefused?.(reason)
  }
}
