/** The figures of the last fifteen minutes: what the server kept, and what has come since. */

import { inject, provide, ref, shallowRef, type InjectionKey, type Ref, type ShallowRef } from 'vue'

import type { Point, Span } from './chart'

export interface Sample {
  /** Epoch ms. */
  readonly at: number
  readonly figures: Readonly<Record<string, number | null>>
}

export const KEPT_MS = 15 * 60_000
/** The server keeps one in so long; so does the page, and shows the newest besides. */
export const EVERY_MS = 5_000

/** Adds a sample in the order of time. Of those closer together than the server keeps them, the last stays. */
export function withSample(samples: readonly Sample[], sample: Sample): readonly Sample[] {
  const last = samples.at(-1)
  if (last !== undefined && sample.at <= last.at) return samples
  const before = samples.at(-2)
  const kept = samples.filter(({ at }) => at > sample.at - KEPT_MS - EVERY_MS)
  if (last !== undefined && before !== undefined && sample.at - before.at <= EVERY_MS) return [...kept.slice(0, -1), sample]
  return [...kept, sample]
}

/** What the server kept, and behind it what the page has seen since. */
export function merged(kept: readonly Sample[], seen: readonly Sample[]): readonly Sample[] {
  const newest = kept.at(-1)?.at ?? -Infinity
  return [...kept, ...seen.filter(({ at }) => at > newest)]
}

export interface Trends {
  readonly pointsOf: (figure: string) => readonly Point[]
  readonly span: Readonly<Ref<Span>>
  /** Where the pointer is on any chart, epoch ms; all charts show their value of that time. */
  readonly hoveredAt: Ref<number | null>
}

const KEY: InjectionKey<Trends> = Symbol('trends')

export interface TrendsKeeper {
  readonly samples: ShallowRef<readonly Sample[]>
  /** Takes over what the server kept. */
  fill: (kept: readonly Sample[]) => void
  add: (sample: Sample) => void
}

/** Keeps the figures for all charts of the component that calls this. */
export function provideTrends(): TrendsKeeper {
  const samples = shallowRef<readonly Sample[]>([])
  const span = ref<Span>({ from: Date.now() - KEPT_MS, to: Date.now() })
  function moved(): void {
    const to = samples.value.at(-1)?.at ?? Date.now()
    span.value = { from: to - KEPT_MS, to }
  }
  provide(KEY, {
    pointsOf: (figure) => samples.value.map(({ at, figures }) => ({ at, value: figures[figure] ?? null })),
    span,
    hoveredAt: ref(null),
  })
  return {
    samples,
    fill(kept) {
      samples.value = merged(kept, samples.value)
      moved()
    },
    add(sample) {
      samples.value = withSample(samples.value, sample)
      moved()
    },
  }
}

export function useTrends(): Trends {
  const trends = inject(KEY)
  if (trends === undefined) throw new Error('Charts stand inside a component that keeps their figures.')
  return trends
}
