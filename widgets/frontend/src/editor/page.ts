import type { Unit } from '../format'
import type { Option } from './choosing'

/** A field of a row, as `where`, `order_by` and the columns name it. */
export interface Field {
  readonly name: string
  readonly label: string
  readonly unit: Unit
  readonly description: string
  readonly formula: string
  readonly source: string
}

/** A notification target that a scanner can name. */
export interface Target {
  readonly name: string
  /** Whose it is; empty: for the scanners of everyone. */
  readonly owner: string
  readonly enabled: boolean
}

/** What the server tells the editor; see `control/admin/scanners.py`. */
export interface EditorPage {
  readonly validate_url: string
  readonly preview_url: string
  readonly fields: readonly Field[]
  readonly functions: readonly string[]
  readonly targets: readonly Target[]
  readonly most_columns: number
  readonly most_targets: number
  /** Whether the form makes a scanner. */
  readonly is_new: boolean
}

/**
 * Reads what Django's `json_script` wrote.
 *
 * @throws Error when the element is missing: the template and this program then do not belong together.
 */
export function readEditorPage(source: Document): EditorPage {
  const text = source.getElementById('editor')?.textContent
  if (text === undefined) throw new Error('The page carries no configuration (element "editor").')
  return JSON.parse(text) as EditorPage
}

/** A field as a column to choose. */
export function columnOption({ name, label, description }: Field): Option {
  return { value: name, label, detail: `${name}: ${description}` }
}
