import { onScopeDispose, shallowRef, type ShallowRef } from 'vue'

import { isBoardData, type BoardData, type FeedListener, type Row, type WdsClient } from '../wds'
import { reconcile } from './reconcile'

/** The live content of one board. */
export interface BoardContent {
  /** Null while the server has nothing for this board, or has not answered yet. */
  readonly rows: Readonly<ShallowRef<readonly Row[] | null>>
  /** When the last message of this board arrived, on the clock of `performance.now()`; null before the first. */
  readonly receivedAt: Readonly<ShallowRef<number | null>>
  /** Why the server does not serve this board; empty while it does. */
  readonly refusal: Readonly<ShallowRef<string>>
}

/** Values a second: as often as the fastest board is ranked, and as often as eyes can follow. */
const MAX_RATE = 4

/** Follows a board's feed for as long as the component that calls this lives. */
export function useBoard(client: WdsClient, slug: string): BoardContent {
  const rows = shallowRef<readonly Row[] | null>(null)
  const receivedAt = shallowRef<number | null>(null)
  const refusal = shallowRef('')
  let received: BoardData = null
  const listener: FeedListener = {
    onData(data, value) {
      if (!isBoardData(data)) {
        refusal.value = 'the server sent something that is no board'
        return
      }
      // Where only the heart beat, the rows are the very same.
      if (data !== received) rows.value = data === null ? null : reconcile(rows.value ?? [], data)
      received = data
      receivedAt.value = value.receivedAt
      refusal.value = ''
    },
    onRefused(reason) {
      rows.value = received = null
      refusal.value = reason
    },
  }
  const leave = client.subscribe(`scanners:${slug}`, listener, { delta: true, maxRate: MAX_RATE })
  onScopeDispose(leave)
  return { rows, receivedAt, refusal }
}
