/** What `status:components` carries each second: how every component does. Times are epoch ms, rates a second. */

export type Severity = 'error' | 'warning'
export type Running = 'running' | 'silent' | 'gone'

/** Something that is wrong, in words, and what to do. */
export interface Problem {
  readonly id: string
  readonly severity: Severity
  readonly component: string
  readonly text: string
  readonly advice: string
  readonly since: number
}

/** A problem that is over; told for a minute. */
export interface Recovery {
  readonly id: string
  readonly component: string
  readonly text: string
  readonly at: number
  readonly lasted_ms: number
}

export interface Source {
  readonly id: string
  readonly kind: 'live' | 'simulator' | 'recording' | ''
  readonly speed: number
  readonly lossless: boolean
  readonly since: number
  readonly session: string
  readonly market_clock: number | null
  readonly newest_event_at: number | null
  readonly delay_ms: number | null
}

export interface Listener {
  readonly state: string
  readonly since: number
  readonly reason: string
  readonly feed: string
  readonly market: string
  readonly subscriptions: readonly string[]
  readonly buffered_bytes: number
  readonly buffer_bytes: number
  readonly settings_revision: number | null
  readonly wanted_revision: number | null
  readonly in_per_s: number
  readonly published_per_s: number
}

/** Every term of one feed's accounts, in events (the two sums of the design's rule 5). */
export interface FeedAccounts {
  readonly received: number
  readonly malformed: number
  readonly dropped: number
  readonly buffered: number
  readonly published: number
  readonly processed: number
  readonly expired_broker: number
  readonly expired_worker: number
  readonly expired_age: number
  readonly overflowed: number
  readonly failed: number
  readonly lost: number
  readonly in_flight: number
  readonly duplicate: number
  readonly unbalanced: number
  readonly in_per_s: number
  readonly out_per_s: number
  readonly lost_per_min: number
  readonly malformed_per_min: number
}

export interface Queue {
  readonly name: string
  readonly depth: number | null
  readonly oldest_ms: number | null
  readonly in_per_s: number | null
  readonly out_per_s: number | null
  readonly consumers: number | null
}

/** A process of the system. */
export interface Component {
  readonly name: string
  readonly kind: string
  readonly host: string
  readonly pid: number
  readonly since: number
  readonly state: Running
  readonly silent_ms: number
  readonly rss_bytes: number
  readonly cpu_pct: number
  readonly threads: number
  readonly log_level: string
}

export interface Percentiles {
  readonly p50: number | null
  readonly p99: number | null
  readonly max: number | null
}

export interface Worker {
  readonly name: string
  readonly kind: string
  readonly host: string
  readonly pid: number
  readonly queues: readonly string[]
  readonly since: number
  readonly state: Running
  readonly busy_pct: number
  readonly batches_per_s: number
  readonly events_per_s: number
  readonly rss_bytes: number
  readonly cpu_pct: number
  readonly log_level: string
  readonly merge_ms: Percentiles
}

export interface Jobs {
  readonly processes: number
  readonly least: number
  readonly most: number
  readonly busy: number
  readonly active: readonly string[]
  readonly reserved: readonly string[]
}

export interface ScannerRun {
  readonly rows: number | null
  readonly ms: number | null
  readonly failing: string
  readonly slow: boolean
}

export interface Engine {
  readonly last_tick_ms: number | null
  readonly tick_ms: Percentiles
  readonly ticks_per_s: number
  readonly silent_ms: number | null
  readonly running: number
  readonly scanners: Readonly<Record<string, ScannerRun>>
}

export interface Cache {
  readonly server: string
  readonly since: number
  readonly answer_ms: number
  readonly used_bytes: number
  readonly max_bytes: number
  readonly keys: number
  readonly hit_rate: number | null
  readonly ops_per_s: number
  readonly clients: number
  readonly evicted: number
  readonly aof: string
}

