/** Values as people read them, by unit. Nothing known is an en dash; a negative sign is a real minus, as wide as a plus. */

import type { Scalar } from './wds'

/** What the server calls the units of its fields; one that is not known here is shown as plain text. */
export type Unit =
  | 'usd' | 'usd_signed' | 'percent' | 'percent_plain' | 'ratio' | 'shares' | 'count' | 'notional' | 'time' | 'countdown'
  | 'text' | 'flag'

export const NOTHING = '–'
const MINUS = '−'

const counts = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })
const fixed = [0, 1, 2, 3, 4].map(
  (digits) => new Intl.NumberFormat('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits }),
)
const newYorkTime = new Intl.DateTimeFormat('en-US', {
  timeZone: 'America/New_York', hourCycle: 'h23', hour: '2-digit', minute: '2-digit', second: '2-digit',
})
const newYorkDay = new Intl.DateTimeFormat('en-CA', { timeZone: 'America/New_York' })
const newYorkDate = new Intl.DateTimeFormat('en-GB', { timeZone: 'America/New_York', day: 'numeric', month: 'short' })

function digits(value: number, places: number): string {
  return (fixed[places] ?? counts).format(value)
}

function signed(value: number, places: number, suffix: string): string {
  const text = digits(Math.abs(value), places)
  // What rounds to zero has no sign: "−0.00" says something that is not so.
  const sign = Number(text.replaceAll(',', '')) === 0 ? '' : value > 0 ? '+' : MINUS
  return `${sign}${text}${suffix}`
}

/** Dollars: two decimals, four below one dollar, as such prices are quoted. */
function usd(value: number): string {
  const size = Math.abs(value)
  return `${value < 0 ? MINUS : ''}${digits(size, size < 1 && size > 0 ? 4 : 2)}`
}

function usdSigned(value: number): string {
  return signed(value, Math.abs(value) < 0.1 && value !== 0 ? 4 : 2, '')
}

const COMPACT: readonly (readonly [number, string])[] = [[1e12, 'T'], [1e9, 'B'], [1e6, 'M'], [1e3, 'K']]

/** Three significant digits with a letter from a thousand up: 999, 1.00K, 12.3K, 1.23M. */
export function compact(value: number): string {
  const size = Math.abs(value)
  const sign = value < 0 ? MINUS : ''
  for (const [scale, letter] of COMPACT) {
    // 999.5 rounds into the next letter: "1.00K", never "1000".
    if (size < scale * 0.9995) continue
    const scaled = size / scale
    return `${sign}${digits(scaled, scaled < 9.995 ? 2 : scaled < 99.95 ? 1 : 0)}${letter}`
  }
  return `${sign}${digits(size, 0)}`
}

/** Time of day in New York, HH:MM:SS, of epoch milliseconds. */
export function timeOfDay(epochMs: number): string {
  return newYorkTime.format(epochMs)
}

/** Time of day in New York, or the date ("19 Nov") when that is not the trading day (YYYY-MM-DD). */
export function timeOn(tradingDay: string, epochMs: number): string {
  return newYorkDay.format(epochMs) === tradingDay ? timeOfDay(epochMs) : newYorkDate.format(epochMs)
}

/** The text of a value in its unit. Numbers that are not finite, null and undefined are an en dash. */
export function formatValue(unit: Unit, value: Scalar | undefined): string {
  if (value === null || value === undefined) return NOTHING
  if (typeof value === 'boolean') return value ? 'Yes' : 'No'
  if (unit === 'text' || unit === 'flag' || typeof value === 'string') return value === '' ? NOTHING : String(value)
  if (!Number.isFinite(value)) return NOTHING
  switch (unit) {
    case 'usd':
      return usd(value)
    case 'usd_signed':
      return usdSigned(value)
    case 'percent':
      return signed(value, 2, '%')
    case 'percent_plain':
      return `${digits(value, 2)}%`
    case 'ratio':
      return `${digits(value, Math.abs(value) >= 99.995 ? 0 : 2)}×`
    case 'shares':
      return compact(value)
    case 'count':
      return counts.format(value)
    case 'notional':
      return value < 0 ? `${MINUS}$${compact(-value)}` : `$${compact(value)}`
    case 'time':
    case 'countdown':
      return timeOfDay(value)
    default:
      return String(value)
  }
}

/** How long ago, in the coarsest words that still say something: "0.3 s", "42 s", "5 min", "3 h". */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, ms) / 1000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 120) return `${Math.floor(seconds)} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`
  return `${Math.floor(seconds / 3600)} h`
}

/** A delay: "42 ms", "1.2 s", "15 min". */
export function formatDelay(ms: number): string {
  return ms < 1000 ? `${Math.max(0, Math.round(ms))} ms` : formatAge(ms)
}

/** A count-down: "6:18:37", "18:37". */
export function formatCountdown(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000))
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  const pad = (part: number): string => String(part).padStart(2, '0')
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${pad(m)}:${pad(s)}`
}

/** Upper bounds, in percent, of the five strengths of a move. */
const STRENGTHS = [1, 4, 10, 25] as const

/** How strong a move is: 0 none, 1 to 5 ever stronger. */
export function moveStrength(percent: number): number {
  const size = Math.abs(percent)
  if (!(size > 0.005)) return 0
  const index = STRENGTHS.findIndex((bound) => size < bound)
  return index === -1 ? 5 : index + 1
}
