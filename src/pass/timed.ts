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
import { deadlocks } from '../observe/deadlocks.js'
import type { Sampler } from '../observe/sampler.js'
import type { ConnectionPids } from '../observe/uses.js'
import { readRelations, type RelationState } from '../pg/catalog.js'
import { connect, disconnect, type Address, type Sql } from '../pg/connect.js'
import { dataChecks, runChecks } from '../probe/checks.js'
import { newlyUnfinished, readUnfinished } from '../probe/leftovers.js'
import type { ProgramSource } from '../apps/source.js'
import type { LockTaken, OperationInfo, Phase, PhaseName, Release, TimedPass } from '../recording.js'
import { startTraffic, type Traffic, type TrafficResult } from '../traffic/engine.js'
import { Random } from '../traffic/random.js'
import { restOfRamp, type Ramp } from '../traffic/rates.js'
import type { Sink } from '../traffic/source.js'
import { bucketWidth, generatorHealth, trafficErrors, trafficRows, trafficSeries } from '../traffic/summary.js'
import { journalOf, RelationNames, warmAndCheckpoint, type PassInput } from './context.js'
import { mannersOf, type PoolManners } from './manners.js'
import { openMigration, type RunningMigration } from './migration.js'
import { emptyTrace, inCycle, locksAndWaits, SAMPLER_PERIOD_MS, statementAt, withBlocked } from './observed.js'
import { halfApplied } from './quiet.js'
import { Watch } from './watch.js'

/** The sampler starts this long before the migration, so that its first looks are not its slowest. */
const SAMPLER_LEAD_MS = 200
/** The new release's share while the migration runs: the first instances of a rolling deploy. */
const CANARY = 0.1

export interface TimedInput extends PassInput {
  rate: number
  connections: number
  phases: { warmupMs: number; baselineMs: number; rolloutMs: number; settleMs: number }
  /** Lock set of each statement, from the quiet pass. */
  taken: ReadonlyMap<string, readonly LockTaken[]>
  /** How the application treats its connections; it waits for one as long as it takes, and tries nothing again, by default. */
  manners?: PoolManners
  /** From the start of the pass; then the rate stays at `rate`. */
  ramp?: Ramp | null
  /** Programs whose own queries are the traffic of a release. */
  programs?: readonly ((address: Address) => (sink: Sink) => ProgramSource)[]
  /** Told at the end what programs were seen to send. */
  onOperations?: (operations: OperationInfo[]) => void
}

/** What a pass under traffic does besides, and what it leaves out. */
export interface TimedHooks {
  /** As events call it. */
  pass: 'timed' | 'disturbance'
  /** A tenth of the new release while the migration runs, all of it afterwards; without it the old release stays alone. */
  newRelease: boolean
  /** Also list the migration's waits for relation locks, with whom it waited for. */
  relationWaits: boolean
  /** Before anything is measured. */
  prepare?: (stage: Omit<Stage, 'clock'>) => Promise<void>
  /** At the end of the baseline, while the sampler looks already. false: the migration is not run. */
  beforeMigration?: (stage: Stage) => Promise<boolean>
  /** The migration is about to send its first statement. */
  onMigration?: () => void
  /** Before the traffic stops; in any case, also after a failure. */
  close?: () => Promise<void>
}

export interface Stage {
  admin: Sql
  clock: Clock
  relations: ReadonlyMap<number, RelationState>
  /** Who is who among the backends. */
  pids: ConnectionPids
}

export const timedPass = (input: TimedInput): Promise<TimedPass> =>
  underTraffic(input, { pass: 'timed', newRelease: true, relationWaits: false })

/** The migration under traffic; `timedPass` and its variants. */
export async function underTraffic(input: TimedInput, hooks: TimedHooks): Promise<TimedPass> {
  const admin = connect(input.admin, { applicationName: 'rehearse observer' })
  const observer = connect(input.admin, { applicationName: 'rehearse sampler' })
  try {
    return await new Timed(input, hooks, admin, observer).run()
  } finally {
    await disconnect(observer)
    await disconnect(admin)
  }
}

class Timed {
  readonly #input: TimedInput
  readonly #hooks: TimedHooks
  readonly #admin: Sql
  readonly #watch: Watch
  readonly #phases: Phase[] = []
  readonly #warnings: string[] = []
  #clock: Clock = startClock()

