/** How well something does, as a colour: by what the server says is wrong with it. */

import type { Problem, Running } from './state'

export type Tone = 'good' | 'warn' | 'bad' | 'idle'

/** The worst of the problems of some components. */
export function toneOf(problems: readonly Problem[], concerns: (component: string) => boolean): Tone {
  const own = problems.filter(({ component }) => concerns(component))
  if (own.some(({ severity }) => severity === 'error')) return 'bad'
  return own.length > 0 ? 'warn' : 'good'
}

export const RUNNING_TONES: Readonly<Record<Running, Tone>> = { running: 'good', silent: 'warn', gone: 'bad' }

/** A tone by two limits, the lower first. */
export function graded(value: number | null | undefined, warn: number, bad: number): Tone {
  if (value === null || value === undefined) return 'idle'
  return value >= bad ? 'bad' : value >= warn ? 'warn' : 'good'
}

export const isFeedWorker = (component: string): boolean => /^feed\d|^feed worker/.test(component)
export const isWeb = (component: string): boolean => /^web\d*\b|^wds\b/.test(component)
