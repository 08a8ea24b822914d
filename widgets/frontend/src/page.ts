import type { Unit } from './format'

/** One board, as the server that renders the page describes it. */
export interface Board {
  readonly slug: string
  readonly name: string
  readonly description: string
  readonly columns: readonly string[]
  readonly order_by: string
  readonly descending: boolean
  readonly limit: number
}

export interface Field {
  readonly label: string
  readonly unit: Unit
  readonly description: string
}

/** What the server that renders the page tells it. */
export interface Page {
  /** WebSocket address; empty: `/ws` at the page's own origin. */
  readonly wds_url: string
  readonly token: string
  readonly token_url: string
  readonly csrf_token: string
  readonly login_url: string
  readonly logout_url: string
  readonly admin_url: string | null
  readonly account_url?: string | null
  readonly user: string
  readonly version: string
  readonly boards: readonly Board[]
  /** Nobody has granted this user any feed yet. */
  readonly may_read_nothing?: boolean
  readonly fields: Readonly<Record<string, Field>>
}

/**
 * Reads the page's configuration from the script element that Django's `json_script` writes.
 *
 * @throws Error when the element is missing: the template and this program then do not belong together.
 */
export function readPage(source: Document): Page {
  const text = source.getElementById('page')?.textContent
  if (text === undefined) throw new Error('The page carries no configuration (element "page").')
  return JSON.parse(text) as Page
}

/** The WebSocket address of the page. */
export function socketUrl(page: Pick<Page, 'wds_url'>, place: { protocol: string; host: string }): string {
  if (page.wds_url !== '') return page.wds_url
  return `${place.protocol === 'https:' ? 'wss' : 'ws'}://${place.host}/ws`
}