/** A server that is asked whether it answers. */
export interface Service {
  readonly kind: string
  readonly ok: boolean
  readonly answer_ms: number | null
  readonly problem: string
  readonly since: number
}

export interface Web {
  readonly process: string
  readonly name: string
  readonly since: number
  readonly sockets: number
  readonly authorised: number
  readonly subscriptions: number
  readonly deliveries_per_s: number
  readonly bytes_per_s: number
  readonly sent: number
  readonly dropped: number
  readonly conflated: number
  readonly behind_ms: number
  readonly draining: boolean
  readonly gathers: boolean
  readonly rss_bytes: number
  readonly cpu_pct: number
}

export interface SlowClient {
  readonly process: string
  readonly username: string
  readonly address: string
  readonly behind_ms: number
  readonly waiting_bytes: number
  readonly dropped: number
}

export interface Wds {
  readonly sockets: number
  readonly subscriptions: number
  readonly deliveries_per_s: number
  readonly bytes_per_s: number
  readonly dropped: number
  readonly conflated: number
  readonly behind_ms: number
  readonly feeds: Readonly<Record<string, number>>
  readonly slowest: readonly SlowClient[]
}

export interface ReferenceKind {
  readonly symbols: number
  readonly at: number | null
  readonly age_s: number | null
  readonly whole: boolean
  readonly problem: string
}

export interface Reference {
  readonly day: number | null
  readonly symbols: number
  readonly age_s: number | null
  readonly kinds: Readonly<Record<string, ReferenceKind>>
}

export interface Recordings {
  readonly bytes: number | null
  readonly free_bytes: number | null
  readonly disk_bytes: number | null
  readonly files: number | null
  readonly most_bytes: number
  readonly now: {
    readonly file: string
    readonly frames: number
    readonly bytes: number
    readonly dropped: number
    readonly problem: string
  } | null
}

export interface Part {
  readonly pid: number | null
  readonly state: string
  readonly restarts: number
  readonly last_ending: string
  readonly next_start_at: number | null
}

export interface Supervisor {
  readonly host: string
  readonly parts: Readonly<Record<string, Part>>
  readonly feed_workers_wanted: number | null
  readonly feed_workers_running: number | null
}

export interface RunningOperation {
  readonly audit_id: number
  readonly operation: string
  readonly target: string
  readonly username: string
  readonly at: number
}

export interface SystemState {
  readonly at: number
  readonly gathered_by: string
  readonly health: 'ok' | Severity
  readonly problems: readonly Problem[]
  readonly recoveries: readonly Recovery[]
  readonly source: Source
  readonly listener: Listener
  readonly feeds: Readonly<Record<string, FeedAccounts>>
  readonly queues: readonly Queue[]
  readonly components: readonly Component[]
  readonly workers: readonly Worker[]
  readonly jobs: Jobs
  readonly engine: Engine
  readonly latency: Readonly<Record<string, Percentiles>>
  readonly cache: Cache
  readonly broker: Service
  readonly database: Service
  readonly web: readonly Web[]
  readonly wds: Wds
  readonly reference: Reference
  readonly recordings: Recordings
  readonly supervisor: Supervisor | null
  readonly operations_running: readonly RunningOperation[]
  /** The present values of what the history keeps, by the same names. */
  readonly figures: Readonly<Record<string, number | null>>
}

/** Whether the value has the parts of a state that the page depends on. */
export function isSystemState(value: unknown): value is SystemState {
  if (typeof value !== 'object' || value === null) return false
  const state = value as Record<string, unknown>
  const objects = ['source', 'listener', 'feeds', 'jobs', 'engine', 'latency', 'cache', 'broker', 'database', 'wds', 'reference', 'recordings', 'figures']
  const lists = ['problems', 'recoveries', 'queues', 'components', 'workers', 'web', 'operations_running']
  return typeof state.at === 'number' && objects.every((name) => typeof state[name] === 'object' && state[name] !== null)
    && lists.every((name) => Array.isArray(state[name]))
}
