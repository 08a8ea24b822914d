/** The table itself: AG Grid with the few modules that a board needs, in the page's own colours. */

import {
  CellStyleModule, ClientSideRowModelModule, createGrid, ModuleRegistry, RenderApiModule, RowSelectionModule, RowStyleModule,
  themeQuartz, TooltipModule, type ColDef, type GridApi, type Module,
} from 'ag-grid-community'

import type { Row } from '../wds'

const modules: Module[] = [ClientSideRowModelModule, CellStyleModule, RowStyleModule, RowSelectionModule, RenderApiModule, TooltipModule]
ModuleRegistry.registerModules(modules)

/** Colours are the page's variables, so that a change of theme repaints without a new grid. */
const theme = themeQuartz.withParams({
  backgroundColor: 'var(--panel)',
  foregroundColor: 'var(--text)',
  textColor: 'var(--text)',
  accentColor: 'var(--accent)',
  borderColor: 'var(--line)',
  chromeBackgroundColor: 'var(--panel)',
  headerBackgroundColor: 'var(--panel)',
  headerTextColor: 'var(--dim)',
  oddRowBackgroundColor: 'var(--stripe)',
  rowHoverColor: 'var(--hover)',
  selectedRowBackgroundColor: 'var(--selected)',
  fontFamily: 'inherit',
  headerFontFamily: 'inherit',
  fontSize: 'var(--grid-font)',
  headerFontSize: '11px',
  headerFontWeight: 500,
  iconSize: 11,
  cellHorizontalPadding: 0,
  wrapperBorder: false,
  wrapperBorderRadius: 0,
  rowBorder: false,
  pinnedColumnBorder: false,
  headerRowBorder: { color: 'var(--line)' },
  headerColumnResizeHandleColor: 'transparent',
})

export interface Density {
  readonly row: number
  readonly header: number
}

export const DESK_DENSITY: Density = { row: 24, header: 34 }
export const TOUCH_DENSITY: Density = { row: 38, header: 38 }

/** Creates a board's grid in the element. Rows are keyed by symbol: selection and scroll survive every update. */
export function createBoardGrid(element: HTMLElement, name: string, columnDefs: ColDef<Row>[], density: Density): GridApi<Row> {
  const api = createGrid<Row>(element, {
    theme,
    columnDefs,
    defaultColDef: { sortable: true, resizable: true, suppressHeaderMenuButton: true, wrapHeaderText: true, sortingOrder: ['desc', 'asc', null] },
    rowData: [],
    getRowId: ({ data }) => data.symbol,
    rowHeight: density.row,
    headerHeight: density.header,
    rowSelection: { mode: 'singleRow', checkboxes: false, enableClickSelection: true },
    rowClassRules: { 'row-halted': ({ data }) => data?.halted === true },
    // An ever-changing order keeps rows in motion; a short slide is easier to follow than a jump.
    animateRows: !matchMedia('(prefers-reduced-motion: reduce)').matches,
    suppressNoRowsOverlay: true,
    suppressColumnVirtualisation: true,
    tooltipShowDelay: 400,
    // Without it the page's content security policy lets no styles be made in the browser.
    styleNonce: document.getElementById('app')?.dataset.styleNonce ?? '',
  })
  api.setGridAriaProperty('label', name)
  return api
}
