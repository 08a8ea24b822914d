/** The controls: what may be done to the system, and doing it. */

import { shallowRef, type ShallowRef } from 'vue'

import { Refused, type Api } from './api'
import type { Choice, Schema, Value } from './schema'

/** A control as the server describes it. */
export interface Operation {
  readonly name: string
  readonly subject: string
  readonly title: string
  /** What will happen, and to whom. */
  readonly confirm: string
  readonly danger: boolean
  readonly permitted: boolean
  readonly parameters: Schema
  /** What can be chosen at this moment, by parameter. */
  readonly choices: Readonly<Record<string, readonly Choice[]>>
  /** The values that stand now, by parameter. */
  readonly current: Readonly<Record<string, unknown>>
}

/** An entry of the audit log. */
export interface AuditEntry {
  readonly id: number
  readonly at: string
  readonly username: string
  readonly via: string
  readonly operation: string
  readonly target: string
  readonly parameters: Readonly<Record<string, unknown>>
  readonly before: unknown
  readonly after: unknown
  readonly state: 'asked' | 'done' | 'failed' | 'unanswered'
  readonly result: string
  readonly finished_at: string | null
}

/** What came of asking for an operation. */
export interface Outcome {
  readonly state: 'done' | 'failed' | 'unanswered' | 'refused'
  readonly said: string
  readonly entry: AuditEntry | null
  /** What is wrong with which parameter. */
  readonly errors: Readonly<Record<string, readonly string[]>>
}

export interface Operations {
  readonly known: Readonly<ShallowRef<ReadonlyMap<string, Operation>>>
  /** Why they cannot be had, in words; empty while they can. */
  readonly trouble: Readonly<ShallowRef<string>>
  /** The last ones that were asked for, newest first. */
  readonly log: Readonly<ShallowRef<readonly AuditEntry[]>>
  load: () => Promise<void>
  loadLog: () => Promise<void>
  perform: (name: string, parameters: Readonly<Record<string, Value>>) => Promise<Outcome>
}

const SHOWN_ENTRIES = 10

export function useOperations(api: Api): Operations {
  const known = shallowRef<ReadonlyMap<string, Operation>>(new Map())
  const trouble = shallowRef('')
  const log = shallowRef<readonly AuditEntry[]>([])

  async function load(): Promise<void> {
    try {
      const listed = (await api.get('operations')) as readonly Operation[]
      known.value = new Map(listed.map((operation) => [operation.name, operation]))
      trouble.value = ''
    } catch (error) {
      trouble.value = error instanceof Refused ? error.message : String(error)
    }
  }

  async function loadLog(): Promise<void> {
    try {
      log.value = (await api.get(`audit?limit=${SHOWN_ENTRIES}`)) as readonly AuditEntry[]
    } catch (error) {
      // Who may not read the log sees none; anything else shows in what the page says of the server.
      if (!(error instanceof Refused)) throw error
    }
  }

  async function perform(name: string, parameters: Readonly<Record<string, Value>>): Promise<Outcome> {
    try {
      const entry = (await api.post(`operations/${name}`, parameters)) as AuditEntry
      return { state: entry.state === 'asked' ? 'unanswered' : entry.state, said: entry.result, entry, errors: {} }
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      return outcomeOf(error)
    }
  }

  return { known, trouble, log, load, loadLog, perform }
}

/** A problem of the API as an outcome: 409 failed, 504 unanswered, all else was refused before anything was done. */
export function outcomeOf({ status, message, body }: Refused): Outcome {
  const entry = isEntry(body.entry) ? body.entry : null
  const errors = (typeof body.errors === 'object' && body.errors !== null ? body.errors : {}) as Outcome['errors']
  const state = status === 409 ? 'failed' : status === 504 || status === 0 ? 'unanswered' : 'refused'
  return { state, said: message, entry, errors }
}

function isEntry(value: unknown): value is AuditEntry {
  return typeof value === 'object' && value !== null && 'id' in value && 'operation' in value
}

export interface Change {
  readonly name: string
  readonly before: string
  readonly after: string
}

/** What an operation changed, name by name; the same before and after is left out. */
export function changesOf(before: unknown, after: unknown): readonly Change[] {
  const [old, fresh] = [record(before), record(after)]
  return [...new Set([...Object.keys(old), ...Object.keys(fresh)])]
    .map((name) => ({ name, before: shown(old[name]), after: shown(fresh[name]) }))
    .filter((change) => change.before !== change.after)
}

function record(value: unknown): Record<string, unknown> {
  if (value === null || value === undefined) return {}
  return typeof value === 'object' && !Array.isArray(value) ? (value as Record<string, unknown>) : { '': value }
}

function shown(value: unknown): string {
  if (value === null || value === undefined || value === '') return '–'
  if (typeof value === 'boolean') return value ? 'on' : 'off'
  if (Array.isArray(value)) return value.map(shown).join(', ')
  return typeof value === 'string' ? value : JSON.stringify(value)
}
