import { applyDelta, isDelta, type BoardAt } from './delta'
import { isBoard, isState, type FeedMessage } from './protocol'
import { isRows } from './rows'

/** A feed's value as listeners get it. */
export interface Value {
  /** The concrete feed, also where a pattern was subscribed to. */
  readonly feed: string
  /** `snapshot`: the whole value, in place of all before it. `update`: one event more; of boards and quotes, the whole. */
  readonly type: 'snapshot' | 'update'
  readonly data: unknown
  /** On the clock of `performance.now()`. */
  readonly receivedAt: number
}

/**
 * One feed as one socket sees it: follows the sequence numbers, puts deltas together, and decides what counts.
 *
 * After a skipped number only a snapshot counts, unless each message is the whole state.
 */
export class Feed {
  /** When a gap was noticed that no snapshot has closed yet. */
  gapSince: number | null = null
  private next: number | null = null
  private board: BoardAt | null = null

  constructor(readonly name: string) {}

  /** @returns The value to show next; null when the message was a repeat, or does not follow what came before. */
  accept(message: FeedMessage, now: number): Value | null {
    const { seq, type } = message
    if (this.next !== null && seq < this.next) return null
    const value = type === 'delta' ? this.change(seq, message.data) : this.whole(message)
    this.next = seq + 1
    if (value === undefined) {
      this.gapSince ??= now
      return null
    }
    this.gapSince = null
    return { feed: this.name, type: type === 'snapshot' ? type : 'update', data: value, receivedAt: now }
  }

  private change(seq: number, data: unknown): unknown {
    if (this.board === null || !isDelta(data)) return undefined
    const after = applyDelta(this.board, seq, data)
    if (after === null) return undefined
    this.board = after
    return after.rows
  }

  private whole({ seq, type, data }: FeedMessage): unknown {
    const follows = this.gapSince === null && (this.next === null || seq === this.next)
    if (type !== 'snapshot' && !follows && !isState(this.name)) return undefined
    this.board = isBoard(this.name) && isRows(data) ? { seq, rows: data } : null
    return data ?? null
  }
}
