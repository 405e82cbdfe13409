/**
 * The timed pass: the migration runs while the old release and a tenth of the new one are in flight. Nothing is probed
 * or injected that production would not have; the observers have sessions of their own.
 *
 *   warm up -> baseline (old) -> migrate (old + a tenth new) -> rollout (old falls, new rises) -> settled (new)
 *
 * When the migration fails nothing is rolled out: the old release goes on alone.
 */
import { sleep, startClock, type Clock } from '../clock.js'
import type { MigrationTrace } from '../migrations/runner.js'
import { ConnectionPids } from '../observe/uses.js'
import { startSampler, type Look, type Sampler } from '../observe/sampler.js'
import { gaveUp } from '../observe/waits.js'
import { deadlocks, type DeadlockReport } from '../observe/deadlocks.js'
import { readRelations } from '../pg/catalog.js'
import { connect, disconnect, type Sql } from '../pg/connect.js'
import { dataChecks, runChecks } from '../probe/checks.js'
import { newlyUnfinished, readUnfinished } from '../probe/leftovers.js'
import type { LockTaken, Phase, PhaseName, Release, TimedPass } from '../recording.js'
import { strength } from '../sql/lock-modes.js'
import { LockMode } from '../recording.js'
import { startTraffic, type Traffic, type TrafficResult } from '../traffic/engine.js'
import { Random } from '../traffic/random.js'
import type { Settled as TrafficSettled } from '../traffic/settled.js'
import { bucketWidth, generatorHealth, trafficErrors, trafficRows, trafficSeries } from '../traffic/summary.js'
import { journalOf, RelationNames, warmAndCheckpoint, type PassInput } from './context.js'
import { openMigration, type RunningMigration } from './migration.js'
import { emptyTrace, inCycle, locksAndWaits, SAMPLER_PERIOD_MS, statementAt, withBlocked } from './observed.js'
import { halfApplied } from './quiet.js'

/** The sampler starts this long before the migration, so that its first looks are not its slowest. */
const SAMPLER_LEAD_MS = 200
/** The new release's share while the migration runs: the first instances of a rolling deploy. */
const CANARY = 0.1
/** A request is looked at closely for this long. */
const FRESH_MS = 60

export interface TimedInput extends PassInput {
  rate: number
  connections: number
  phases: { warmupMs: number; baselineMs: number; rolloutMs: number; settleMs: number }
  /** Lock set of each statement, from the quiet pass. */
  taken: ReadonlyMap<string, readonly LockTaken[]>
}

export async function timedPass(input: TimedInput): Promise<TimedPass> {
  input.emit({ type: 'pass', pass: 'timed' })
  const admin = connect(input.admin, { applicationName: 'rehearse observer' })
  const observer = connect(input.admin, { applicationName: 'rehearse sampler' })
  try {
    return await new Timed(input, admin, observer).run()
  } finally {
    await disconnect(observer)
    await disconnect(admin)
  }
}

class Timed {
  readonly #input: TimedInput
  readonly #admin: Sql
  readonly #observer: Sql
  readonly #phases: Phase[] = []
  readonly #looks: Look[] = []
  readonly #pids: ConnectionPids
  readonly #deadlocks: DeadlockReport[] = []
  readonly #warnings: string[] = []
  #clock: Clock = startClock()
  #finished = 0
  #errors = 0
  #blocked = 0
  #worstLock: string | null = null

  constructor(input: TimedInput, admin: Sql, observer: Sql) {
    this.#input = input
    this.#admin = admin
    this.#observer = observer
    this.#pids = new ConnectionPids()
  }

