import { expect, test } from 'vitest'

import { backoffDelay } from './backoff'

test('the delay grows with the attempts, between half a second and fifteen', () => {
  expect(backoffDelay(0, 0)).toBe(500)
  expect(backoffDelay(0, 0.999)).toBeLessThanOrEqual(1000)
  expect(backoffDelay(3, 0.5)).toBe(4250)
  expect(backoffDelay(50, 0.9999)).toBeLessThanOrEqual(15_000)
  expect(backoffDelay(50, 0)).toBe(500)
})
