import { expect, test } from 'vitest'

import { fieldsOf, parametersOf, type Schema } from './schema'

const CONFIGURE: Schema = {
  type: 'object',
  properties: {
    feed: { anyOf: [{ type: 'string', maxLength: 200 }, { type: 'null' }], default: null, description: 'real-time or delayed.' },
    market: { $ref: '#/$defs/Market' },
    always: { type: 'boolean', title: 'Always connected' },
    count: { anyOf: [{ type: 'integer', minimum: 1, maximum: 64 }, { type: 'null' }], default: null },
    queue: { type: 'string' },
  },
  required: ['queue'],
  $defs: { Market: { type: 'string', enum: ['stocks', 'crypto'] } },
}

const fields = fieldsOf(CONFIGURE, { queue: [{ value: 'trades', label: 'Trades' }] }, { feed: 'delayed', always: true, count: 2, market: 'stocks' })
const [feed, market, always, count, queue] = fields

test('each parameter becomes the input that suits it', () => {
  expect(fields.map(({ kind }) => kind)).toEqual(['text', 'choice', 'switch', 'number', 'choice'])
  expect(fields.map(({ label }) => label)).toEqual(['Feed', 'Market', 'Always connected', 'Count', 'Queue'])
  expect(feed).toMatchObject({ nullable: true, required: false, help: 'real-time or delayed.', initial: 'delayed' })
  expect(market?.choices.map(({ value }) => value)).toEqual(['stocks', 'crypto'])
  expect(count).toMatchObject({ least: 1, most: 64, initial: 2 })
  expect(queue).toMatchObject({ required: true, choices: [{ value: 'trades', label: 'Trades' }], initial: null })
  expect(always?.initial).toBe(true)
})

test('what stayed as it is is not sent; what is required always is', () => {
  const typed = { feed: 'delayed', market: 'stocks', always: true, count: 2, queue: 'trades' }
  expect(parametersOf(fields, typed)).toEqual({ queue: 'trades' })
})

test('what was changed is sent in its type, and what was emptied as empty: a number as null', () => {
  const typed = { feed: null, market: 'crypto', always: false, count: '3', queue: '' }
  expect(parametersOf(fields, typed)).toEqual({ feed: '', market: 'crypto', always: false, count: 3, queue: null })
  expect(parametersOf(fields, { ...typed, count: '' })).toMatchObject({ count: null })
})

test('a schema without parameters is a form without inputs', () => {
  expect(fieldsOf({ type: 'object' }, {}, {})).toEqual([])
})
