/** For tests: a state as the server publishes it, at 10,000 events a second. */

import type { FeedAccounts, SystemState, Worker } from './state'

export const AT = Date.UTC(2026, 10, 23, 14, 29, 0)

const nobody = { p50: null, p99: null, max: null }

export function accounts(received: number, changed: Partial<FeedAccounts> = {}): FeedAccounts {
  return {
    received, malformed: 0, dropped: 0, buffered: 0, published: received, processed: received, expired_broker: 0, expired_worker: 0,
    expired_age: 0, overflowed: 0, failed: 0, lost: 0, in_flight: 0, duplicate: 0, unbalanced: 0,
    in_per_s: received / 600, out_per_s: received / 600, lost_per_min: 0, malformed_per_min: 0, ...changed,
  }
}

function worker(name: string, kind: string, pid: number, queues: readonly string[], changed: Partial<Worker> = {}): Worker {
  return {
    name, kind, pid, queues, host: 'desk', since: AT - 600_000, state: 'running', busy_pct: 31.4, batches_per_s: 24.1, events_per_s: 0,
    rss_bytes: 96_000_000, cpu_pct: 17.2, log_level: 'INFO', merge_ms: nobody, ...changed,
  }
}

const FEED_QUEUES = ['aggregate', 'trades', 'quotes', 'halts', 'news', 'unknown']

export const STATE: SystemState = {
  at: AT, gathered_by: 'desk:1102', health: 'ok', problems: [], recoveries: [],
  source: {
    id: 'simulator-7', kind: 'simulator', speed: 1, lossless: false, since: AT - 600_000, session: 'pre', market_clock: AT - 40,
    newest_event_at: AT - 52, delay_ms: 52,
  },
  listener: {
    state: 'live', since: AT - 600_000, reason: 'receiving', feed: '127.0.0.1:8765', market: 'stocks', subscriptions: ['A.*', 'T.*', 'Q.*', 'LULD.*'],
    buffered_bytes: 0, buffer_bytes: 67_108_864, settings_revision: 3, wanted_revision: 3, in_per_s: 10_012, published_per_s: 10_004,
  },
  feeds: {
    aggregate: accounts(545_000), trades: accounts(1_090_000), quotes: accounts(4_360_000, { in_flight: 812, processed: 4_359_188 }),
    halts: accounts(12), news: accounts(31), unknown: accounts(0),
  },
  queues: [
    ...FEED_QUEUES.map((name) => ({ name, depth: name === 'quotes' ? 2 : 0, oldest_ms: name === 'quotes' ? 41 : null, in_per_s: 1_600, out_per_s: 1_600, consumers: 2 })),
    { name: 'scans', depth: 0, oldest_ms: null, in_per_s: null, out_per_s: 4, consumers: 1 },
    { name: 'jobs', depth: 0, oldest_ms: null, in_per_s: null, out_per_s: null, consumers: 1 },
  ],
  components: [
    ['listener', 'listener', 1_101], ['feed1', 'feed worker', 1_104], ['feed2', 'feed worker', 1_105], ['scans', 'scans', 1_106],
    ['jobs', 'jobs', 1_107], ['beat', 'beat', 1_108], ['web', 'web', 1_102], ['up', 'up', 1_100], ['simulate', 'source', 1_103],
  ].map(([name, kind, pid]) => ({
    name: String(name), kind: String(kind), host: 'desk', pid: Number(pid), since: AT - 600_000, state: 'running', silent_ms: 400,
    rss_bytes: 91_000_000, cpu_pct: 12.5, threads: 4, log_level: 'INFO',
  })),
  workers: [
    worker('feed1', 'feed worker', 1_104, FEED_QUEUES, { events_per_s: 5_020, merge_ms: { p50: 9.1, p99: 22.4, max: 31 } }),
    worker('feed2', 'feed worker', 1_105, FEED_QUEUES, { events_per_s: 4_984, merge_ms: { p50: 8.9, p99: 21.7, max: 30 } }),
    worker('scans', 'scans', 1_106, ['scans'], { batches_per_s: 4, busy_pct: 5.6 }),
    worker('jobs', 'jobs', 1_107, ['jobs'], { batches_per_s: 0, busy_pct: 0 }),
  ],
  jobs: { processes: 2, least: 1, most: 4, busy: 0, active: [], reserved: [] },
  engine: {
    last_tick_ms: 11.2, tick_ms: { p50: 10.4, p99: 19.8, max: 24 }, ticks_per_s: 4, silent_ms: 300, running: 3,
    scanners: {
      top_volume: { rows: 500, ms: 1.2, failing: '', slow: false },
      top_gainers: { rows: 500, ms: 1.4, failing: '', slow: false },
      halts: { rows: 1, ms: 0.4, failing: '', slow: false },
    },
  },
  latency: {
    frame_to_queue: { p50: 24, p99: 51, max: 60 }, queue_to_merge: { p50: 9, p99: 24, max: 31 },
    merge_to_socket: { p50: 2.1, p99: 6, max: 9 }, frame_to_socket: { p50: 36, p99: 70, max: 84 },
  },
  cache: {
    server: 'Valkey 8.1', since: AT - 600_000, answer_ms: 0.3, used_bytes: 212_000_000, max_bytes: 2_147_483_648, keys: 24_410, hit_rate: 0.98,
    ops_per_s: 3_120, clients: 24, evicted: 0, aof: 'ok',
  },
  broker: { kind: 'Redis', ok: true, answer_ms: 0.6, problem: '', since: AT - 600_000 },
  database: { kind: 'SQLite', ok: true, answer_ms: 0.4, problem: '', since: AT - 600_000 },
  web: [{
    process: 'desk:1102', name: 'web', since: AT - 600_000, sockets: 3, authorised: 3, subscriptions: 14, deliveries_per_s: 38, bytes_per_s: 412_000,
    sent: 22_000, dropped: 0, conflated: 12, behind_ms: 0, draining: false, gathers: true, rss_bytes: 142_000_000, cpu_pct: 21,
  }],
  wds: {
    sockets: 3, subscriptions: 14, deliveries_per_s: 38, bytes_per_s: 412_000, dropped: 0, conflated: 12, behind_ms: 0,
    feeds: { 'scanners:top_volume': 2, status: 2, 'status:components': 1 }, slowest: [],
  },
  reference: {
    day: 20_261_123, symbols: 8_000, age_s: 420,
    kinds: { previous_day: { symbols: 8_000, at: AT - 420_000, age_s: 420, whole: true, problem: '' }, splits: { symbols: 0, at: null, age_s: null, whole: false, problem: '' } },
  },
  recordings: { bytes: 0, free_bytes: 40e9, disk_bytes: 100e9, files: 0, most_bytes: 50e9, now: null },
  supervisor: {
    host: 'desk', feed_workers_wanted: 2, feed_workers_running: 2,
    parts: Object.fromEntries(['listener', 'feed1', 'feed2', 'scans', 'jobs', 'beat', 'web', 'simulate', 'valkey'].map((name, index) =>
      [name, { pid: 1_101 + index, state: 'running', restarts: 0, last_ending: '', next_start_at: null }])),
  },
  operations_running: [],
  figures: { in_per_s: 10_012, out_per_s: 10_004, queue_depth: 2 },
}
