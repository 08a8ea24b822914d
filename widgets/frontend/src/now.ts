import { onScopeDispose, shallowRef, type ShallowRef } from 'vue'

const EVERY_MS = 200

/** The clock of `performance.now()` as a ref for ages and count-downs; stands still while the page is hidden. */
export function useNow(): Readonly<ShallowRef<number>> {
  const now = shallowRef(performance.now())
  const timer = setInterval(() => {
    if (!document.hidden) now.value = performance.now()
  }, EVERY_MS)
  onScopeDispose(() => clearInterval(timer))
  return now
}
