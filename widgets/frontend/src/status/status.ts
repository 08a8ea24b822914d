import { onScopeDispose, shallowRef, type ShallowRef } from 'vue'

import type { ConnectionState, WdsClient } from '../wds/client'
import { isStatus, type Status } from '../wds/protocol'
import { MarketClock } from './clock'

export interface MarketStatus {
  readonly connection: Readonly<ShallowRef<ConnectionState>>
  readonly status: Readonly<ShallowRef<Status | null>>
  readonly clock: MarketClock
}

/** Follows the connection and the feed `status` for as long as the component that calls this lives. */
export function useStatus(client: WdsClient): MarketStatus {
  const connection = shallowRef<ConnectionState>(client.state)
  const status = shallowRef<Status | null>(null)
  const clock = new MarketClock()
  onScopeDispose(client.onState((state) => (connection.value = state)))
  onScopeDispose(
    client.subscribe('status', {
      onData(data, receivedAt) {
        if (!isStatus(data)) return
        status.value = data
        clock.follow(data, receivedAt)
      },
    }),
  )
  return { connection, status, clock }
}
