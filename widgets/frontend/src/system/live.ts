/** The newest state of the system: over the socket, and by asking once a second while that is silent. */

import { onScopeDispose, shallowRef, type ShallowRef } from 'vue'

import type { ConnectionState, WdsClient } from '../wds'
import type { Api } from './api'
import { Refused } from './api'
import { isSystemState, type SystemState } from './state'

export const FEED = 'status:components'
/** It comes every second; silent for so long, it is asked for. */
export const SILENT_MS = 2_500
const ASK_EVERY_MS = 1_000

export interface Live {
  readonly state: Readonly<ShallowRef<SystemState | null>>
  /** When the newest state arrived, on the clock of `performance.now()`. */
  readonly heardAt: Readonly<ShallowRef<number | null>>
  readonly connection: Readonly<ShallowRef<ConnectionState>>
  /** The way that the newest state came. */
  readonly way: Readonly<ShallowRef<'socket' | 'asked'>>
  /** Why asking failed last; null when it did not. */
  readonly trouble: Readonly<ShallowRef<Refused | null>>
}

/** Follows the state for as long as the component that calls this lives. */
export function useLive(client: WdsClient, api: Api): Live {
  const state = shallowRef<SystemState | null>(null)
  const heardAt = shallowRef<number | null>(null)
  const connection = shallowRef<ConnectionState>(client.state)
  const way = shallowRef<'socket' | 'asked'>('socket')
  const trouble = shallowRef<Refused | null>(null)
  let asking = false

  function take(value: unknown, by: 'socket' | 'asked'): void {
    if (!isSystemState(value)) return
    if (by === 'socket') trouble.value = null
    if (state.value !== null && value.at <= state.value.at) return
    state.value = value
    heardAt.value = performance.now()
    way.value = by
  }

  async function ask(): Promise<void> {
    const silent = heardAt.value === null || performance.now() - heardAt.value > (way.value === 'asked' ? ASK_EVERY_MS * 0.5 : SILENT_MS)
    if (asking || !silent || document.hidden) return
    asking = true
    try {
      const value = await api.get('system')
      trouble.value = null
      take(value, 'asked')
    } catch (error) {
      trouble.value = error instanceof Refused ? error : new Refused('The server’s answer cannot be understood.', 0)
    } finally {
      asking = false
    }
  }

  onScopeDispose(client.onState((now) => (connection.value = now)))
  onScopeDispose(client.subscribe(FEED, { onData: (data) => take(data, 'socket') }, { staleAfterMs: 5_000 }))
  const timer = setInterval(() => void ask(), ASK_EVERY_MS)
  onScopeDispose(() => clearInterval(timer))
  return { state, heardAt, connection, way, trouble }
}
