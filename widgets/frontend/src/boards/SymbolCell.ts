import type { ICellRendererComp, ICellRendererParams } from 'ag-grid-community'

import { timeOfDay } from '../format'
import type { Row } from '../wds'

type Params = ICellRendererParams<Row, Row>

const INCOMPLETE = 'The day was not seen from its start: highs, lows and volume may be incomplete.'

/** What a halted row says about itself: "Trading halted since 10:31:07 (LUDP)". */
export function haltWords(row: Row): string {
  const since = row.halted_at
  const reason = row.halt_reason
  return (
    'Trading halted' +
    (typeof since === 'number' ? ` since ${timeOfDay(since)}` : '') +
    (typeof reason === 'string' && reason !== '' ? ` (${reason})` : '')
  )
}

function mark(className: string, text: string, words: string): HTMLElement {
  const element = document.createElement('span')
  element.className = className
  element.textContent = text
  element.title = words
  element.setAttribute('role', 'img')
  element.setAttribute('aria-label', words)
  return element
}

/** The symbol with its marks: halted, and not seen from the start of the day. */
export class SymbolCell implements ICellRendererComp<Row> {
  private readonly gui = document.createElement('span')

  init(params: Params): void {
    this.gui.className = 'symbol'
    this.draw(params)
  }

  refresh(params: Params): boolean {
    this.draw(params)
    return true
  }

  getGui(): HTMLElement {
    return this.gui
  }

  private draw(params: Params): void {
    const row = params.value
    if (row === null || row === undefined) {
      this.gui.replaceChildren()
      return
    }
    const ticker = document.createElement('span')
    ticker.className = 'ticker'
    ticker.textContent = row.symbol
    const name = row.name
    if (typeof name === 'string') ticker.title = name
    const marks: HTMLElement[] = []
    if (row.halted === true) marks.push(mark('mark-halted', 'H', haltWords(row)))
    if (row.complete === false) marks.push(mark('mark-incomplete', '◦', INCOMPLETE))
    this.gui.replaceChildren(ticker, ...marks)
  }
}
