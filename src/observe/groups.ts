/** Waits put together by the statement that stood in front, with the queue at its longest as a tree. Pure. */
import type { BlockedGroup, Bracket, LockMode, Wait } from '../recording.js'
import { conflicts, strength } from '../sql/lock-modes.js'
import type { Look, SampledLock } from './sampler.js'
import { plus } from './spans.js'
import type { WaitInput } from './waits.js'

/** Everybody behind each statement of the migration, with the queue at its longest. */
export function blockedGroups(
  waits: readonly Wait[],
  input: WaitInput,
  nameOf: (pid: number, lookIndex: number) => string,
): BlockedGroup[] {
  const groups = new Map<string, Wait[]>()
  for (const wait of waits) {
    if (wait.behind === null) continue
    const list = groups.get(wait.behind) ?? []
    list.push(wait)
    groups.set(wait.behind, list)
  }
  const result: BlockedGroup[] = []
  for (const [statement, list] of groups) {
    const by = new Map<string, Wait[]>()
    for (const wait of list) {
      const key = JSON.stringify([wait.release, wait.operation, wait.relation, wait.mode])
      const rows = by.get(key) ?? []
      rows.push(wait)
      by.set(key, rows)
    }
    result.push({
      statement,
      ...totals(list),
      by: [...by.values()]
        .flatMap((rows) => {
          const one = rows[0]
          return one
            ? [
                {
                  release: one.release,
                  operation: one.operation,
                  relation: one.relation,
                  mode: one.mode,
                  ...totals(rows),
                },
              ]
            : []
        })
        .sort((a, b) => b.totalMs.highMs - a.totalMs.highMs),
      worst: worstMoment(list, input, nameOf),
    })
  }
  return result.sort((a, b) => b.totalMs.highMs - a.totalMs.highMs)
}

function totals(waits: readonly Wait[]): { sessions: number; waits: number; longestMs: Bracket; totalMs: Bracket } {
  let longest: Bracket = { lowMs: 0, highMs: 0 }
  let total: Bracket = { lowMs: 0, highMs: 0 }
  const sessions = new Set<string>()
  for (const wait of waits) {
    sessions.add(`${wait.release} ${wait.connection}`)
    total = plus(total, wait.waitedMs)
    longest = {
      lowMs: Math.max(longest.lowMs, wait.waitedMs.lowMs),
      highMs: Math.max(longest.highMs, wait.waitedMs.highMs),
    }
  }
  return { sessions: sessions.size, waits: waits.length, longestMs: longest, totalMs: total }
}

function worstMoment(
  waits: readonly Wait[],
  input: WaitInput,
  nameOf: (pid: number, lookIndex: number) => string,
): BlockedGroup['worst'] {
  const bySession = new Map<string, Wait[]>()
  for (const wait of waits) {
    const session = `${wait.release} ${wait.connection}`
    bySession.set(session, [...(bySession.get(session) ?? []), wait])
  }
  let best = -1
  let most = 1
  let bestWaits = false
  for (const [index, look] of input.looks.entries()) {
    // Where it matters whom the migration waited for, moments in which it did come before all others.
    const waits =
      input.relationWaits === true && look.locks.some((row) => !row.granted && input.migrationPids.includes(row.pid))
    if (bestWaits && !waits) continue
    const count = look.locks.filter((row) => {
      const use = row.granted ? undefined : input.uses[index]?.get(row.pid)
      return bySession
        .get(`${use?.release ?? ''} ${use?.connection ?? ''}`)
        ?.some(
          (w) =>
            w.lockType === row.lockType &&
            w.mode === row.mode &&
            w.relation === input.relationName(row.relation) &&
            w.startMs.lowMs <= look.toMs &&
            w.endMs.lowMs >= look.fromMs,
        )
    }).length
    // Of equals the latest: there they have waited longest.
    if (count >= most || (waits && !bestWaits && count > 0)) {
      bestWaits = waits
      most = count
      best = index
    }
  }
  const look = input.looks[best]
  if (!look) return { atMs: 0, sessions: [] }
  const waiting = look.locks.filter((row) => !row.granted)
  // Roots that wait for nothing come first, then who waits, in order of arrival.
  const pids = new Set<number>()
  for (const row of waiting) for (const pid of row.blockedBy) if (!waiting.some((w) => w.pid === pid)) pids.add(pid)
  const ordered = [...waiting].sort((a, b) => (a.waitStart ?? Infinity) - (b.waitStart ?? Infinity))
  for (const row of ordered) pids.add(row.pid)
  const order = [...pids]
  return {
    atMs: look.fromMs,
    sessions: order.map((pid) => {
      const row = waiting.find((w) => w.pid === pid)
      const held = row ? null : heldAgainst(look, pid, waiting)
      return {
        name: nameOf(pid, best),
        lockType: row?.lockType ?? held?.lockType ?? 'relation',
        relation: row ? input.relationName(row.relation) : held ? input.relationName(held.relation) : null,
        mode: row?.mode ?? held?.mode ?? '',
        waitingMs: row ? (row.waitStart === null ? null : Math.max(0, look.serverEndMs - row.waitStart)) : null,
        blockedBy: row ? row.blockedBy.map((b) => order.indexOf(b)).filter((i) => i >= 0) : [],
      }
    }),
  }
}

/** What a session at the root holds that somebody behind it waits for; null when it was not looked at (a traffic session). */
function heldAgainst(look: Look, pid: number, waiting: readonly SampledLock[]): SampledLock | null {
  const behind = waiting.filter((row) => row.blockedBy.includes(pid))
  const held = look.locks.filter((row) => row.pid === pid && row.granted)
  const matches = held.filter((lock) =>
    behind.some((row) => row.relation === lock.relation && conflicts(row.mode as LockMode, lock.mode as LockMode)),
  )
  return matches.sort((a, b) => strength(b.mode as LockMode) - strength(a.mode as LockMode))[0] ?? null
}
