/** Figures as operators read them: short, each with its unit's word. Nothing known is an en dash. */

import { compact, formatAge, formatDelay, NOTHING } from '../format'

export type Figure = number | null | undefined
export type Format = (value: Figure) => string

const counts = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

function known(say: (value: number) => string): Format {
  return (value) => (value === null || value === undefined || !Number.isFinite(value) ? NOTHING : say(value))
}

/** 12,345 */
export const count = known((value) => counts.format(value))
/** 12,345 up to ten thousand, then 12.3K */
export const short = known((value) => (Math.abs(value) < 10_000 ? counts.format(value) : compact(value)))
/** 9.7/s, 12,345/s, 104K/s */
export const rate = known((value) =>
  `${value !== 0 && Math.abs(value) < 9.95 ? value.toFixed(1) : Math.abs(value) < 99_950 ? counts.format(value) : compact(value)}/s`)
/** 4.2 ms, 48 ms, 1.2 s */
export const delay = known((value) => (value > 0 && value < 9.95 ? `${value.toFixed(1)} ms` : formatDelay(value)))
export const age = known(formatAge)
/** 3.4 %, 48 % */
export const percent = known((value) => `${value > 0 && value < 9.95 ? value.toFixed(1) : counts.format(value)} %`)

const BYTES = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'] as const

/** Powers of a thousand: 812 B, 4.1 MB, 38 GB */
export const bytes = known((value) => {
  let [size, power] = [Math.abs(value), 0]
  while (size >= 999.5 && power < BYTES.length - 1) {
    size /= 1_000
    power += 1
  }
  return `${value < 0 ? '−' : ''}${power > 0 && size < 9.95 ? size.toFixed(1) : counts.format(size)} ${BYTES[power] ?? 'B'}`
})
export const byteRate = known((value) => `${bytes(value)}/s`)

/** How long something has lasted, in its two greatest units: 42 s, 5 min 12 s, 3 h 5 min, 2 d 4 h */
export const lasting = known((ms) => {
  const seconds = Math.max(0, Math.floor(ms / 1_000))
  const [d, h, m, s] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600) % 24, Math.floor(seconds / 60) % 60, seconds % 60]
  if (d > 0) return `${d} d ${h} h`
  if (h > 0) return `${h} h ${m} min`
  return m > 0 ? `${m} min ${s} s` : `${s} s`
})

/** `1 worker`, `2 workers`. */
export function many(value: number, one: string, more = `${one}s`): string {
  return `${counts.format(value)} ${value === 1 ? one : more}`
}

/** `expired_broker` as people write it: `expired broker`. */
export function words(name: string): string {
  return name.replaceAll('_', ' ')
}
