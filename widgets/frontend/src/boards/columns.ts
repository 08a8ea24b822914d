import type { ColDef, ValueGetterParams } from 'ag-grid-community'

import type { Unit } from '../format'
import type { Board, Field } from '../page'
import type { Row, Scalar } from '../wds'
import { CountdownCell } from './CountdownCell'
import { SymbolCell } from './SymbolCell'
import { ValueCell, type ValueCellParams } from './ValueCell'

/** Least widths in pixels: the longest usual value of the unit, with the cell's padding. */
const MIN_WIDTHS: ReadonlyMap<string, number> = new Map<Unit, number>([
  ['usd', 60], ['usd_signed', 62], ['percent', 76], ['percent_plain', 66], ['ratio', 68], ['shares', 54], ['count', 56],
  ['notional', 72], ['time', 72], ['countdown', 62], ['text', 96], ['flag', 58],
])
const UNKNOWN_WIDTH = 96

const RANK_PX = 32
const SYMBOL_PX = 92
const GUTTER_PX = 14

/** Numbers and times stand on the right, so that digits of a kind stand below each other. */
const RIGHT_ALIGNED: ReadonlySet<string> = new Set<Unit>([
  'usd', 'usd_signed', 'percent', 'percent_plain', 'ratio', 'shares', 'count', 'notional', 'time', 'countdown',
])

/** Orders values as the server does: what is not known comes last, in either direction. */
export function compareValues(a: Scalar | undefined, b: Scalar | undefined, _x: unknown, _y: unknown, down: boolean): number {
  const unknownA = a === null || a === undefined
  const unknownB = b === null || b === undefined
  if (unknownA || unknownB) return unknownA && unknownB ? 0 : unknownA === down ? -1 : 1
  if (typeof a === 'string' || typeof b === 'string') return String(a).localeCompare(String(b))
  return Number(a) - Number(b)
}

function fallbackField(name: string): Field {
  return { label: name.replaceAll('_', ' '), unit: 'text', description: '' }
}

function leastWidth(field: Field): number {
  return MIN_WIDTHS.get(field.unit) ?? UNKNOWN_WIDTH
}

/** The board's own columns: all but those that every board begins with. */
function ownColumns(board: Board): string[] {
  return board.columns.filter((name) => name !== 'symbol' && name !== 'rank')
}

/** How wide a board has to be to show all of its columns, in pixels. */
export function boardWidth(board: Board, fields: Readonly<Record<string, Field>>): number {
  const widths = ownColumns(board).map((name) => leastWidth(fields[name] ?? fallbackField(name)))
  return widths.reduce((sum, width) => sum + width, RANK_PX + SYMBOL_PX + GUTTER_PX)
}

function valueColumn(name: string, field: Field, board: Board): ColDef<Row> {
  const right = RIGHT_ALIGNED.has(field.unit)
  const params: ValueCellParams = { unit: field.unit, field: name, left: !right }
  const ordered = name === board.order_by
  return {
    colId: name,
    headerName: field.label,
    headerTooltip: field.description === '' ? field.label : `${field.label}: ${field.description}`,
    headerClass: [right ? 'align-right' : 'align-left', ...(ordered ? ['ordered-by'] : [])],
    valueGetter: (row: ValueGetterParams<Row, Scalar>): Scalar => row.data?.[name] ?? null,
    cellRenderer: field.unit === 'countdown' ? CountdownCell : ValueCell,
    cellRendererParams: params,
    comparator: compareValues,
    minWidth: leastWidth(field),
    flex: right || field.unit === 'flag' ? 1 : 2,
  }
}

/** The part of a row that the symbol's cell shows: the cell is drawn again only when one of these changes. */
function sameSymbolCell(a: Row | null | undefined, b: Row | null | undefined): boolean {
  return a?.symbol === b?.symbol && a?.halted === b?.halted && a?.complete === b?.complete && a?.name === b?.name
}

/**
 * The columns of a board: rank and symbol first, pinned so that they stay in sight, then the board's own.
 *
 * @param fields Label, unit and description by field name; a column without one is shown as text under its own name.
 */
export function boardColumns(board: Board, fields: Readonly<Record<string, Field>>): ColDef<Row>[] {
  const rank: ColDef<Row> = {
    colId: 'rank',
    headerName: '#',
    headerTooltip: 'Rank on this board',
    headerClass: 'align-right',
    field: 'rank',
    cellClass: 'rank',
    width: RANK_PX,
    pinned: 'left',
  }
  const symbol: ColDef<Row, Row> = {
    colId: 'symbol',
    headerName: 'Symbol',
    headerTooltip: 'Ticker symbol. H: trading is halted. ◦: the day was not seen from its start.',
    headerClass: 'align-left',
    valueGetter: (row) => row.data ?? null,
    equals: sameSymbolCell,
    comparator: (a, b) => (a?.symbol ?? '').localeCompare(b?.symbol ?? ''),
    cellRenderer: SymbolCell,
    width: SYMBOL_PX,
    pinned: 'left',
  }
  // The scrollbar lies over the table's right edge: there it would hide the last digits.
  const gutter: ColDef<Row> = {
    colId: 'gutter', headerName: '', width: GUTTER_PX, minWidth: GUTTER_PX, maxWidth: GUTTER_PX,
    sortable: false, resizable: false, suppressMovable: true, lockPosition: 'right', suppressNavigable: true,
  }
  const values = ownColumns(board).map((name) => valueColumn(name, fields[name] ?? fallbackField(name), board))
  return [rank, symbol as ColDef<Row>, ...values, gutter]
}
