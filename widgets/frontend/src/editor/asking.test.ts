/** The editor's questions against a server of Node's own. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { Checking, type Checked } from './checking'
import { Previewing } from './previewing'

let server: Server
let url: string
let asked: Record<string, unknown>[]
let answer: (question: Record<string, unknown>, response: ServerResponse) => void

function read(request: IncomingMessage, response: ServerResponse): void {
  let body = ''
  request.on('data', (part: Buffer) => (body += part.toString()))
  request.on('end', () => {
    const question = JSON.parse(body) as Record<string, unknown>
    asked.push({ ...question, csrf: request.headers['x-csrftoken'] })
    answer(question, response)
  })
}

function say(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body))
}

beforeEach(async () => {
  asked = []
  server = createServer(read)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
})

afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const settled = (condition: () => boolean): Promise<void> => vi.waitUntil(condition, { timeout: 3000, interval: 10 }).then(() => undefined)

test('only what stands there last is asked about', async () => {
  answer = (_, response) => say(response, 200, { valid: true, errors: [] })
  const heard: Checked[] = []
  const checking = new Checking(url, 'token', (checked) => heard.push(checked))
  for (const where of ['p', 'pr', 'price > 1']) checking.look({ where, order_by: 'price' }, 20)
  await settled(() => heard.length > 0)
  expect(asked).toEqual([{ where: 'price > 1', order_by: 'price', csrf: 'token' }])
  expect(heard).toEqual([{ texts: { where: 'price > 1', order_by: 'price' }, troubles: [], refused: null }])
})

test('who asks too often is told, and asks again when he may', async () => {
  let first = true
  answer = (_, response) => {
    if (first) say(response, 429, { detail: 'Too many requests.' }, { 'Retry-After': '0.05' })
    else say(response, 200, { valid: true, errors: [] })
    first = false
  }
  const heard: Checked[] = []
  new Checking(url, '', (checked) => heard.push(checked)).look({ where: '', order_by: 'price' }, 0)
  await settled(() => heard.length === 2)
  expect(heard.map(({ refused }) => refused)).toEqual(['Too many requests.', null])
})

const TRIAL = { where: '', order_by: 'price', descending: true, limit: 200 }
const rows = (count: number): unknown[] => Array.from({ length: count }, (_, n) => ({ symbol: `S${n}` }))

test('a preview has at most fifty rows and says when there are more', async () => {
  answer = (question, response) =>
    say(response, 200, { rows: rows(question.limit as number), market_clock: 7, took_ms: 1.5 })
  const previewing = new Previewing(url, '', () => true)
  previewing.show(TRIAL)
  await settled(() => previewing.state.answered)
  previewing.show(null)
  expect(asked).toMatchObject([{ limit: 50, descending: true }])
  expect(previewing.state).toMatchObject({ clock: 7, tookMs: 1.5, capped: true, outdated: true, refused: null })
  expect(previewing.state.rows).toHaveLength(50)
})

test('what is refused is said in words, over the rows of before', async () => {
  answer = (_, response) => say(response, 200, { rows: rows(1), market_clock: 7, took_ms: 1 })
  const previewing = new Previewing(url, '', () => true)
  previewing.show({ ...TRIAL, limit: 5 })
  await settled(() => previewing.state.answered)
  answer = (_, response) => say(response, 403, { detail: 'You may not read scanners:*.' })
  previewing.show({ ...TRIAL, limit: 6 })
  await settled(() => previewing.state.refused !== null)
  expect(previewing.state.refused).toBe('You may not read scanners:*.')
  expect(previewing.state.rows).toHaveLength(1)
  answer = (_, response) => say(response, 401, { detail: 'no' })
  previewing.show(TRIAL)
  await settled(() => previewing.state.refused?.startsWith('Your login has ended') ?? false)
  previewing.show(null)
})

test('a server that is gone is said to be', async () => {
  const previewing = new Previewing('http://127.0.0.1:9/', '', () => true)
  previewing.show(TRIAL)
  await settled(() => previewing.state.refused !== null)
  previewing.show(null)
  expect(previewing.state.refused).toBe('The server cannot be reached.')
})
