/** What a report says about production's statements. Pure. */
import type { Release, TrafficOrigin } from '../../recording.js'

type Coverage = NonNullable<TrafficOrigin['coverage']>

export interface TextFacts {
  /** Calls of BEGIN, COMMIT, SET and the like. */
  sessionCalls: number
  deallocated: number
  release: Release
}

/** `94 % of production's calls, 31 of 40 statements; 9 left out` */
export function coverageText(
  { calls, callsPlayed, statements, statementsPlayed }: Coverage,
  { sessionCalls, deallocated, release }: TextFacts,
): string {
  const left = statements - statementsPlayed
  const parts = [
    `${percent(callsPlayed, calls)} % of production's calls, ${statementsPlayed} of ${statements} statements`,
    left === 0 ? 'none left out' : `${left} left out`,
  ]
  const session = percent(sessionCalls, calls)
  if (session > 0) parts.push(`BEGIN, COMMIT, SET and the like are ${session} % of the calls`)
  if (release === 'new')
    parts.push("they are the old release's statements, those that the schema after the migration accepts")
  if (deallocated > 0) parts.push('production has thrown out statements that are called rarely, so there are more')
  return parts.join('; ')
}

/** Rounded down: 100 is all of them. */
const percent = (part: number, whole: number): number => (whole === 0 ? 0 : Math.floor((100 * part) / whole))
