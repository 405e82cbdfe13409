/**
 * A disturbance pass: a short timed pass of the old release's traffic, in which something else goes on that production has,
 * too. It is up, and its locks are seen, before the migration sends its first statement; it ends its time after that, or
 * with the pass.
 *
 *   warm up -> baseline -> disturbance -> migrate -> settled, all with the old release alone
 */
import { sleep } from '../clock.js'
import {
  applicationName,
  disturbances,
  type Disturbance,
  type DisturbedTable,
  type DisturbOptions,
  type Ending,
  type HeldLock,
  type RunningDisturbance,
} from '../disturb/index.js'
import type { RelationState } from '../pg/catalog.js'
import { toPgError } from '../pg/errors.js'
import type { DisturbanceKind, DisturbancePass, MigrationRun, PgError, TimedPass } from '../recording.js'
import { journalOf } from './context.js'
import { underTraffic, type Stage, type TimedInput } from './timed.js'

/** At most: what was asked for may be shorter. */
const PHASES = { warmupMs: 1_000, baselineMs: 3_000, rolloutMs: 0, settleMs: 2_000 }

/** lock_not_available: after it a migration is tried again. */
const TRIED_AGAIN = '55P03'

export interface DisturbedInput extends TimedInput {
  disturbance: DisturbanceKind
  /** How long it lasts after the migration has begun. */
  lastsMs: number
}

/** Settings that the copy's server needs for a disturbance; see `Branch.fork`. */
export const disturbanceSettings = (kind: DisturbanceKind): Readonly<Record<string, string>> =>
  disturbances[kind].settings

/** Never throws because the disturbance could not be made: then the migration is not run, and the pass says why. */
export async function disturbedPass(input: DisturbedInput): Promise<DisturbancePass> {
  input.emit({ type: 'pass', pass: 'disturbance', disturbance: input.disturbance })
  const phases = {
    warmupMs: Math.min(PHASES.warmupMs, input.phases.warmupMs),
    baselineMs: Math.min(PHASES.baselineMs, input.phases.baselineMs),
    rolloutMs: 0,
    settleMs: Math.min(PHASES.settleMs, input.phases.settleMs),
  }
  const disturbing = new Disturbing(input)
  const timed = await underTraffic(
    {
      ...input,
      phases,
      operations: input.operations.filter((operation) => operation.release === 'old'),
    },
    {
      pass: 'disturbance',
      newRelease: false,
      relationWaits: true,
      prepare: (stage) => disturbing.prepare(stage),
      beforeMigration: (stage) => disturbing.begin(stage),
      onMigration: () => disturbing.end(input.lastsMs),
      close: () => disturbing.close(),
    },
  )
  return {
    ...timed,
    kind: 'disturbance',
    blocked: timed.blocked.map((group) => ({ ...group, worst: disturbing.inQueue(group.worst) })),
    disturbance: disturbing.recorded(),
    tries: triesOf(timed.migration),
    warnings: [...timed.warnings, ...disturbing.warnings],
  }
}

class Disturbing {
  readonly warnings: string[] = []
  readonly #input: DisturbedInput
  readonly #name: string
  readonly #over = new AbortController()
  #tables: DisturbedTable[] = []
  #running: RunningDisturbance | null = null
  #locks: HeldLock[] = []
  #startMs = 0
  #dueMs: number | null = null
  #onTime = false
  #ending: Ending | null = null
  #notMade: PgError | null = null
  #clockMs: () => number = () => 0

  constructor(input: DisturbedInput) {
    this.#input = input
    this.#name = applicationName(input.disturbance)
  }

  async prepare({ relations }: Omit<Stage, 'clock'>): Promise<void> {
    this.#tables = tablesOf(this.#input, relations)
    // What it cannot do shows when it begins.
    await this.#disturbance.prepare?.(this.#options(this.#clockMs)).catch(() => undefined)
  }

