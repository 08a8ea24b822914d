/** Checks both texts while somebody types: one question at a time, about what stands there last. */

import { ask, Refusal, type Trouble, type Verdict } from './api'

const PAUSE_MS = 200

export interface Texts {
  readonly where: string
  readonly order_by: string
}

/** What came of it: troubles by field, or why nobody knows. */
export interface Checked {
  readonly texts: Texts
  readonly troubles: readonly Trouble[] | null
  readonly refused: string | null
}

/** Asks the server a moment after the last change. */
export class Checking {
  private timer: ReturnType<typeof setTimeout> | undefined
  private running: AbortController | undefined

  constructor(
    private readonly url: string,
    private readonly csrfToken: string,
    private readonly said: (checked: Checked) => void,
  ) {}

  /** Look at these texts, soon; what was asked before is not waited for. */
  look(texts: Texts, pauseMs = PAUSE_MS): void {
    clearTimeout(this.timer)
    this.running?.abort()
    this.timer = setTimeout(() => void this.ask(texts), pauseMs)
  }

  private async ask(texts: Texts): Promise<void> {
    const running = (this.running = new AbortController())
    try {
      // An empty order is said by the form itself, in its own words.
      const verdict = await ask<Verdict>(this.url, this.csrfToken, texts, running.signal)
      this.said({ texts, troubles: verdict.errors, refused: null })
    } catch (error) {
      if (running.signal.aborted) return
      this.said({ texts, troubles: null, refused: error instanceof Error ? error.message : String(error) })
      const wait = error instanceof Refusal ? error.waitMs : null
      if (wait !== null) this.look(texts, wait)
    }
  }
}
