import { Connection } from './connection'
import { Feed } from './feed'
import { covers, isName, isState, type FeedMessage, type FeedNotice } from './protocol'
import { Subscription, type FeedListener, type FeedOptions } from './subscription'

/** A gap is followed by a snapshot at once; when it is not, the feed is asked for again, at most this often. */
export const GAP_TIMEOUT_MS = 3_000
/** A request that is not answered, or that failed for the moment, is sent again after so long. */
export const ASK_AGAIN_MS = 10_000
/** Feeds whose numbers are followed at once; beyond it the one met first is forgotten, and begins anew. */
export const MOST_FEEDS = 20_000

/**
 * A connection to the WDS that stays: it authorises, subscribes, notices silence, and comes back with a fresh token.
 *
 * Nothing here throws to the caller; what goes wrong shows in the state, or at the listener of the feed.
 */
export class WdsClient extends Connection {
  private readonly subscriptions = new Map<string, Subscription>()
  private readonly patterns = new Set<Subscription>()
  /** Concrete feeds as this socket sees them. */
  private readonly feeds = new Map<string, Feed>()

  /**
   * Follows a feed, or all that a pattern such as `quote:*` matches, on this socket and on all that come after it.
   *
   * Listeners of one name share one subscription. One that joins later gets the current value at once; of a list, such
   * as alerts, all of the name's listeners get a fresh snapshot.
   *
   * @returns What ends it.
   */
  subscribe(name: string, listener: FeedListener, options: FeedOptions = {}): () => void {
    let subscription = this.subscriptions.get(name)
    if (subscription === undefined) {
      subscription = new Subscription(name)
      this.subscriptions.set(name, subscription)
      if (subscription.isPattern) this.patterns.add(subscription)
    }
    const shared = subscription
    const leave = shared.join(listener, options)
    if (shared.refusal !== null) listener.onRefused?.(shared.refusal)
    if (shared.latest !== null) listener.onData(shared.latest.data, shared.latest)
    if (this.authorised && (shared.changed || shared.needsSnapshot)) this.request(shared)
    return () => {
      if (leave()) this.left(shared)
    }
  }

  private left(subscription: Subscription): void {
    if (!subscription.abandoned) {
      if (this.authorised && subscription.changed) this.request(subscription)
      return
    }
    this.subscriptions.delete(subscription.name)
    this.patterns.delete(subscription)
    if (this.authorised && isName(subscription.name)) this.send({ action: 'unsubscribe', feed: subscription.name })
    for (const feed of this.feeds.keys()) {
      if (covers(subscription.name, feed) && this.carrier(feed) === undefined) this.feeds.delete(feed)
    }
  }

  protected override ready(): void {
    this.feeds.clear()
    for (const subscription of this.subscriptions.values()) this.request(subscription)
  }

  protected override received(message: FeedMessage | FeedNotice, now: number): void {
    if (!('status' in message)) {
      this.receivedValue(message, now)
      return
    }
    const subscription = this.subscriptions.get(message.feed)
    // Of one that was ended and begun again, the end may be heard after the beginning.
    if (subscription === undefined || message.status === 'unsubscribed') return
    subscription.answered = message.status !== 'error'
    if (message.status === 'forbidden') subscription.refuse('not allowed for this login')
    else if (message.status === 'error') subscription.refuse(message.error)
  }

  private receivedValue(message: FeedMessage, now: number): void {
    const name = message.feed
    if (this.carrier(name) === undefined) return
    let feed = this.feeds.get(name)
    if (feed === undefined) {
      feed = new Feed(name)
      this.feeds.set(name, feed)
      const [oldest] = this.feeds.keys()
      if (this.feeds.size > MOST_FEEDS && oldest !== undefined) this.feeds.delete(oldest)
    }
    const value = feed.accept(message, now)
    if (value !== null) {
      // The server sends a message once, however many of the names match it.
      this.subscriptions.get(name)?.deliver(value)
      for (const pattern of this.patterns) if (covers(pattern.name, name)) pattern.deliver(value)
    } else if (feed.gapSince !== null && isState(name)) {
      // A delta that does not fit. After lost events of a list the server sends a snapshot by itself.
      this.ask(name, now)
    }
  }

  protected override watched(now: number): number | null {
    for (const feed of this.feeds.values()) {
      if (feed.gapSince !== null && now - feed.gapSince >= GAP_TIMEOUT_MS) this.ask(feed.name, now)
    }
    let silentSince: number | null = null
    for (const subscription of this.subscriptions.values()) {
      if (!subscription.answered && now - subscription.requestedAt >= ASK_AGAIN_MS) this.request(subscription)
      const limit = subscription.refusal === null ? subscription.staleAfterMs : null
      const since = Math.max(subscription.heardAt ?? 0, this.liveSince)
      if (limit !== null && now - since >= limit) silentSince = Math.min(silentSince ?? since, since)
    }
    return silentSince
  }

  /** The subscription through which the server sends a feed: its own, else that of the longest pattern. */
  private carrier(feed: string): Subscription | undefined {
    const own = this.subscriptions.get(feed)
    if (own !== undefined || this.patterns.size === 0) return own
    const matching = [...this.patterns].filter((pattern) => covers(pattern.name, feed))
    return matching.toSorted((a, b) => b.name.length - a.name.length)[0]
  }

  /** Asks for a fresh snapshot, unless that has just been done. */
  private ask(feed: string, now: number): void {
    const carrier = this.carrier(feed)
    if (carrier !== undefined && now - carrier.requestedAt >= GAP_TIMEOUT_MS) this.request(carrier)
  }

  private request(subscription: Subscription): void {
    const request = subscription.request()
    subscription.sent(request, performance.now())
    if (isName(subscription.name)) {
      this.send(request)
    } else {
      // The server does not repeat such a name in its answer.
      subscription.answered = true
      subscription.refuse('no such feed: letters, digits and _ . : / - only, and * at the end alone')
    }
  }
}
