import type { ICellRendererComp, ICellRendererParams } from 'ag-grid-community'

import { formatValue, moveStrength, NOTHING, timeOn, type Unit } from '../format'
import type { Row, Scalar } from '../wds'
import { extinguish, flashClass, light, type Flash } from './flashes'

export interface ValueCellParams {
  readonly unit: Unit
  readonly field: string
  readonly left: boolean
}

type Params = ICellRendererParams<Row, Scalar> & ValueCellParams

/** Units whose sign is a direction of the market. */
const SIGNED: ReadonlySet<Unit> = new Set(['percent', 'usd_signed'])
/** Units that only grow or whose direction says nothing: they flash neutrally. */
const NEUTRAL: ReadonlySet<Unit> = new Set(['shares', 'count', 'notional', 'time', 'ratio'])
/** Lower bounds of the classes of relative volume: busy, very busy, extraordinary. */
const RATIO_CLASSES = [2, 5, 10] as const

/** The classes that colour a value: direction and strength of a move, or class of a ratio. */
export function toneClasses(unit: Unit, value: Scalar): string {
  if (typeof value !== 'number' || !Number.isFinite(value)) return ''
  if (unit === 'ratio') {
    const level = RATIO_CLASSES.filter((bound) => value >= bound).length
    return level === 0 ? '' : `ratio-${level}`
  }
  if (!SIGNED.has(unit)) return ''
  const strength = moveStrength(value)
  if (strength === 0) return ''
  const direction = value > 0 ? 'up' : 'down'
  return unit === 'percent' ? `${direction} tint-${strength}` : direction
}

/** How a cell flashes when its value changes: up, down, neutrally, or not at all. */
export function flashKind(unit: Unit, before: Scalar, after: Scalar): Flash | null {
  if (typeof before !== 'number' || typeof after !== 'number' || before === after) return null
  if (NEUTRAL.has(unit)) return 'new'
  return after > before ? 'up' : 'down'
}

/** A cell's text: its value in its unit; a time of another day than the row's is its date. */
function textOf(params: Params): string {
  const value = params.value ?? null
  const day = params.data?.trading_day
  if (params.unit === 'time' && typeof value === 'number' && Number.isFinite(value) && day !== undefined) return timeOn(day, value)
  return formatValue(params.unit, value)
}

/** A value on a board. The span fills the cell and carries one class list: one write to the page per change. */
export class ValueCell implements ICellRendererComp<Row> {
  private readonly gui = document.createElement('span')
  private value: Scalar = null
  private text = ''

  init(params: Params): void {
    this.draw(params, null)
  }

  refresh(params: Params): boolean {
    const after = params.value ?? null
    const changed = textOf(params) !== this.text
    this.draw(params, changed ? flashKind(params.unit, this.value, after) : null)
    return true
  }

  getGui(): HTMLElement {
    return this.gui
  }

  private draw(params: Params, flash: Flash | null): void {
    this.value = params.value ?? null
    const text = textOf(params)
    const classes = ['value', `unit-${params.unit}`, toneClasses(params.unit, this.value)]
    if (params.left) classes.push('value-left')
    if (text === NOTHING) classes.push('nothing')
    if (flash !== null) classes.push(flashClass(flash))
    if (text !== this.text) this.gui.textContent = this.text = text
    this.gui.className = classes.filter((name) => name !== '').join(' ')
    if (flash === null) extinguish(this.gui)
    else light(this.gui)
  }
}
