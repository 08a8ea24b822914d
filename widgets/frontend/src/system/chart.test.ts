import { describe, expect, test } from 'vitest'

import { draw, HEIGHT, nearest, roundUp, scaleTop, WIDTH, type Point } from './chart'

const SPAN = { from: 0, to: 100_000 }
const at = (time: number, value: number | null): Point => ({ at: time, value })

describe('the scale', () => {
  test.each([[0, 1], [0.7, 0.8], [1, 1], [11, 15], [10_012, 15_000], [64, 80], [999, 1_000]])('%s ends at %s', (value, top) => {
    expect(roundUp(value)).toBeCloseTo(top)
  })

  test('noise at nothing stays flat, and unknown values count for nothing', () => {
    expect(scaleTop([at(0, 0.02), at(1, null)], 10)).toBe(10)
  })
})

describe('the drawing', () => {
  test('goes from the first value at the left to the last at the right, higher for more', () => {
    const { line } = draw([at(0, 0), at(10_000, 50)], { from: 0, to: 10_000 }, 50)
    expect(line).toBe(`M0.0,${HEIGHT}.0L${WIDTH}.0,2.0`)
  })

  test('has a gap where nothing is known, and where nobody gathered for a while', () => {
    const points = [at(0, 1), at(5_000, 1), at(10_000, null), at(15_000, 1), at(60_000, 1), at(65_000, 1)]
    expect(draw(points, SPAN, 1).line.match(/M/g)).toHaveLength(3)
  })

  test('never leaves its frame', () => {
    expect(draw([at(0, 500), at(5_000, -3)], SPAN, 1).line).toBe(`M0.0,2.0L15.0,${HEIGHT}.0`)
  })

  test('of nothing is nothing', () => {
    expect(draw([], SPAN, 1)).toEqual({ line: '', area: '' })
  })
})

test('under the pointer stands the value that is nearest in time, none across a gap', () => {
  const points = [at(0, 1), at(5_000, 2), at(60_000, 3)]
  expect(nearest(points, 3_000)?.value).toBe(2)
  expect(nearest(points, 1_000)?.value).toBe(1)
  expect(nearest(points, 70_000)?.value).toBe(3)
  expect(nearest(points, 30_000)).toBeNull()
  expect(nearest([], 0)).toBeNull()
})
