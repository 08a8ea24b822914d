/** The geometry of the small charts: what their paths are, and what stands under the pointer. No drawing here. */

export interface Point {
  /** Epoch ms. */
  readonly at: number
  /** Null: nobody knows, and the line has a gap. */
  readonly value: number | null
}

export interface Span {
  readonly from: number
  readonly to: number
}

/** Width and height of the drawing's own coordinates; the element stretches them to its size. */
export const WIDTH = 300
export const HEIGHT = 40
/** Room above the highest value, so that the line is not cut. */
const HEADROOM = 2
/** Points further apart than this have a gap between them, in ms. */
const GAP_MS = 15_500

const STEPS = [1, 1.5, 2, 3, 4, 5, 6, 8, 10] as const

/** The least round number that is not below the value: 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten. */
export function roundUp(value: number): number {
  if (!(value > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  const step = STEPS.find((one) => value <= one * power * (1 + 1e-9)) ?? 10
  return step * power
}

/** What the scale ends at: round, and never below `least`, so that noise at nothing stays flat. */
export function scaleTop(points: readonly Point[], least: number): number {
  let most = least
  for (const { value } of points) if (value !== null && value > most) most = value
  return roundUp(most)
}

export function x(at: number, { from, to }: Span): number {
  return ((at - from) / (to - from)) * WIDTH
}

export function y(value: number, top: number): number {
  const share = Math.min(Math.max(value / top, 0), 1)
  return HEIGHT - share * (HEIGHT - HEADROOM)
}

export interface Drawing {
  readonly line: string
  readonly area: string
}

/** The line, and the area under it; both with gaps where nothing is known. */
export function draw(points: readonly Point[], span: Span, top: number): Drawing {
  const runs: [number, number][][] = []
  let before: Point | null = null
  for (const point of points) {
    if (point.value !== null && point.at >= span.from - GAP_MS && point.at <= span.to) {
      const place: [number, number] = [x(point.at, span), y(point.value, top)]
      const run = runs.at(-1)
      if (run !== undefined && before?.value !== null && before !== null && point.at - before.at <= GAP_MS) run.push(place)
      else runs.push([place])
    }
    before = point
  }
  const line = runs.map((run) => `M${run.map(said).join('L')}${run.length === 1 ? 'h.5' : ''}`).join('')
  const area = runs
    .map((run) => `M${run[0]?.[0].toFixed(1) ?? 0},${HEIGHT}L${run.map(said).join('L')}L${run.at(-1)?.[0].toFixed(1) ?? 0},${HEIGHT}Z`)
    .join('')
  return { line, area }
}

function said([left, height]: [number, number]): string {
  return `${left.toFixed(1)},${height.toFixed(1)}`
}

/** The point that is nearest in time, if it is no further than a gap. */
export function nearest(points: readonly Point[], at: number): Point | null {
  let [low, high] = [0, points.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((points[middle]?.at ?? Infinity) < at) low = middle + 1
    else high = middle
  }
  const found = [points[low - 1], points[low]]
    .filter((point) => point !== undefined)
    .toSorted((a, b) => Math.abs(a.at - at) - Math.abs(b.at - at))[0]
  return found !== undefined && Math.abs(found.at - at) <= GAP_MS ? found : null
}
