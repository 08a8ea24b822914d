/** The language of `where` and `order_by`: what its words are, and what can be written next. */

import type { Completion, CompletionContext, CompletionResult } from '@codemirror/autocomplete'
import type { StreamParser } from '@codemirror/language'

import type { EditorPage, Field } from './page'

export const KEYWORDS = [
  'AND', 'OR', 'NOT', 'IN', 'BETWEEN', 'IS', 'NULL', 'CASE', 'WHEN', 'THEN', 'ELSE', 'END', 'TRUE', 'FALSE',
] as const

const UNITS: Readonly<Record<string, string>> = {
  usd: 'dollars',
  usd_signed: 'dollars, signed',
  percent: 'percent: 5 is 5 %',
  percent_plain: 'percent: 5 is 5 %',
  ratio: 'a multiple: 2 is twice as much',
  shares: 'shares',
  count: 'a number',
  notional: 'dollars',
  time: 'a time, epoch milliseconds',
  countdown: 'a time, epoch milliseconds',
  text: "a text: 'AAPL'",
  flag: 'true or false',
}

/** A unit as people who write conditions need it. */
export function unitInWords(unit: string): string {
  return UNITS[unit] ?? unit
}

type Vocabulary = Pick<EditorPage, 'fields' | 'functions'>

/** A parser that colours the words that are known. */
export function parserFor({ fields, functions }: Vocabulary): StreamParser<unknown> {
  const kinds = new Map<string, string>([
    ...KEYWORDS.map((word) => [word.toLowerCase(), 'keyword'] as const),
    ...functions.map((name) => [name, 'variableName.function'] as const),
    ...fields.map((field) => [field.name, 'propertyName'] as const),
  ])
  return {
    name: 'expression',
    token(stream) {
      if (stream.eatSpace()) return null
      if (stream.match(/^'(?:[^']|'')*'?/)) return 'string'
      if (stream.match(/^(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?/i)) return 'number'
      const word = stream.match(/^[a-z_]\w*/i)
      if (Array.isArray(word)) return kinds.get(word[0].toLowerCase()) ?? null
      if (stream.match(/^(?:<>|[<>!]=|[-+*/<>=])/)) return 'operator'
      stream.next()
      return null
    },
  }
}

/** What a field means, under the list of completions. */
function explain(field: Field): HTMLElement {
  const info = document.createElement('div')
  for (const text of [field.description, `Unit: ${unitInWords(field.unit)}.`, `Formula: ${field.formula}`]) {
    info.append(Object.assign(document.createElement('p'), { textContent: text }))
  }
  return info
}

/** Every word that can be completed, the fields first. */
export function completionsOf({ fields, functions }: Vocabulary): Completion[] {
  return [
    ...fields.map((field) => ({
      label: field.name, detail: field.label, type: 'property', boost: 2, info: () => explain(field),
    })),
    ...functions.map((name) => ({ label: name, type: 'function', apply: `${name}(`, detail: 'function' })),
    ...KEYWORDS.map((word) => ({ label: word, type: 'keyword', boost: 1 })),
  ]
}

/** Completes the word before the cursor; none within a text in quotes. */
export function completeFrom(options: readonly Completion[]): (context: CompletionContext) => CompletionResult | null {
  return (context) => {
    const word = context.matchBefore(/[a-z_]\w*/i)
    if (word === null && !context.explicit) return null
    const before = context.state.sliceDoc(0, word?.from ?? context.pos)
    if (isWithinText(before)) return null
    // Not "1e5" or "2x": a word begins where no digit stands before it.
    if (/\d$/.test(before) && !context.explicit) return null
    return { from: word?.from ?? context.pos, options, validFor: /^\w*$/ }
  }
}

/** Whether a quote is open at the end of a text. */
export function isWithinText(before: string): boolean {
  return (before.split("'").length - 1) % 2 === 1
}

/** A place in code points, as Python counts, as a place in UTF-16 units, as browsers count. */
export function placeIn(text: string, codePoints: number): number {
  let at = 0
  for (const character of text) {
    if (codePoints-- <= 0) break
    at += character.length
  }
  return at
}

/** The word that an error's text offers instead: "… did you mean price?". */
export function meantIn(message: string): string | null {
  return /did you mean (\w+)\?/.exec(message)?.[1] ?? null
}