  constructor(input: TimedInput, hooks: TimedHooks, admin: Sql, observer: Sql) {
    this.#input = input
    this.#hooks = hooks
    this.#admin = admin
    this.#watch = new Watch(observer, input.emit)
  }

  async run(): Promise<TimedPass> {
    const input = this.#input
    const hooks = this.#hooks
    if (hooks.pass === 'timed') input.emit({ type: 'pass', pass: 'timed' })
    const relations = await readRelations(this.#admin)
    const { pids, looks } = this.#watch
    await hooks.prepare?.({ admin: this.#admin, relations, pids })
    const names = new RelationNames(relations)
    const unfinishedBefore = await readUnfinished(this.#admin)
    const checksBefore = await runChecks(this.#admin, input.checks)
    await warmAndCheckpoint(this.#admin, relations)
    this.#clock = startClock()
    const clock = this.#clock
    const watched: { sampler: Sampler | null; ready: boolean } = { sampler: null, ready: true }
    const migration = await openMigration({
      input,
      admin: this.#admin,
      clock,
      onSend: () => watched.sampler?.nudge(),
    })
    const random = new Random(input.seed).fork('traffic')
    const { manners } = input
    const workload = (release: Release) => ({
      release,
      // A program sends its own.
      operations: input.operations.filter((one) => one.release === release && one.source !== 'program'),
      address: input.app,
      connections: input.connections,
      variables: { rows: input.rows, seed: input.seed },
      random: random.fork(release),
      // Instances of the new release are young: they prepare what they use when they use it.
      warm: release === 'old',
      nominalPerSecond: Math.max(input.rate, input.ramp?.fromPerSecond ?? 0),
      ...(manners ? { ...manners, retries: manners.retries.tries > 0 ? manners.retries : null } : {}),
    })
    const programs: ProgramSource[] = []
    const traffic = await startTraffic({
      workloads: hooks.newRelease ? [workload('old'), workload('new')] : [workload('old')],
      programs: (input.programs ?? []).map((make) => (sink) => {
        const program = make(input.app)(sink)
        programs.push(program)
        return program
      }),
      clock,
      onOperation: (done) => this.#watch.settled(done),
      onDeadlock: (deadlock) =>
        this.#watch.deadlocks.push({ ...deadlock, by: `${deadlock.release} ${deadlock.operation}`, statement: null }),
    })
    const heartbeat = this.#watch.heartbeat()
    let trace: MigrationTrace | null = null
    let result: TrafficResult
    try {
      const { rate, phases } = input
      await this.#phase(traffic, 'warmup', phases.warmupMs, { old: [rate, rate], new: [0, 0] })
      await this.#phase(traffic, 'baseline', phases.baselineMs, { old: [rate, rate], new: [0, 0] }, async () => {
        await sleep(Math.max(0, phases.baselineMs - SAMPLER_LEAD_MS), input.signal)
        watched.sampler = this.#watch.sample(clock, migration, traffic, names)
        watched.ready = (await hooks.beforeMigration?.({ admin: this.#admin, clock, relations, pids })) ?? true
      })
      const sampler = (watched.sampler ??= this.#watch.sample(clock, migration, traffic, names))
      if (watched.ready && !input.signal.aborted) trace = await this.#migrate(traffic, migration, sampler)
      await sampler.stop()
      if (hooks.newRelease && trace?.run.outcome.ok && !input.signal.aborted) {
        await this.#phase(traffic, 'rollout', phases.rolloutMs, { old: [rate, 0], new: [rate * CANARY, rate] })
        await this.#phase(traffic, 'settled', phases.settleMs, { old: [0, 0], new: [rate, rate] })
      } else if (trace && !input.signal.aborted)
        await this.#phase(traffic, 'settled', phases.settleMs, { old: [rate, rate], new: [0, 0] })
    } finally {
      clearInterval(heartbeat)
      await watched.sampler?.stop()
      await hooks.close?.()
      result = await traffic.stop(2_000)
      await migration.close()
    }
    const endMs = clock.nowMs()
    names.learn(await readRelations(this.#admin))
    if (result.scriptError) throw result.scriptError
    input.onOperations?.(programs.flatMap((program) => program.operations()))
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
      looks,
      pids,
      settled: pids.settled,
      taken: input.taken,
      endMs,
      relationWaits: hooks.relationWaits,
    })
    const series = withBlocked(trafficSeries(samples, endMs), bucketMs, looks, pids)
    return {
      kind: 'timed',
      manners: manners ? mannersOf(manners, input.connections) : null,
      programs: programs.flatMap((program) => program.runs()).sort((a, b) => a.startMs - b.startMs),
      copiedBy: input.copiedBy,
      phases: this.#phases,
      migration: ran.run,
      ...observed,
      traffic: trafficRows(samples, this.#phases),
      errors: trafficErrors(samples, this.#phases),
      bucketMs,
      series,
      deadlocks: deadlocks(
        this.#watch.deadlocks,
        migration.pids(),
        (pid, atMs) => pids.at(pid, atMs),
        (atMs) => inCycle(observed.locks, atMs) ?? statementAt(ran, atMs),
      ),
      leftovers: { ...leftovers, halfApplied: halfApplied(ran) },
      dataChecks: checks,
      generator: generatorHealth(samples, result.phases, { ratePerSecond: input.rate, connections: input.connections }),
      warnings: [...ran.warnings, ...this.#warnings, ...programs.flatMap((program) => program.warnings())],
    }
  }

  async #phase(
    traffic: Traffic,
    name: PhaseName,
    lengthMs: number,
    rates: Record<Release, [number, number]>,
    meanwhile?: () => Promise<void>,
  ): Promise<void> {
    if (this.#input.signal.aborted) return
    this.#input.emit({ type: 'phase', pass: this.#hooks.pass, phase: name, lengthMs })
    const startMs = traffic.phase(name, lengthMs)
    for (const release of ['old', 'new'] as const) this.#setRate(traffic, release, rates[release], startMs, lengthMs)
    await Promise.all([sleep(lengthMs, this.#input.signal), meanwhile?.()])
    this.#phases.push({ name, startMs, endMs: this.#clock.nowMs() })
  }

  /** A steady rate follows the ramp while there is one; what rises and falls with the rollout does not. */
  #setRate(traffic: Traffic, release: Release, rates: [number, number], startMs: number, lengthMs: number): void {
    const { ramp, rate } = this.#input
    if (ramp && rates[0] === rate && rates[1] === rate) {
      const rest = restOfRamp(ramp, startMs)
      traffic.setRate(release, rest.fromPerSecond, rest.toPerSecond, rest.overMs)
    } else traffic.setRate(release, ...rates, lengthMs)
  }

  async #migrate(traffic: Traffic, migration: RunningMigration, sampler: Sampler): Promise<MigrationTrace> {
    const input = this.#input
    input.emit({ type: 'phase', pass: this.#hooks.pass, phase: 'migrate', lengthMs: null })
    const startMs = traffic.phase('migrate')
    this.#setRate(traffic, 'old', [input.rate, input.rate], startMs, 0)
    const canary = this.#hooks.newRelease ? input.rate * CANARY : 0
    traffic.setRate('new', canary, canary, 0)
    const limit = new AbortController()
    const stop = (): void => limit.abort()
    const timer = setTimeout(stop, input.maxDurationMs)
    input.signal.addEventListener('abort', stop, { once: true })
    if (input.signal.aborted) stop()
    try {
      this.#hooks.onMigration?.()
      const trace = await migration.run(limit.signal)
      const last = this.#clock.nowMs()
      // Earlier ones were tried again.
      const failure = trace.run.statements.findLast((run) => !run.outcome.ok)
      if (failure && !failure.outcome.ok && failure.outcome.error.sqlstate === '40P01') {
        this.#watch.deadlocks.push({
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
      while (this.#watch.blocked > 0 && this.#clock.nowMs() < until) await sleep(SAMPLER_PERIOD_MS, input.signal)
      return trace
    } finally {
      clearTimeout(timer)
      input.signal.removeEventListener('abort', stop)
      if (sampler.failed) this.#warnings.push('The lock sampler lost its connection: waits may be missing.')
      this.#phases.push({ name: 'migrate', startMs, endMs: this.#clock.nowMs() })
    }
  }
}
