/**
 * Flashes of cells, in two steps of brightness and then gone.
 *
 * Hundreds of cells flash at once. A CSS animation for each repaints on every frame, which took most of a core on a
 * board of 500 rows at four updates a second; here a flash costs three repaints, shared by all cells of a step.
 */

export type Flash = 'up' | 'down' | 'new'

const STEP_MS = 200
const FADE = 'flash-fade'
const CLASSES = ['flash-up', 'flash-down', 'flash-new', FADE]

let bright = new Set<HTMLElement>()
let faded = new Set<HTMLElement>()
let timer: ReturnType<typeof setTimeout> | undefined

/** The class that a flashing cell starts with. */
export function flashClass(flash: Flash): string {
  return `flash-${flash}`
}

/** Lets a cell that just got its flash class fade and go out. */
export function light(cell: HTMLElement): void {
  bright.add(cell)
  faded.delete(cell)
  timer ??= setTimeout(step, STEP_MS)
}

/** Forgets a cell whose classes were written anew. */
export function extinguish(cell: HTMLElement): void {
  bright.delete(cell)
  faded.delete(cell)
}

function step(): void {
  for (const cell of faded) cell.classList.remove(...CLASSES)
  for (const cell of bright) cell.classList.add(FADE)
  faded = bright
  bright = new Set()
  timer = faded.size > 0 ? setTimeout(step, STEP_MS) : undefined
}
