/** The form that Django made: this program changes its fields' values and leaves sending them to it. */

/**
 * A control of the form by its field's name.
 *
 * @throws Error when there is none: the form and this program then do not belong together.
 */
export function control<T extends HTMLElement>(name: string, type: new () => T): T {
  const found = document.getElementById(`id_${name}`)
  if (!(found instanceof type)) throw new Error(`The form has no field ${name}.`)
  return found
}

/** Sets a control's value as if somebody had typed it, so that the form knows that it was changed. */
export function write(field: HTMLTextAreaElement | HTMLInputElement, value: string): void {
  if (field.value === value) return
  field.value = value
  field.dispatchEvent(new Event('input', { bubbles: true }))
  field.dispatchEvent(new Event('change', { bubbles: true }))
}

/** The list in a field of JSON; null when it holds something else, which is then for the person to mend. */
export function listIn(text: string): string[] | null {
  if (text.trim() === '') return []
  try {
    const value: unknown = JSON.parse(text)
    if (value === null) return []
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : null
  } catch {
    return null
  }
}

/** A slug that goes with a name: "Gap & go!" is gap_go. */
export function slugOf(name: string): string {
  return name
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^a-z0-9:]+/g, '_')
    .replaceAll(/^_+|_+$/g, '')
    .slice(0, 100)
}
