import { describe, expect, test } from 'vitest'

import { moved, offered, type Option } from './choosing'
import { listIn, slugOf } from './form'

const option = (value: string, label: string): Option => ({ value, label, detail: '' })
const OPTIONS = [option('avg_volume', 'Avg volume'), option('price', 'Price'), option('volume_1m', 'Volume 1 min')]
const values = (options: Option[]): string[] => options.map(({ value }) => value)

describe('what is offered', () => {
  test('is what was not chosen and has all words', () => {
    expect(values(offered(OPTIONS, ['price'], ''))).toEqual(['avg_volume', 'volume_1m'])
    expect(values(offered(OPTIONS, [], 'vol min'))).toEqual(['volume_1m'])
    expect(values(offered(OPTIONS, [], 'nothing'))).toEqual([])
  })

  test('begins with what begins like it', () => {
    expect(values(offered(OPTIONS, [], 'vol'))).toEqual(['volume_1m', 'avg_volume'])
  })
})

test('an item moves within the list and never out of it', () => {
  expect(moved(['a', 'b', 'c'], 0, 2)).toEqual(['b', 'c', 'a'])
  expect(moved(['a', 'b', 'c'], 2, 0)).toEqual(['c', 'a', 'b'])
  expect(moved(['a', 'b'], 0, 2)).toEqual(['a', 'b'])
  expect(moved(['a', 'b'], 5, 0)).toEqual(['a', 'b'])
})

test('a field of JSON is a list, or nothing that can be chosen from', () => {
  expect(listIn('')).toEqual([])
  expect(listIn('null')).toEqual([])
  expect(listIn('["price"]')).toEqual(['price'])
  for (const text of ['{"a":1}', '[1]', '[', '"price"']) expect(listIn(text)).toBeNull()
})

test('a slug goes with its name', () => {
  expect(slugOf('Gap & go!')).toBe('gap_go')
  expect(slugOf('  Café 5m ')).toBe('cafe_5m')
  expect(slugOf('top_trades:1m')).toBe('top_trades:1m')
  expect(slugOf('€')).toBe('')
})
