/** Disturbances in words, for every output. Pure. */
import type { Bracket, DisturbanceKind, DisturbancePass, Finding } from '../recording.js'
import { formatBracket, formatMs, plural } from '../units.js'

/** What people call it. */
export const DISTURBANCE_WORDS: Readonly<Record<DisturbanceKind, string>> = {
  'long-read': 'long report',
  'idle-in-transaction': 'idle transaction that wrote',
  dump: 'dump',
  vacuum: 'VACUUM',
  'prepared-transaction': 'forgotten prepared transaction',
}

/** One disturbance as a row of a table. Every text may hold names of the user's. */
export interface DisturbanceRow {
  kind: DisturbanceKind
  name: string
  did: string
  /** `ACCESS SHARE on orders`, at most four, then how many more. */
  held: string
  /** How long it lasted after the migration had begun, and how it ended. */
  lasted: string
  /** Longest single wait of the migration for it. */
  waitedMs: Bracket | null
  waitedFor: string
  tries: number
  /** `3 sessions: list_orders (old)`. */
  behind: string
  longestMs: Bracket | null
  outcome: string
  status: 'ok' | 'warn' | 'fail' | 'not measured'
}

const ENDS: Readonly<Record<DisturbancePass['disturbance']['ended'], string>> = {
  'by itself': 'ended by itself',
  canceled: 'was ended',
  'end of pass': 'ended with the pass',
}

const widest = (brackets: readonly Bracket[]): Bracket | null =>
  [...brackets].sort((a, b) => b.highMs - a.highMs)[0] ?? null

/** `findings` are the report's: those about this disturbance decide its sign. */
export function disturbanceRow(pass: DisturbancePass, findings: readonly Finding[]): DisturbanceRow {
  const { disturbance, migration, tries } = pass
  const waits = pass.migrationWaits.filter((wait) =>
    wait.waitedFor.some((name) => name.startsWith('rehearse disturbance ')),
  )
  const behind = pass.waits.filter((wait) => wait.behind !== null)
  const sessions = new Set(behind.map((wait) => `${wait.release} ${wait.connection}`)).size
  const operations = [...new Set(behind.map((wait) => `${wait.operation} (${wait.release})`))]
  const more = disturbance.locks.length - 4
  const made = tries.length > 0
  const { outcome, timedOut } = migration
  return {
    kind: disturbance.kind,
    name: DISTURBANCE_WORDS[disturbance.kind],
    did: disturbance.text,
    held:
      disturbance.locks.length === 0
        ? 'no lock on a table'
        : `${disturbance.locks
            .slice(0, 4)
            .map(({ relation, mode }) => `${mode} on ${relation}`)
            .join(', ')}${more > 0 ? ` and ${more} more` : ''}`,
    lasted: !made
      ? '–'
      : `${formatMs(Math.max(0, disturbance.endMs - migration.startMs))}, ${ENDS[disturbance.ended]}${disturbance.error === null ? '' : ` (${disturbance.error.sqlstate})`}`,
    waitedMs: widest(waits.map((wait) => wait.waitedMs)),
    waitedFor: [...new Set(waits.map((wait) => wait.relation ?? wait.lockType))].join(', '),
    tries: tries.length,
    behind:
      behind.length === 0
        ? 'nobody'
        : `${plural(sessions, 'session')}: ${operations.slice(0, 3).join(', ')}${operations.length > 3 ? ` and ${operations.length - 3} more` : ''}`,
    longestMs: widest(behind.map((wait) => wait.waitedMs)),
    outcome: !made
      ? `not measured${disturbance.error === null ? '' : `: ${disturbance.error.sqlstate} ${disturbance.error.message}`}`
      : timedOut
        ? 'stopped: it took too long'
        : outcome.ok
          ? tries.length > 1
            ? `succeeded at try ${tries.length}`
            : 'succeeded'
          : `${outcome.error.sqlstate} ${outcome.error.condition}`,
    status: made ? statusOf(pass, findings) : 'not measured',
  }
}

/** Titles of findings about a disturbance have its name in brackets. */
function statusOf(pass: DisturbancePass, findings: readonly Finding[]): 'ok' | 'warn' | 'fail' {
  const own = findings.filter(({ title }) => title.includes(`(${pass.disturbance.kind})`))
  const worst = (['fail', 'warn'] as const).find((severity) => own.some((one) => one.severity === severity))
  return worst ?? 'ok'
}

/** One of them in one line: `dump: succeeded; waited 1.20 s ± 3 ms; 3 sessions: get (old) behind it, the longest 1.10 s`. */
export const disturbanceLine = (row: DisturbanceRow): string =>
  [
    `${row.kind}: ${row.outcome}`,
    ...(row.waitedMs === null ? [] : [`waited ${formatBracket(row.waitedMs)}`]),
    ...(row.longestMs === null ? [] : [`${row.behind} behind it, the longest ${formatBracket(row.longestMs)}`]),
  ].join('; ')
