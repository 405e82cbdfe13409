/** What is watched while traffic and migration run: locks, who waits for them, how much is going on. */
import type { Clock } from '../clock.js'
import type { Emit } from '../events.js'
import type { DeadlockReport } from '../observe/deadlocks.js'
import { startSampler, type Look, type Sampler } from '../observe/sampler.js'
import { ConnectionPids } from '../observe/uses.js'
import { gaveUp } from '../observe/waits.js'
import type { Sql } from '../pg/connect.js'
import { LockMode } from '../recording.js'
import { strength } from '../sql/lock-modes.js'
import type { Traffic } from '../traffic/engine.js'
import type { Settled } from '../traffic/settled.js'
import type { RelationNames } from './context.js'
import type { RunningMigration } from './migration.js'
import { SAMPLER_PERIOD_MS } from './observed.js'

/** A request is looked at closely for this long. */
const FRESH_MS = 60

export class Watch {
  readonly looks: Look[] = []
  readonly pids = new ConnectionPids()
  readonly deadlocks: DeadlockReport[] = []
  readonly #observer: Sql
  readonly #emit: Emit
  #finished = 0
  #errors = 0
  #blocked = 0
  #worstLock: string | null = null

  /** `observer` is a session of its own, for looks only. */
  constructor(observer: Sql, emit: Emit) {
    this.#observer = observer
    this.#emit = emit
  }

  /** Traffic sessions that waited for a lock at the last look. */
  get blocked(): number {
    return this.#blocked
  }

  settled(done: Settled): void {
    this.#finished++
    if (done.sqlstate !== null) this.#errors++
    if (done.pid !== null)
      // It has the connection since then: what it waited for before is no lock.
      this.pids.ended({
        ...done,
        startMs: done.takenMs,
        pid: done.pid,
        failed: done.sqlstate !== null && gaveUp(done.sqlstate),
      })
  }

  /** Looks from now on. */
  sample(clock: Clock, migration: RunningMigration, traffic: Traffic, names: RelationNames): Sampler {
    return startSampler({
      sql: this.#observer,
      clock,
      periodMs: SAMPLER_PERIOD_MS,
      pids: () => migration.pids(),
      // While the migration waits for a lock, and right after it sent something: a COMMIT lets go within moments.
      hurry: (look) => {
        const since = migration.inFlightSinceMs
        return (
          (since !== null && clock.nowMs() - since < FRESH_MS) ||
          look?.locks.some((row) => migration.pids().includes(row.pid) && !row.granted) === true
        )
      },
      onLook: (look) => {
        this.looks.push(look)
        this.pids.look(look, (pid) => traffic.sessionOf(pid))
        this.#blocked = this.pids.waitingAt(this.looks.length - 1)
        const strongest = look.locks
          .filter((row) => migration.pids().includes(row.pid) && row.granted && LockMode.safeParse(row.mode).success)
          .sort((a, b) => strength(b.mode as LockMode) - strength(a.mode as LockMode))[0]
        this.#worstLock = strongest
          ? `${strongest.mode} on ${names.of(strongest.relation)?.relation ?? 'a new relation'}`
          : null
      },
    })
  }

  /** Once a second, for whoever watches; to be cleared. */
  heartbeat(): NodeJS.Timeout {
    let finished = 0
    let errors = 0
    return setInterval(() => {
      this.#emit({
        type: 'heartbeat',
        opsPerSecond: this.#finished - finished,
        p99Ms: null,
        errors: this.#errors - errors,
        blocked: this.#blocked,
        worstLock: this.#worstLock,
      })
      finished = this.#finished
      errors = this.#errors
    }, 1_000)
  }
}
