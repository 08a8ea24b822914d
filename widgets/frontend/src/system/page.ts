/** What the server that renders the system page tells it. */
export interface SystemPage {
  /** WebSocket address; empty: `/ws` at the page's own origin. */
  readonly wds_url: string
  readonly token: string
  readonly token_url: string
  readonly csrf_token: string
  readonly login_url: string
  /** Where the API begins, with a slash at its end. */
  readonly api_url: string
  /** Who is connected; null where that is not for this user. */
  readonly sockets_url: string | null
  /** The audit log's list; an entry is at its number below it. Null where that is not for this user. */
  readonly audit_url: string | null
}

/** @throws Error when the page carries no configuration: template and program do not belong together. */
export function readSystemPage(source: Document): SystemPage {
  const text = source.getElementById('system-page')?.textContent
  if (text === undefined) throw new Error('The page carries no configuration (element "system-page").')
  return JSON.parse(text) as SystemPage
}
