import { expect, test } from 'vitest'
import { createSSRApp, h, type Component } from 'vue'
import { renderToString } from 'vue/server-renderer'

import AccountsCard from './AccountsCard.vue'
import CacheCard from './CacheCard.vue'
import { provideControls, type Controls } from './controls'
import EngineCard from './EngineCard.vue'
import { accounts, AT, STATE } from './fixture'
import FlowStrip from './FlowStrip.vue'
import ListenerCard from './ListenerCard.vue'
import type { Operation } from './operations'
import ProblemList from './ProblemList.vue'
import ProcessesCard from './ProcessesCard.vue'
import QueuesCard from './QueuesCard.vue'
import ReferenceCard from './ReferenceCard.vue'
import type { Problem, SystemState } from './state'
import StorageCard from './StorageCard.vue'
import { provideTrends } from './trends'
import WdsCard from './WdsCard.vue'
import WorkersCard from './WorkersCard.vue'

const OPERATION: Operation = {
  name: 'scanners.enable', subject: 'scanners', title: 'Switch on', confirm: '', danger: false, permitted: true, parameters: {},
  choices: { slug: [{ value: 'halts', label: 'Halts' }, { value: 'top_trades:1m', label: 'Top trades' }] }, current: {},
}

function render(card: Component, state: SystemState, permitted: Controls['permitted'] = () => undefined, more: object = {}): Promise<string> {
  return renderToString(createSSRApp({
    setup() {
      provideTrends()
      provideControls({ permitted, open: () => undefined })
      return () => h(card, { state, problems: state.problems, ...more })
    },
  }))
}

const CARDS: readonly Component[] = [
  FlowStrip, ListenerCard, AccountsCard, QueuesCard, WorkersCard, EngineCard, CacheCard, WdsCard, ReferenceCard, StorageCard, ProcessesCard,
]

test('every card renders, for who may see and not touch, without a control', async () => {
  for (const card of CARDS) {
    const html = await render(card, STATE, () => undefined, { socketsUrl: null })
    expect(html).not.toMatch(/NaN|undefined|\[object/)
    expect(html).not.toContain('data-control')
  }
})

test('every control stands somewhere', async () => {
  const htmls = await Promise.all(CARDS.map((card) => render(card, STATE, () => OPERATION, { socketsUrl: null })))
  const stopped = await render(ListenerCard, { ...STATE, listener: { ...STATE.listener, state: 'stopped' } }, () => OPERATION)
  const found = new Set(Array.from([...htmls, stopped].join('').matchAll(/data-control="([a-z._]+)"/g), ([, name]) => name ?? ''))
  expect([...found].toSorted((a, b) => a.localeCompare(b))).toEqual([
    'cache.clear', 'jobs.add_queue', 'jobs.autoscale', 'jobs.cancel_queue', 'jobs.grow', 'jobs.restart', 'jobs.shrink',
    'listener.configure', 'listener.reconnect', 'listener.record', 'listener.restart', 'listener.start', 'listener.stop', 'log.level',
    'part.restart', 'queues.purge', 'reference.reload', 'scanners.disable', 'scanners.enable', 'web.drain', 'workers.count', 'workers.restart',
  ])
})

test('a feed that does not balance is marked, and what is lost', async () => {
  const html = await render(AccountsCard, { ...STATE, feeds: { trades: accounts(100, { unbalanced: -3, lost: 2 }), news: accounts(1) } })
  expect(html).toContain('1 feed out of balance')
  expect(html).toMatch(/class="row-bad" data-feed="trades"/)
  expect(html).not.toMatch(/class="row-bad" data-feed="news"/)
  expect(html).toMatch(/said-bad[^>]*>\s*2\s*</)
})

test('a worker that is gone stands out, and a scanner that is off can be switched on', async () => {
  const workers = STATE.workers.map((worker) => (worker.name === 'feed2' ? { ...worker, state: 'gone' as const } : worker))
  expect(await render(WorkersCard, { ...STATE, workers })).toMatch(/class="row-bad" data-worker="feed2"/)
  expect(await render(EngineCard, STATE, () => OPERATION)).toMatch(/class="row-off" data-scanner="top_trades:1m"/)
})

test('what is wrong stands in words with its advice, and code in it as code', async () => {
  const problems: readonly Problem[] = [
    { id: 'feed1', severity: 'error', component: 'feed1', text: 'feed1 is gone.', advice: '`up` starts it again.', since: AT - 3_000 },
  ]
  const html = await renderToString(createSSRApp(ProblemList, { problems, recoveries: [], at: AT, known: true }))
  expect(html).toContain('feed1 is gone.')
  expect(html).toContain('<code>up</code>')
  expect(html).not.toContain('Everything does well')
  expect(await renderToString(createSSRApp(ProblemList, { problems: [], recoveries: [], at: AT, known: true }))).toContain('Everything does well.')
})
