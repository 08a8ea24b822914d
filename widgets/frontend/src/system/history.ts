/** The figures that the server has kept. */

import { Refused, type Api } from './api'
import type { Sample } from './trends'

const MINUTES = 15

/** The samples of the last fifteen minutes, oldest first; none when they cannot be had. */
export async function readHistory(api: Api): Promise<readonly Sample[]> {
  try {
    return samplesOf(await api.get(`system/history?minutes=${MINUTES}`))
  } catch (error) {
    // That the server cannot be asked shows on the page already; its charts then begin now.
    if (error instanceof Refused) return []
    throw error
  }
}

/** Times, and as many values of each figure, as samples. */
export function samplesOf(answer: unknown): readonly Sample[] {
  if (typeof answer !== 'object' || answer === null) return []
  const { at, figures } = answer as { at?: readonly number[]; figures?: Readonly<Record<string, readonly (number | null)[]>> }
  if (at === undefined || figures === undefined) return []
  const names = Object.keys(figures)
  return at.map((time, index) => ({
    at: time, figures: Object.fromEntries(names.map((name) => [name, figures[name]?.[index] ?? null])),
  }))
}
