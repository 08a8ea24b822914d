/** The market's clock between two status messages, and the next bell. Times are epoch milliseconds. */

import type { Session, Status } from '../wds'

const HOUR = 3_600_000
/** Without a newer status the clock goes on for so long, then it stands: a running clock would claim a live market. */
const RUN_ON_MS = 1_500
/** Status messages arrive unevenly; a step back of less than this is their jitter, not another market time. */
const JITTER_MS = 3_000

const newYork = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/New_York', hourCycle: 'h23',
  weekday: 'short', day: '2-digit', month: 'short', year: 'numeric',
  hour: '2-digit', minute: '2-digit', second: '2-digit',
})

export interface ClockFace {
  /** HH:MM:SS in New York. */
  readonly time: string
  /** "Fri 20 Nov 2026". */
  readonly date: string
}

function parts(epochMs: number): Record<string, string> {
  return Object.fromEntries(newYork.formatToParts(epochMs).map((part) => [part.type, part.value]))
}

export function clockFace(epochMs: number): ClockFace {
  const p = parts(epochMs)
  return {
    time: `${p.hour ?? ''}:${p.minute ?? ''}:${p.second ?? ''}`,
    date: `${p.weekday ?? ''} ${Number(p.day)} ${p.month ?? ''} ${p.year ?? ''}`,
  }
}

/** Milliseconds since midnight in New York. */
function timeOfDayMs(epochMs: number): number {
  const p = parts(epochMs)
  return (Number(p.hour) * 3600 + Number(p.minute) * 60 + Number(p.second)) * 1000 + (epochMs % 1000)
}

/** Keeps the shown clock smooth: it follows the newest status and never steps back by jitter. */
export class MarketClock {
  private base: number | null = null
  private speed = 1
  private receivedAt = 0
  private runs = false
  private shown: number | null = null

  /** @param receivedAt When the status arrived, on the clock that `at` reads. */
  follow(status: Status, receivedAt: number): void {
    // A live market that is closed has no new events: the wall clock is then the market's time.
    const atRest = status.kind === 'live' && (status.session === 'closed' || status.market_clock === null)
    this.base = atRest ? status.at : status.market_clock
    this.speed = atRest ? 1 : status.speed
    this.runs = atRest || status.feed.state === 'live'
    this.receivedAt = receivedAt
  }

  /** The market's time at the moment `now`, or null before anything is known. */
  at(now: number): number | null {
    if (this.base === null) return null
    const elapsed = this.runs ? Math.min(Math.max(0, now - this.receivedAt), RUN_ON_MS) : 0
    const time = this.base + elapsed * (this.speed > 0 ? this.speed : 1)
    const back = (this.shown ?? time) - time
    if (back <= 0 || back > JITTER_MS * Math.max(1, this.speed)) this.shown = time
    return this.shown
  }
}

export interface Bell {
  /** What happens then: "opens", "closes", "after hours end". */
  readonly words: string
  /** Milliseconds until then. */
  readonly inMs: number
}

const BELLS: Readonly<Record<Session, { words: string; usualMs: number | null }>> = {
  pre: { words: 'opens in', usualMs: 9.5 * HOUR },
  regular: { words: 'closes in', usualMs: 16 * HOUR },
  post: { words: 'after hours end in', usualMs: 20 * HOUR },
  closed: { words: 'pre-market in', usualMs: null },
}

/**
 * The next bell, as far as the data allow: the server's own time of it, else the usual hours of the session.
 *
 * @returns Null when closed and the server does not say when the next day starts.
 */
export function nextBell(session: Session, marketTime: number | null, nextBellAt: number | null | undefined): Bell | null {
  if (marketTime === null) return null
  const { words, usualMs } = BELLS[session]
  const inMs =
    typeof nextBellAt === 'number' ? nextBellAt - marketTime : usualMs === null ? null : usualMs - timeOfDayMs(marketTime)
  return inMs === null || inMs < 0 ? null : { words, inMs }
}

export const SESSION_BADGES: Readonly<Record<Session, { label: string; title: string }>> = {
  pre: { label: 'PRE', title: 'Pre-market session, 04:00 to 09:30 New York' },
  regular: { label: 'OPEN', title: 'Regular session' },
  post: { label: 'POST', title: 'After-hours session' },
  closed: { label: 'CLOSED', title: 'The market is closed' },
}
