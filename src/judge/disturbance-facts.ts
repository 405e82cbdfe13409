/** What a disturbance did to the migration, and through it to the traffic. Pure. */
import type { Bracket, DisturbanceKind, DisturbancePass, MigrationWait, Wait } from '../recording.js'

const NAMES: Readonly<Record<DisturbanceKind, string>> = {
  'long-read': 'a long report (long-read)',
  'idle-in-transaction': 'an idle transaction that wrote (idle-in-transaction)',
  dump: 'a dump (dump)',
  vacuum: 'a VACUUM (vacuum)',
  'prepared-transaction': 'a forgotten prepared transaction (prepared-transaction)',
}

/** `a dump (dump)`; with a capital letter at the beginning of a sentence. */
export function disturbanceName({ disturbance }: DisturbancePass, first = false): string {
  const name = NAMES[disturbance.kind]
  return first ? name.charAt(0).toUpperCase() + name.slice(1) : name
}

/** Whether the migration waited for the disturbance, whoever else stood there. */
export const ofDisturbance = (wait: Pick<MigrationWait, 'waitedFor'>): boolean =>
  wait.waitedFor.some((name) => name.startsWith('rehearse disturbance '))

/** One statement of the migration that waited for the disturbance, and the traffic that waited behind it meanwhile. */
export interface Hostage {
  statement: string
  relation: string | null
  /** Longest single wait of the statement: of several tries one. */
  waitedMs: Bracket
  /** Distinct traffic sessions. */
  sessions: number
  longestMs: Bracket
  by: { release: Wait['release']; operation: string; relation: string | null; mode: string; waits: number }[]
  /** Latency of the slowest request of the operations that waited, while the migration ran; null without any. */
  slowestMs: number | null
  scheduled: number
}

/** Longest first. */
export function hostage(pass: DisturbancePass): Hostage[] {
  const found = new Map<string, MigrationWait[]>()
  for (const wait of pass.migrationWaits)
    if (ofDisturbance(wait)) found.set(wait.statement, [...(found.get(wait.statement) ?? []), wait])
  return [...found]
    .map(([statement, waits]) => {
      const longest = [...waits].sort((a, b) => b.waitedMs.highMs - a.waitedMs.highMs)[0]
      // Those that came while the statement itself stood: what waits behind a lock that is held is judged in the timed pass.
      const behind = pass.waits.filter(
        (one) =>
          one.behind === statement &&
          waits.some((w) => one.startMs.lowMs <= w.endMs.highMs && one.endMs.highMs >= w.startMs.lowMs),
      )
      const by = new Map<string, Hostage['by'][number]>()
      let longestMs: Bracket = { lowMs: 0, highMs: 0 }
      for (const { release, operation, relation, mode, waitedMs } of behind) {
        const key = JSON.stringify([release, operation, relation, mode])
        by.set(key, { release, operation, relation, mode, waits: (by.get(key)?.waits ?? 0) + 1 })
        if (waitedMs.highMs > longestMs.highMs) longestMs = waitedMs
      }
      const rows = pass.traffic.filter(
        (row) =>
          row.phase === 'migrate' && behind.some((w) => w.release === row.release && w.operation === row.operation),
      )
      const slowest = rows.flatMap((row) => row.latency?.maxMs ?? [])
      return {
        statement,
        relation: longest?.relation ?? null,
        waitedMs: longest?.waitedMs ?? { lowMs: 0, highMs: 0 },
        sessions: new Set(behind.map((one) => `${one.release} ${one.connection}`)).size,
        longestMs,
        by: [...by.values()].sort((a, b) => b.waits - a.waits),
        slowestMs: slowest.length === 0 ? null : Math.max(...slowest),
        scheduled: rows.reduce((sum, row) => sum + row.scheduled, 0),
      }
    })
    .sort((a, b) => b.waitedMs.highMs - a.waitedMs.highMs)
}
