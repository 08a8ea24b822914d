/** A list of names that people put together: what can be added, and moves within it. */

export interface Option {
  readonly value: string
  readonly label: string
  readonly detail: string
}

/** What can still be added and has every word of what was typed; what begins with it comes first. */
export function offered(options: readonly Option[], chosen: readonly string[], typed: string): Option[] {
  const words = typed.toLowerCase().split(/\s+/).filter((word) => word !== '')
  const taken = new Set(chosen)
  const found = options.filter(({ value, label }) => {
    const text = `${value} ${label}`.toLowerCase()
    return !taken.has(value) && words.every((word) => text.includes(word))
  })
  const first = words[0] ?? ''
  const begins = ({ value, label }: Option): number =>
    value.startsWith(first) || label.toLowerCase().startsWith(first) ? 0 : 1
  return first === '' ? found : found.sort((a, b) => begins(a) - begins(b))
}

/** The list with the item at one place moved to another. */
export function moved(list: readonly string[], from: number, to: number): string[] {
  const item = list[from]
  if (item === undefined || to < 0 || to >= list.length) return [...list]
  const rest = list.filter((_, index) => index !== from)
  rest.splice(to, 0, item)
  return rest
}
