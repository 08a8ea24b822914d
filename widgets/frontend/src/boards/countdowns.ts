/** Cells that count down to a moment of the market's time, ticked together. */

export interface Countdown {
  /** @param marketTime Epoch ms; null while it is not known. */
  tick(marketTime: number | null): void
}

const cells = new Set<Countdown>()
let time: number | null = null

/** Lets a cell tick from now on, with the present time at once. */
export function startCountdown(cell: Countdown): void {
  cells.add(cell)
  cell.tick(time)
}

export function stopCountdown(cell: Countdown): void {
  cells.delete(cell)
}

/** Called whenever the market's clock has moved. */
export function tickCountdowns(marketTime: number | null): void {
  time = marketTime
  for (const cell of cells) cell.tick(marketTime)
}
