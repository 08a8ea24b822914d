import { readFileSync } from 'node:fs'

import { Ajv2020 } from 'ajv/dist/2020'
import { expect, test, vi } from 'vitest'

import { PING_EVERY_MS } from './connection'
import { isDelta } from './delta'
import { parseMessage } from './protocol'
import { isBoardData, isStatus } from './rows'
import { connected, onFakeTime, recorder } from './scripted'

/** This module against the server's own description of the protocol. */

interface Description {
  readonly components: {
    readonly messages: Readonly<Record<string, { readonly examples?: readonly { readonly payload: unknown }[] }>>
  }
}

const text = readFileSync(new URL('../../../../docs/asyncapi.json', import.meta.url), 'utf8')
const { messages } = (JSON.parse(text) as Description).components
const ajv = new Ajv2020({ strict: false })
ajv.addSchema(JSON.parse(text) as object, 'wds')

const BARE = ['Authorized', 'InvalidKey', 'Unauthorized', 'InvalidAction', 'Resumed']

function isA(schema: string, value: unknown): boolean {
  return ajv.validate(`wds#/components/schemas/${schema}`, value)
}

function examples(name: string): unknown[] {
  return (messages[name]?.examples ?? []).map(({ payload }) => payload)
}

onFakeTime()

test('what the client sends is what the server reads', async () => {
  const { client, socket } = await connected(['status', recorder()], ['scanners:*', recorder(), { delta: true, maxRate: 0.5 }])
  client.subscribe('alerts', recorder())()
  await vi.advanceTimersByTimeAsync(PING_EVERY_MS)
  const actions = (socket().sent as { action: string }[]).map(({ action }) => action)
  expect(new Set(actions)).toEqual(new Set(['auth', 'subscribe', 'unsubscribe', 'ping']))
  for (const message of socket().sent as { action: string }[]) {
    const { action } = message
    expect(isA(`${action.slice(0, 1).toUpperCase()}${action.slice(1)}`, message), JSON.stringify(message)).toBe(true)
  }
  expect(isA('Subscribe', { action: 'subscribe', feed: 7 })).toBe(false)
})

test('every notice and every enveloped message that the server describes is understood', () => {
  const notices = [...BARE, 'Subscribed', 'Unsubscribed', 'Forbidden', 'Error', 'Pong', 'Interrupted', 'Reconnect']
  const enveloped = Object.keys(messages).filter((name) => name.startsWith('Enveloped'))
  for (const name of [...notices, ...enveloped]) {
    expect(examples(name), name).not.toEqual([])
    for (const example of examples(name)) expect(parseMessage(JSON.stringify(example)), name).toEqual(example)
  }
})

test('boards, changes of boards and the status are what the page takes for such', () => {
  expect(examples('Board').every(isBoardData)).toBe(true)
  expect(examples('Status').every(isStatus)).toBe(true)
  const enveloped = examples('EnvelopedBoard') as { type: string; data: unknown }[]
  for (const { type, data } of enveloped) expect(type === 'delta' ? isDelta(data) : isBoardData(data)).toBe(true)
  expect(isA('BoardDelta', { base: 1, upsert: [{ symbol: 'A', price: 1 }], remove: ['B'], order: ['A'] })).toBe(true)
})
