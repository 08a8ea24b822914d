import { CompletionContext, type CompletionResult } from '@codemirror/autocomplete'
import { StreamLanguage, syntaxTree } from '@codemirror/language'
import { EditorState } from '@codemirror/state'
import { describe, expect, test } from 'vitest'

import type { Field } from './page'
import { completeFrom, completionsOf, isWithinText, meantIn, parserFor, placeIn, unitInWords } from './words'

const field = (name: string): Field => ({
  name, label: name, unit: 'usd', description: '', formula: '', source: '',
})
const VOCABULARY = { fields: [field('price'), field('pct_change')], functions: ['abs'] }

function complete(text: string, explicit = false): CompletionResult | null {
  const state = EditorState.create({ doc: text })
  return completeFrom(completionsOf(VOCABULARY))(new CompletionContext(state, text.length, explicit))
}

describe('what can be written next', () => {
  test.each([
    ['pr', 0],
    ['price > 1 AND pct', 14],
    ['abs(pri', 4],
  ])('a word is completed from its beginning: %s', (text, from) => {
    expect(complete(text)?.from).toBe(from)
  })

  test.each(["symbol = 'pri", '12', '1e', 'price > '])('nothing is offered unasked: %s', (text) => {
    expect(complete(text)).toBeNull()
  })

  test('everything is offered when it is asked for', () => {
    const labels = complete('price > ', true)?.options.map(({ label }) => label)
    expect(labels).toEqual(expect.arrayContaining(['price', 'pct_change', 'abs', 'AND', 'BETWEEN']))
  })

  test('a function comes with its bracket', () => {
    expect(complete('ab')?.options.find(({ label }) => label === 'abs')?.apply).toBe('abs(')
  })

  test('a quote that is doubled is within the text', () => {
    expect(isWithinText("symbol = 'O''")).toBe(true)
    expect(isWithinText("symbol = 'O''X' AND ")).toBe(false)
  })
})

test('words are coloured by what they are', () => {
  const language = StreamLanguage.define(parserFor(VOCABULARY))
  const text = "Price >= 1.5e3 AND abs(nonsense) <> 'a''b'"
  const state = EditorState.create({ doc: text, extensions: language })
  const found: string[] = []
  syntaxTree(state).iterate({
    enter: ({ name, from, to }) => {
      if (from !== 0 || to !== text.length) found.push(`${text.slice(from, to)}:${name}`)
    },
  })
  expect(found).toEqual([
    'Price:propertyName', '>=:operator', '1.5e3:number', 'AND:keyword', 'abs:variableName.function', '<>:operator',
    "'a''b':string",
  ])
})

test('places are counted in characters by the server and in units here', () => {
  expect(placeIn('ab', 1)).toBe(1)
  expect(placeIn('💰 > 1', 2)).toBe(3)
  expect(placeIn('ab', 9)).toBe(2)
})

test('the word that was probably meant is found in the message', () => {
  expect(meantIn("where: there is no field 'prise' at character 1; did you mean price?")).toBe('price')
  expect(meantIn('where: it is empty')).toBeNull()
})

test('units are said in words, and one that is not known as it is', () => {
  expect(unitInWords('percent')).toBe('percent: 5 is 5 %')
  expect(unitInWords('furlongs')).toBe('furlongs')
})
