import { onScopeDispose, shallowRef, type ShallowRef } from 'vue'

import { isStatus, type ConnectionState, type FeedListener, type Status, type WdsClient } from '../wds'
import { MarketClock } from './clock'

export interface MarketStatus {
  readonly connection: Readonly<ShallowRef<ConnectionState>>
  readonly status: Readonly<ShallowRef<Status | null>>
  readonly clock: MarketClock
}

/** It comes every second: five silent seconds are not normal. */
const STALE_AFTER_MS = 5_000

/** Follows the connection and the feed `status` for as long as the component that calls this lives. */
export function useStatus(client: WdsClient): MarketStatus {
  const connection = shallowRef<ConnectionState>(client.state)
  const status = shallowRef<Status | null>(null)
  const clock = new MarketClock()
  onScopeDispose(client.onState((state) => (connection.value = state)))
  const listener: FeedListener = {
    onData(data, { receivedAt }) {
      if (!isStatus(data)) return
      status.value = data
      clock.follow(data, receivedAt)
    },
  }
  onScopeDispose(client.subscribe('status', listener, { staleAfterMs: STALE_AFTER_MS }))
  return { connection, status, clock }
}
