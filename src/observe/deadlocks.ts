/** Deadlocks, from the one who got 40P01: the server's DETAIL names the processes of the cycle. Pure. */
import type { Deadlock } from '../recording.js'

export interface DeadlockReport {
  atMs: number
  /** The victim's backend. */
  pid: number | null
  /** The server's DETAIL in English (lc_messages is C). Only process numbers are read from it. */
  detail: string
  /** The victim: `migration`, or `old get_user`. */
  by: string
  statement: string | null
}

/** Process numbers of the cycle: "Process 1 waits for ShareLock on ...; blocked by process 2." Other lines may be queries. */
export const cyclePids = (detail: string): number[] => [
  ...new Set(
    [...detail.matchAll(/^Process (\d+) waits for [^;]*; blocked by process (\d+)\.?$/gm)].flatMap((match) => [
      Number(match[1]),
      Number(match[2]),
    ]),
  ),
]

export function deadlocks(
  reports: readonly DeadlockReport[],
  migrationPids: readonly number[],
  nameOf: (pid: number, atMs: number) => string | null,
  /** The migration's statement at an instant. */
  statementAt: (atMs: number) => string | null,
): Deadlock[] {
  return reports.map((report) => {
    const pids = cyclePids(report.detail)
    const participants = pids.map((pid) =>
      migrationPids.includes(pid)
        ? 'migration'
        : pid === report.pid
          ? report.by
          : (nameOf(pid, report.atMs) ?? 'another session'),
    )
    const involvesMigration = report.by === 'migration' || pids.some((pid) => migrationPids.includes(pid))
    return {
      atMs: report.atMs,
      victim: report.by,
      participants: participants.length > 0 ? participants : [report.by],
      involvesMigration,
      statement: report.statement ?? (involvesMigration ? statementAt(report.atMs) : null),
    }
  })
}
