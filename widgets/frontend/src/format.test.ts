import { expect, test } from 'vitest'

import { compact, formatAge, formatCountdown, formatDelay, formatValue, moveStrength, NOTHING, timeOn, type Unit } from './format'

test('prices show cents, and four decimals below a dollar', () => {
  expect(formatValue('usd', 12.5)).toBe('12.50')
  expect(formatValue('usd', 1)).toBe('1.00')
  expect(formatValue('usd', 0.9217)).toBe('0.9217')
  expect(formatValue('usd', 1234.5)).toBe('1,234.50')
  expect(formatValue('usd', 0)).toBe('0.00')
})

test('signed values carry a plus or a real minus, and none when they round to zero', () => {
  expect(formatValue('percent', 4.256)).toBe('+4.26%')
  expect(formatValue('percent', -12)).toBe('−12.00%')
  expect(formatValue('percent', -0.001)).toBe('0.00%')
  expect(formatValue('percent', 1441.5)).toBe('+1,441.50%')
  expect(formatValue('percent_plain', 0.617)).toBe('0.62%')
  expect(formatValue('usd_signed', 3.61)).toBe('+3.61')
  expect(formatValue('usd_signed', -0.0123)).toBe('−0.0123')
})

test('what is not known or not finite is a dash in every unit', () => {
  for (const value of [null, undefined, Number.NaN, Infinity, -Infinity]) {
    expect(formatValue('percent', value)).toBe(NOTHING)
    expect(formatValue('shares', value)).toBe(NOTHING)
    expect(formatValue('time', value)).toBe(NOTHING)
  }
  expect(formatValue('text', '')).toBe(NOTHING)
})

test('zero is a value, not a dash', () => {
  expect(formatValue('shares', 0)).toBe('0')
  expect(formatValue('ratio', 0)).toBe('0.00×')
})

test('large numbers keep three digits and round into the next letter', () => {
  expect(compact(999)).toBe('999')
  expect(compact(999.6)).toBe('1.00K')
  expect(compact(1234)).toBe('1.23K')
  expect(compact(12_345)).toBe('12.3K')
  expect(compact(99_960)).toBe('100K')
  expect(compact(999_600)).toBe('1.00M')
  expect(compact(1_230_000)).toBe('1.23M')
  expect(compact(4.1e9)).toBe('4.10B')
  expect(compact(-2500)).toBe('−2.50K')
})

test('other units: ratios, dollars traded, counts, flags, text', () => {
  expect(formatValue('ratio', 3.214)).toBe('3.21×')
  expect(formatValue('ratio', 624.2)).toBe('624×')
  expect(formatValue('notional', 1_234_567)).toBe('$1.23M')
  expect(formatValue('count', 12_345)).toBe('12,345')
  expect(formatValue('flag', true)).toBe('Yes')
  expect(formatValue('text', 'XNAS')).toBe('XNAS')
})

test('times are New York time, in winter and in summer, and midnight is 00', () => {
  expect(formatValue('time', Date.UTC(2026, 10, 20, 14, 30, 5))).toBe('09:30:05')
  expect(formatValue('time', Date.UTC(2026, 6, 20, 13, 30, 5))).toBe('09:30:05')
  expect(formatValue('time', Date.UTC(2026, 10, 20, 5, 0, 0))).toBe('00:00:00')
})

test('ages, delays and count-downs get coarser as they grow', () => {
  expect(formatAge(340)).toBe('0.3 s')
  expect(formatAge(-5)).toBe('0.0 s')
  expect(formatAge(42_900)).toBe('42 s')
  expect(formatAge(600_000)).toBe('10 min')
  expect(formatAge(4 * 3_600_000)).toBe('4 h')
  expect(formatDelay(42.4)).toBe('42 ms')
  expect(formatDelay(900_000)).toBe('15 min')
  expect(formatCountdown(22_717_000)).toBe('6:18:37')
  expect(formatCountdown(65_000)).toBe('01:05')
  expect(formatCountdown(-1)).toBe('00:00')
})

test('the strength of a move has five steps, and none at zero', () => {
  expect([0, 0.5, -2, 5, -20, 80].map(moveStrength)).toEqual([0, 1, 2, 3, 4, 5])
  expect(moveStrength(Number.NaN)).toBe(0)
})

test('a moment that is counted down to is a time of day where nothing ticks', () => {
  expect(formatValue('countdown', Date.UTC(2026, 10, 20, 15, 36, 7))).toBe('10:36:07')
})

test('a unit that is not known is shown as plain text', () => {
  expect(formatValue('furlongs' as Unit, 12.5)).toBe('12.5')
  expect(formatValue('furlongs' as Unit, null)).toBe(NOTHING)
})

test('a time of another day is its date', () => {
  expect(timeOn('2026-11-20', Date.UTC(2026, 10, 20, 14, 30, 5))).toBe('09:30:05')
  expect(timeOn('2026-11-20', Date.UTC(2026, 10, 19, 21, 5, 0))).toBe('19 Nov')
  // Late in the evening of New York it is tomorrow elsewhere.
  expect(timeOn('2026-11-20', Date.UTC(2026, 10, 21, 0, 59, 59))).toBe('19:59:59')
})