  async run(): Promise<TimedPass> {
    const input = this.#input
    const relations = await readRelations(this.#admin)
    const names = new RelationNames(relations)
    const unfinishedBefore = await readUnfinished(this.#admin)
    const checksBefore = await runChecks(this.#admin, input.checks)
    await warmAndCheckpoint(this.#admin, relations)
    this.#clock = startClock()
    const clock = this.#clock
    const watched: { sampler: Sampler | null } = { sampler: null }
    const migration = await openMigration({
      input,
      admin: this.#admin,
      clock,
      onSend: () => watched.sampler?.nudge(),
    })
    const random = new Random(input.seed).fork('traffic')
    const workload = (release: Release) => ({
      release,
      operations: input.operations.filter((operation) => operation.release === release),
      address: input.app,
      connections: input.connections,
      variables: { rows: input.rows, seed: input.seed },
      random: random.fork(release),
      // Instances of the new release are young: they prepare what they use when they use it.
      warm: release === 'old',
    })
    const traffic = await startTraffic({
      workloads: [workload('old'), workload('new')],
      clock,
      onOperation: (done) => this.#onSettled(done),
      onDeadlock: (deadlock) =>
        this.#deadlocks.push({ ...deadlock, by: `${deadlock.release} ${deadlock.operation}`, statement: null }),
    })
    const heartbeat = this.#heartbeat()
    let trace: MigrationTrace | null = null
    let result: TrafficResult
    try {
      const { rate, phases } = input
      await this.#phase(traffic, 'warmup', phases.warmupMs, { old: [rate, rate], new: [0, 0] })
      await this.#phase(traffic, 'baseline', phases.baselineMs, { old: [rate, rate], new: [0, 0] }, async () => {
        await sleep(Math.max(0, phases.baselineMs - SAMPLER_LEAD_MS), input.signal)
        watched.sampler = this.#sample(migration, traffic, names)
      })
      const sampler = (watched.sampler ??= this.#sample(migration, traffic, names))
      if (!input.signal.aborted) trace = await this.#migrate(traffic, migration, sampler)
      await sampler.stop()
      if (trace?.run.outcome.ok && !input.signal.aborted) {
        await this.#phase(traffic, 'rollout', phases.rolloutMs, { old: [rate, 0], new: [rate * CANARY, rate] })
        await this.#phase(traffic, 'settled', phases.settleMs, { old: [0, 0], new: [rate, rate] })
      } else if (trace && !input.signal.aborted)
        await this.#phase(traffic, 'settled', phases.settleMs, { old: [rate, rate], new: [0, 0] })
    } finally {
      clearInterval(heartbeat)
      await watched.sampler?.stop()
      result = await traffic.stop(2_000)
      await migration.close()
    }
    const endMs = clock.nowMs()
    names.learn(await readRelations(this.#admin))
    if (result.scriptError) throw result.scriptError
    const { samples } = result
    const bucketMs = bucketWidth(endMs)
    const leftovers = newlyUnfinished(unfinishedBefore, await readUnfinished(this.#admin))
    const checks = dataChecks(input.checks, checksBefore, await runChecks(this.#admin, input.checks))
    const ran = trace ?? emptyTrace(this.#phases.at(-1)?.endMs ?? endMs)
    const observed = locksAndWaits({
      trace: ran,
      migrationPids: migration.pids(),
      earliest: migration.earliest(),
      isJournal: journalOf(input.tool?.setup.ledger ?? null),
      notices: migration.notices(),
      names,
      looks: this.#looks,
      pids: this.#pids,
      settled: this.#pids.settled,
      taken: input.taken,
      endMs,
    })
    const series = withBlocked(trafficSeries(samples, endMs), bucketMs, this.#looks, this.#pids)
    return {
      kind: 'timed',
      manners: null,
      programs: [],
      copiedBy: input.copiedBy,
      phases: this.#phases,
      migration: ran.run,
      ...observed,
      traffic: trafficRows(samples, this.#phases),
      errors: trafficErrors(samples, this.#phases),
      bucketMs,
      series,
      deadlocks: deadlocks(
        this.#deadlocks,
        migration.pids(),
        (pid, atMs) => this.#pids.at(pid, atMs),
        (atMs) => inCycle(observed.locks, atMs) ?? statementAt(ran, atMs),
      ),
      leftovers: { ...leftovers, halfApplied: halfApplied(ran) },
      dataChecks: checks,
      generator: generatorHealth(samples, result.phases, { ratePerSecond: input.rate, connections: input.connections }),
      warnings: [...ran.warnings, ...this.#warnings],
    }
  }

  #onSettled(done: TrafficSettled): void {
    this.#finished++
    if (done.sqlstate !== null) this.#errors++
    if (done.pid !== null)
      this.#pids.ended({ ...done, pid: done.pid, failed: done.sqlstate !== null && gaveUp(done.sqlstate) })
  }

  async #phase(
    traffic: Traffic,
    name: PhaseName,
    lengthMs: number,
    rates: Record<Release, [number, number]>,
    meanwhile?: () => Promise<void>,
  ): Promise<void> {
    if (this.#input.signal.aborted) return
    this.#input.emit({ type: 'phase', pass: 'timed', phase: name, lengthMs })
    const startMs = this.#clock.nowMs()
    traffic.phase(name)
    for (const release of ['old', 'new'] as const) traffic.setRate(release, ...rates[release], lengthMs)
    await Promise.all([sleep(lengthMs, this.#input.signal), meanwhile?.()])
    this.#phases.push({ name, startMs, endMs: this.#clock.nowMs() })
  }

  #sample(migration: RunningMigration, traffic: Traffic, names: RelationNames): Sampler {
    return startSampler({
      sql: this.#observer,
      clock: this.#clock,
      periodMs: SAMPLER_PERIOD_MS,
      pids: () => migration.pids(),
      // While the migration waits for a lock, and right after it sent something: a COMMIT lets go within moments.
      hurry: (look) => {
        const since = migration.inFlightSinceMs
        return (
          (since !== null && this.#clock.nowMs() - since < FRESH_MS) ||
          look?.locks.some((row) => migration.pids().includes(row.pid) && !row.granted) === true
        )
      },
      onLook: (look) => {
        this.#looks.push(look)
        this.#pids.look(look, (pid) => traffic.sessionOf(pid))
        this.#blocked = this.#pids.waitingAt(this.#looks.length - 1)
        const strongest = look.locks
          .filter((row) => migration.pids().includes(row.pid) && row.granted && LockMode.safeParse(row.mode).success)
          .sort((a, b) => strength(b.mode as LockMode) - strength(a.mode as LockMode))[0]
        this.#worstLock = strongest
          ? `${strongest.mode} on ${names.of(strongest.relation)?.relation ?? 'a new relation'}`
          : null
      },
    })
  }

  async #migrate(traffic: Traffic, migration: RunningMigration, sampler: Sampler): Promise<MigrationTrace> {
    const input = this.#input
    input.emit({ type: 'phase', pass: 'timed', phase: 'migrate', lengthMs: null })
    const startMs = this.#clock.nowMs()
    traffic.phase('migrate')
    traffic.setRate('old', input.rate, input.rate, 0)
    traffic.setRate('new', input.rate * CANARY, input.rate * CANARY, 0)
    const limit = new AbortController()
    const stop = (): void => limit.abort()
    const timer = setTimeout(stop, input.maxDurationMs)
    input.signal.addEventListener('abort', stop, { once: true })
    if (input.signal.aborted) stop()
    try {
      const trace = await migration.run(limit.signal)
      const last = this.#clock.nowMs()
      const failure = trace.run.statements.find((run) => !run.outcome.ok)
      if (failure && !failure.outcome.ok && failure.outcome.error.sqlstate === '40P01') {
        this.#deadlocks.push({
          atMs: failure.endMs,
          pid: migration.lastError()?.pid ?? null,
          detail: migration.lastError()?.detail ?? '',
          by: 'migration',
          statement: failure.statement,
        })
      }
      // Whoever queued behind the last lock goes on now: look until nobody waits any more.
      const until = Math.max(last, this.#clock.nowMs()) + 500
      await sleep(50, input.signal)
      while (this.#blocked > 0 && this.#clock.nowMs() < until) await sleep(SAMPLER_PERIOD_MS, input.signal)
      return trace
    } finally {
      clearTimeout(timer)
      input.signal.removeEventListener('abort', stop)
      if (sampler.failed) this.#warnings.push('The lock sampler lost its connection: waits may be missing.')
      this.#phases.push({ name: 'migrate', startMs, endMs: this.#clock.nowMs() })
    }
  }

  /** Once a second, for whoever watches. */
  #heartbeat(): NodeJS.Timeout {
    let finished = 0
    let errors = 0
    return setInterval(() => {
      this.#input.emit({
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
