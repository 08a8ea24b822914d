/** The rows that a scanner would show now: asked for when its texts change, and again as the market moves. */

import { reactive } from 'vue'

import { ask, Refusal, type Row, type Rows } from './api'
import type { Texts } from './checking'

/** Twenty questions a minute: the server answers sixty. */
const REFRESH_MS = 3000
const MOST_ROWS = 50

export interface Trial extends Texts {
  readonly descending: boolean
  readonly limit: number
}

export interface PreviewState {
  rows: readonly Row[]
  /** Epoch ms; null before there is a source. */
  clock: number | null
  tookMs: number | null
  /** Why there is no answer; the rows are those of the last one. */
  refused: string | null
  /** The texts cannot be used: the rows are those of the last that could. */
  outdated: boolean
  answered: boolean
  /** More would fit than are asked for. */
  capped: boolean
}

/** Keeps a preview fresh. */
export class Previewing {
  readonly state: PreviewState = reactive({
    rows: [], clock: null, tookMs: null, refused: null, outdated: false, answered: false, capped: false,
  })

  private trial: Trial | null = null
  private timer: ReturnType<typeof setTimeout> | undefined
  private running: AbortController | undefined

  constructor(
    private readonly url: string,
    private readonly csrfToken: string,
    private readonly visible: () => boolean = () => document.visibilityState === 'visible',
  ) {}

  /** Show this from now on; null: the texts cannot be used. */
  show(trial: Trial | null): void {
    this.trial = trial
    this.state.outdated = trial === null
    this.running?.abort()
    clearTimeout(this.timer)
    if (trial !== null) void this.ask(trial)
  }

  private async ask(trial: Trial): Promise<void> {
    const running = (this.running = new AbortController())
    let wait = REFRESH_MS
    try {
      const limit = Math.min(trial.limit, MOST_ROWS)
      const answer = await ask<Rows>(this.url, this.csrfToken, { ...trial, limit }, running.signal)
      Object.assign(this.state, {
        rows: answer.rows, clock: answer.market_clock, tookMs: answer.took_ms, refused: null, answered: true,
        capped: trial.limit > MOST_ROWS && answer.rows.length === MOST_ROWS,
      })
    } catch (error) {
      if (running.signal.aborted) return
      this.state.refused = error instanceof Error ? error.message : String(error)
      wait = error instanceof Refusal ? (error.waitMs ?? 3 * REFRESH_MS) : 3 * REFRESH_MS
      // Who may not see rows will not in three seconds either.
      if (error instanceof Refusal && error.status === 403) return
    }
    this.timer = setTimeout(() => this.again(), wait)
  }

  private again(): void {
    if (this.trial === null) return
    if (this.visible()) void this.ask(this.trial)
    else this.timer = setTimeout(() => this.again(), REFRESH_MS)
  }
}