  async begin({ clock, pids }: Stage): Promise<boolean> {
    this.#clockMs = () => clock.nowMs()
    this.#startMs = clock.nowMs()
    try {
      this.#running = await this.#disturbance.start(this.#options(this.#clockMs))
      this.#startMs = this.#running.startMs
      this.#locks = await this.#running.locks()
    } catch (error) {
      this.#notMade = toPgError(error)
      this.warnings.push(`The disturbance could not be made, and the migration was not run in this pass.`)
      return false
    }
    // pg_blocking_pids has 0 for a prepared transaction.
    pids.call(this.#running.pid ?? 0, this.#name)
    void this.#running.ended.then((ending) => (this.#ending = ending))
    return true
  }

  /** From now on it has so long. */
  end(lastsMs: number): void {
    this.#dueMs = this.#clockMs() + lastsMs
    void sleep(lastsMs, this.#over.signal).then(async () => {
      if (this.#over.signal.aborted) return
      this.#onTime = true
      await this.#running?.stop().catch(() => undefined)
    })
  }

  async close(): Promise<void> {
    this.#over.abort()
    // Without an answer the copy, which is about to be removed, takes it along.
    await this.#running?.stop().catch(() => undefined)
    await this.#running?.ended
    const { endMs } = this.recorded()
    if (this.#running && !this.#ending?.told && this.#dueMs !== null && endMs < this.#dueMs)
      this.warnings.push(
        `The disturbance ended ${Math.round(this.#dueMs - endMs)} ms before its time${this.#ending?.error ? ` (${this.#ending.error.sqlstate})` : ': it had no more to do'}.`,
      )
  }

  recorded(): DisturbancePass['disturbance'] {
    const ending = this.#ending
    return {
      kind: this.#input.disturbance,
      text: this.#running?.text ?? 'it could not be made',
      locks: this.#locks,
      pid: this.#running?.pid ?? null,
      startMs: this.#startMs,
      endMs: ending?.atMs ?? this.#startMs,
      lastsMs: this.#input.lastsMs,
      ended: ending?.error || this.#notMade ? 'canceled' : ending?.told && !this.#onTime ? 'end of pass' : 'by itself',
      error: this.#notMade ?? ending?.error ?? null,
    }
  }

  /** The sampler does not read what it holds; what it held when it began stands in for it at the head of the queue. */
  inQueue(worst: TimedPass['blocked'][number]['worst']): TimedPass['blocked'][number]['worst'] {
    const first = worst.sessions.findIndex(({ name, mode }) => name === this.#name && mode === '')
    const behind = worst.sessions.find(({ blockedBy }) => blockedBy.includes(first))
    const held = this.#locks.find(({ relation }) => relation === behind?.relation)
    if (first < 0 || !held) return worst
    return {
      ...worst,
      sessions: worst.sessions.map((one, i) =>
        i === first ? { ...one, relation: held.relation, mode: held.mode } : one,
      ),
    }
  }

  get #disturbance(): Disturbance {
    return disturbances[this.#input.disturbance]
  }

  #options(nowMs: () => number): DisturbOptions {
    const { admin, app, migrate, lastsMs } = this.#input
    return { admin, app, migrate, lastsMs, clock: { nowMs }, tables: this.#tables }
  }
}

/** Tables and materialized views, those that the migration takes locks on first, each group by size. */
function tablesOf(input: DisturbedInput, relations: ReadonlyMap<number, RelationState>): DisturbedTable[] {
  const touched = new Set([...input.taken.values()].flatMap((locks) => locks.map(({ table }) => table)))
  const isJournal = journalOf(input.tool?.setup.ledger ?? null)
  return [...relations.values()]
    .filter(({ kind }) => kind === 'table' || kind === 'materialized view')
    .map(({ name, bare, kind, bytes }) => ({
      name,
      schema: name === bare ? 'public' : name.slice(0, -bare.length - 1),
      bare,
      writable: kind === 'table',
      bytes: Math.max(0, bytes),
      touched: touched.has(name) && !isJournal(name),
    }))
    .sort((a, b) => Number(b.touched) - Number(a.touched) || b.bytes - a.bytes)
}

/** Each try of the migration: one ends where lock_timeout ended a statement, the last where the migration did. */
export function triesOf(run: MigrationRun): DisturbancePass['tries'] {
  const tries: DisturbancePass['tries'] = []
  let startMs: number | null = null
  for (const one of run.statements) {
    const transaction = run.transactions.find(({ ordinal }) => ordinal === one.transaction)
    startMs ??= transaction?.startMs ?? one.startMs
    if (one.outcome.ok || one.outcome.error.sqlstate !== TRIED_AGAIN) continue
    tries.push({ startMs, endMs: one.endMs, outcome: one.outcome, statement: one.statement })
    startMs = null
  }
  const last = run.statements.at(-1)
  const ended = startMs === null && last !== undefined && last.statement === run.failedStatement
  if (run.statements.length > 0 && !ended)
    tries.push({
      startMs: startMs ?? run.startMs,
      endMs: run.endMs,
      outcome: run.outcome,
      statement: run.failedStatement,
    })
  return tries
}
