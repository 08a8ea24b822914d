import type { ICellRendererComp, ICellRendererParams } from 'ag-grid-community'

import { formatCountdown, NOTHING, timeOfDay } from '../format'
import type { Row, Scalar } from '../wds'
import { startCountdown, stopCountdown, type Countdown } from './countdowns'

type Params = ICellRendererParams<Row, Scalar>

/** The time left until a moment (epoch ms) of the market's time; the moment itself while that time is not known. */
export function countdownWords(until: Scalar, marketTime: number | null): string {
  if (typeof until !== 'number' || !Number.isFinite(until)) return NOTHING
  return marketTime === null ? timeOfDay(until) : formatCountdown(until - marketTime)
}

/** A cell that counts down. */
export class CountdownCell implements ICellRendererComp<Row>, Countdown {
  private readonly gui = document.createElement('span')
  private until: Scalar = null
  private marketTime: number | null = null

  init(params: Params): void {
    this.until = params.value ?? null
    startCountdown(this)
  }

  refresh(params: Params): boolean {
    this.until = params.value ?? null
    this.tick(this.marketTime)
    return true
  }

  destroy(): void {
    stopCountdown(this)
  }

  getGui(): HTMLElement {
    return this.gui
  }

  tick(marketTime: number | null): void {
    this.marketTime = marketTime
    const text = countdownWords(this.until, marketTime)
    if (text === this.gui.textContent) return
    this.gui.textContent = text
    this.gui.className = text === NOTHING ? 'value unit-countdown nothing' : 'value unit-countdown'
    if (typeof this.until === 'number') this.gui.title = `Expected at ${timeOfDay(this.until)}`
  }
}
