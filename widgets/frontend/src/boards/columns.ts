import type { ColDef, ValueGetterParams } from 'ag-grid-community'

import type { Unit } from '../format'
import type { Board, Field } from '../page'
import type { Row, Scalar } from '../wds/protocol'
import { SymbolCell } from './SymbolCell'
import { ValueCell, type ValueCellParams } from './ValueCell'

/** Least widths in pixels: the longest usual value of the unit, with the cell's padding. */
const MIN_WIDTHS: Readonly<Record<Unit, number>> = {
  usd: 60, usd_signed: 62, percent: 76, percent_plain: 76, ratio: 56, shares: 54, count: 60, notional: 62, time: 66, text: 96, flag: 48,
}

const GUTTER_PX = 14

const LEFT_ALIGNED: ReadonlySet<Unit> = new Set(['text', 'flag'])

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

function valueColumn(name: string, field: Field, board: Board): ColDef<Row> {
  const params: ValueCellParams = { unit: field.unit, field: name }
  const ordered = name === board.order_by
  return {
    colId: name,
    headerName: field.label,
    headerTooltip: field.description === '' ? field.label : `${field.label}: ${field.description}`,
    headerClass: [LEFT_ALIGNED.has(field.unit) ? 'align-left' : 'align-right', ...(ordered ? ['ordered-by'] : [])],
    valueGetter: (row: ValueGetterParams<Row, Scalar>): Scalar => row.data?.[name] ?? null,
    cellRenderer: ValueCell,
    cellRendererParams: params,
    comparator: compareValues,
    minWidth: MIN_WIDTHS[field.unit],
    flex: LEFT_ALIGNED.has(field.unit) ? 2 : 1,
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
    width: 32,
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
    width: 78,
    pinned: 'left',
  }
  const own = board.columns.filter((name) => name !== 'symbol' && name !== 'rank')
  // The scrollbar lies over the table's right edge: there it would hide the last digits.
  const gutter: ColDef<Row> = {
    colId: 'gutter', headerName: '', width: GUTTER_PX, minWidth: GUTTER_PX, maxWidth: GUTTER_PX,
    sortable: false, resizable: false, suppressMovable: true, lockPosition: 'right', suppressNavigable: true,
  }
  const values = own.map((name) => valueColumn(name, fields[name] ?? fallbackField(name), board))
  return [rank, symbol as ColDef<Row>, ...values, gutter]
}
