import { expect, test } from 'vitest'

import { backoffDelay, delayAfterClose, delayAfterNotice } from './delays'

test('the delay grows with the attempts, between half a second and fifteen', () => {
  expect(backoffDelay(0, 0)).toBe(500)
  expect(backoffDelay(0, 0.999)).toBeLessThanOrEqual(1000)
  expect(backoffDelay(3, 0.5)).toBe(4250)
  expect(backoffDelay(50, 0.9999)).toBeLessThanOrEqual(15_000)
  expect(backoffDelay(50, 0)).toBe(500)
})

test.each([
  [1006, 500, 1_000], [1012, 500, 5_000], [1013, 2_000, 10_000], [4429, 15_000, 45_000],
])('after close %i clients come back between %i and %i ms', (code, least, most) => {
  expect(delayAfterClose(code, 0, 0)).toBe(least)
  expect(delayAfterClose(code, 0, 1)).toBe(most)
})

test('a server that keeps restarting is asked ever less often', () => {
  expect(delayAfterClose(1012, 10, 0.99)).toBeGreaterThan(14_000)
})

test('a notice is followed to the moment, within reason, and never in step', () => {
  expect(delayAfterNotice(1_200, 0)).toBe(1_200)
  expect(delayAfterNotice(1_200, 0.5)).toBe(1_325)
  expect(delayAfterNotice(1e9, 0)).toBe(60_000)
})
