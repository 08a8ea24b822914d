import { onScopeDispose, shallowRef, type ShallowRef } from 'vue'

import type { WdsClient } from '../wds/client'
import { isBoardData, type Row } from '../wds/protocol'
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

/** Follows a board's feed for as long as the component that calls this lives. */
export function useBoard(client: WdsClient, slug: string): BoardContent {
  const rows = shallowRef<readonly Row[] | null>(null)
  const receivedAt = shallowRef<number | null>(null)
  const refusal = shallowRef('')
  const leave = client.subscribe(`scanners:${slug}`, {
    onData(data, at) {
      if (!isBoardData(data)) {
        refusal.value = 'the server sent something that is no board'
        return
      }
      rows.value = data === null ? null : reconcile(rows.value ?? [], data)
      receivedAt.value = at
      refusal.value = ''
    },
    onRefused(reason) {
      refusal.value = reason
    },
  })
  onScopeDispose(leave)
  return { rows, receivedAt, refusal }
}
