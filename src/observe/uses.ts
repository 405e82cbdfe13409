/** Which traffic session each waiting backend was at the moment of each look, and what it was running. */
import type { Release } from '../recording.js'
import type { Look } from './sampler.js'
import type { SessionUse, Settled } from './waits.js'

/** A finished operation with the session that ran it. */
export interface SettledUse extends Settled {
  release: Release
  connection: number
  operation: string
}

/** So many operations of one session can end between a look and its answer before the first one is forgotten. */
const MOST_LAST = 8

export class ConnectionPids {
  /** Per look, same index: the waiting (and blocking) traffic sessions by pid. */
  readonly uses: ReadonlyMap<number, SessionUse>[] = []
  /** Operations during which their session was seen waiting; all others would only fill the memory. */
  readonly settled: Settled[] = []
  readonly #times: number[] = []
  readonly #waiting: { old: number; new: number }[] = []
  /** The operations that ended last, by pid, oldest first, and whether they are in `settled`. */
  readonly #last = new Map<number, { done: SettledUse; kept: boolean }[]>()
  /** Sessions of neither traffic nor migration that have a name; 0 is a prepared transaction. */
  readonly #others = new Map<number, string>()
  /** When a session was last seen waiting. */
  readonly #waitedMs = new Map<number, number>()

  /** From now on this backend is called so wherever somebody waits for it. */
  call(pid: number, name: string): void {
    this.#others.set(pid, name)
  }

  /** Call once per operation, when it ends. */
  ended(done: SettledUse): void {
    const kept = (this.#waitedMs.get(done.pid) ?? -Infinity) >= done.startMs
    if (kept) this.settled.push(done)
    this.#last.set(done.pid, [...(this.#last.get(done.pid) ?? []).slice(1 - MOST_LAST), { done, kept }])
  }

  /** Call once per look, in the same turn, so that what the session runs is what it ran then. */
  look(look: Look, sessionOf: (pid: number) => SessionUse | null): void {
    const uses = new Map<number, SessionUse>()
    const waiting = { old: 0, new: 0 }
    for (const row of look.locks) {
      if (row.granted) continue
      for (const pid of [row.pid, ...row.blockedBy]) {
        if (uses.has(pid)) continue
        const use = this.#endedMeanwhile(pid, look) ?? sessionOf(pid)
        if (use) uses.set(pid, { release: use.release, connection: use.connection, operation: use.operation })
      }
      const use = uses.get(row.pid)
      if (!use) continue
      waiting[use.release]++
      this.#waitedMs.set(row.pid, look.fromMs)
    }
    this.uses.push(uses)
    this.#times.push(look.toMs)
    this.#waiting.push(waiting)
  }

  /**
   * The answer of a look arrives a moment late: the operation that waited may have ended before it is read, and short
   * ones after it.
   */
  #endedMeanwhile(pid: number, look: Look): SettledUse | null {
    const last = this.#last.get(pid)?.find(({ done }) => done.endMs >= look.fromMs && done.startMs <= look.toMs)
    if (!last) return null
    if (!last.kept) this.settled.push(last.done)
    last.kept = true
    return last.done
  }

  waitingAt(index: number, release?: Release): number {
    const waiting = this.#waiting[index]
    if (!waiting) return 0
    return release ? waiting[release] : waiting.old + waiting.new
  }

  name(pid: number, look: number, migrationPids: readonly number[]): string {
    if (migrationPids.includes(pid)) return 'migration'
    const other = this.#others.get(pid)
    if (other !== undefined) return other
    // pg_blocking_pids names a prepared transaction 0.
    if (pid === 0) return 'a prepared transaction'
    const use = this.uses[look]?.get(pid)
    return use ? `${use.release} #${use.connection} ${use.operation ?? '(between operations)'}` : 'another session'
  }

  /** Who a backend was around an instant, as `old get_user`; null when it was never seen waiting or blocking. */
  at(pid: number, atMs: number): string | null {
    let best: string | null = this.#others.get(pid) ?? null
    for (const [index, time] of this.#times.entries()) {
      if (time > atMs + 50) break
      const use = this.uses[index]?.get(pid)
      if (use) best = `${use.release} ${use.operation ?? '(between operations)'}`
    }
    return best
  }
}
