import { expect, test } from 'vitest'

import { samplesOf } from './history'
import { KEPT_MS, merged, withSample, type Sample } from './trends'

const sample = (at: number, value = at): Sample => ({ at, figures: { value } })

test('of the samples that come each second one in five stays, and the newest', () => {
  let samples: readonly Sample[] = []
  for (let second = 0; second <= 23; second++) samples = withSample(samples, sample(second * 1_000))
  expect(samples.map(({ at }) => at / 1_000)).toEqual([0, 5, 10, 15, 20, 23])
})

test('what is older than a quarter of an hour goes', () => {
  let samples: readonly Sample[] = []
  for (let at = 0; at <= 2 * KEPT_MS; at += 5_000) samples = withSample(samples, sample(at))
  expect((samples.at(-1)?.at ?? 0) - (samples[0]?.at ?? 0)).toBeLessThanOrEqual(KEPT_MS + 10_000)
})

test('one that comes late or twice changes nothing', () => {
  const samples = withSample([], sample(5_000))
  expect(withSample(samples, sample(5_000, 7))).toBe(samples)
  expect(withSample(samples, sample(4_000))).toBe(samples)
})

test('what the page has seen stands behind what the server kept, each once', () => {
  const kept = [sample(0), sample(5_000)]
  expect(merged(kept, [sample(4_000), sample(5_000), sample(6_000)]).map(({ at }) => at)).toEqual([0, 5_000, 6_000])
  expect(merged([], [sample(1)]).map(({ at }) => at)).toEqual([1])
})

test('the history comes as columns, and with unknown values', () => {
  expect(samplesOf({ every_ms: 5_000, at: [1, 2], figures: { a: [3, null], b: [5] } })).toEqual([
    { at: 1, figures: { a: 3, b: 5 } }, { at: 2, figures: { a: null, b: null } },
  ])
  expect(samplesOf({ detail: 'no' })).toEqual([])
})
