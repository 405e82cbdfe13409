/**
 * Alternating rounds on one or two copies: in each round the same runs on both, one copy after the other, and the order
 * of the two turned round from one round to the next, so that drift of the machine favours neither. The rounds of one
 * operation do not follow each other: those of others, or a pause, are between them. Rounds within a few milliseconds
 * would all meet the same whim of the scheduler, and what disturbs one of them would count ten times.
 */
import { Bench } from 'tinybench'
import { isConnectionFailure, toPgError } from '../../pg/errors.js'
import type { TimingSession } from './session.js'
import type { Execution, Work } from './work.js'

/** PostgreSQL settles for a prepared statement's generic plan at its sixth run: warmed by at least as many. */
const FEWEST_WARM = 6
const USUAL_WARM = 10
/** An even number, so that each copy is first as often; six are the fewest that give an interval of 95 %. */
export const ROUNDS = 10
export const FEWEST_ROUNDS = 6
const MOST_PER_ROUND = 10

export interface Allowance {
  /** What the operation should take, in ms. */
  shareMs: number
  /** What it may take when it is so slow that fewer runs would tell nothing. */
  mostMs: number
  stopped: () => boolean
}

export interface Measured {
  /** Per copy, the samples of each round in ms; empty for a copy on which it does not work. */
  rounds: number[][][]
  /** Per copy, why there are none: a SQLSTATE with its words; null where there are some. */
  failures: (string | null)[]
  /** Values with which it works wherever it works at all. */
  sample: Execution | null
}

/** How often something that takes so long on all copies together is run. Pure. */
export function planRuns(onceMs: number, shareMs: number): { warm: number; rounds: number; perRound: number } {
  const runs = shareMs / Math.max(0.01, onceMs)
  if (runs < FEWEST_WARM + ROUNDS) return { warm: FEWEST_WARM, rounds: FEWEST_ROUNDS, perRound: 1 }
  if (runs < USUAL_WARM + ROUNDS) return { warm: FEWEST_WARM, rounds: ROUNDS, perRound: 1 }
  const perRound = Math.floor((runs - USUAL_WARM) / ROUNDS)
  return { warm: USUAL_WARM, rounds: ROUNDS, perRound: Math.min(MOST_PER_ROUND, perRound) }
}

/** Operations whose rounds are mixed. */
export const TOGETHER = 25
/** From one round of an operation to its next. */
const LEAST_APART_MS = 40

/** An operation that is warm, with the values that it is timed with. */
interface Ready {
  sides: readonly Side[]
  pool: readonly Execution[]
  planned: ReturnType<typeof planRuns>
  rounds: number[][][]
  /** Set when one of its rounds failed. */
  broken: string | null
}

/**
 * Times some operations on the copies of `sessions`, their rounds mixed. Values with which one fails are left out; a copy
 * on which it always fails is. A sentence stands for what could not be timed. Rejects only when a connection is lost.
 *
 * @param next what the operation of that index may take, when so many ms are still needed for those before it; null when
 * there is no time left
 */
export async function measure(
  works: readonly Work[],
  sessions: readonly TimingSession[],
  next: (index: number, reservedMs: number) => Allowance | string,
): Promise<(Measured | string)[]> {
  const ready: (Ready | string)[] = []
  let reservedMs = 0
  let stopped = (): boolean => false
  for (const [index, work] of works.entries()) {
    const allowance = next(index, reservedMs)
    if (typeof allowance !== 'string') stopped = allowance.stopped
    const warmed = typeof allowance === 'string' ? allowance : await warm(work, sessions, allowance)
    if (typeof warmed === 'string') ready.push(warmed)
    else {
      ready.push(warmed.ready)
      reservedMs += warmed.onceMs * warmed.ready.planned.rounds * warmed.ready.planned.perRound
    }
  }
  const able = ready.filter((one) => typeof one !== 'string')
  for (let round = 0; !stopped() && able.some((one) => round < one.planned.rounds); round++) {
    const startMs = performance.now()
    for (const one of able) if (round < one.planned.rounds) await runRound(one, round)
    const restMs = LEAST_APART_MS - (performance.now() - startMs)
    if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs))
  }
  return ready.map((one) => {
    if (typeof one === 'string') return one
    const failures = one.sides.map((side) => (side.works ? null : (side.failure ?? 'it does not work')))
    return one.broken ?? { rounds: one.rounds, failures, sample: one.pool[0] ?? null }
  })
}

/** Runs it often enough to be warm, and learns what works and how long it takes. */
async function warm(
  work: Work,
  sessions: readonly TimingSession[],
  allowance: Allowance,
): Promise<{ ready: Ready; onceMs: number } | string> {
  const sides: Side[] = sessions.map((session) => ({ session, works: false, failure: null, given: false }))
  const tries: { execution: Execution; ok: readonly boolean[] }[] = []
  let planned: ReturnType<typeof planRuns> | null = null
  let onceMs = Infinity
  for (let index = 0; index < (planned?.warm ?? USUAL_WARM); index++) {
    if (allowance.stopped()) return 'interrupted'
    const execution = work.execution(index)
    const startMs = performance.now()
    const ok: boolean[] = []
    for (const side of sides) ok.push(await tried(side, execution))
    tries.push({ execution, ok })
    if (planned || !ok.includes(true)) continue
    const first = onceMs === Infinity
    onceMs = Math.min(onceMs, performance.now() - startMs)
    // The first run of all is parsed and finds nothing in memory: the second one tells how long the others will take.
    if (first && onceMs < allowance.mostMs / FEWEST_WARM) continue
    if (onceMs * (FEWEST_WARM + FEWEST_ROUNDS) > allowance.mostMs) return tooSlow(onceMs)
    planned = planRuns(onceMs, allowance.shareMs)
  }
  // The same on all copies: what fails on one of them is timed on none.
  const pool = tries.flatMap(({ execution, ok }) => (sides.every((s, i) => !s.works || ok[i]) ? [execution] : []))
  const none = { warm: 0, rounds: 0, perRound: 0 }
  return {
    ready: {
      sides,
      pool,
      planned: pool.length > 0 && sides.some((side) => side.works) ? (planned ?? none) : none,
      rounds: sides.map(() => []),
      broken: null,
    },
    onceMs: planned ? onceMs : 0,
  }
}

async function runRound(one: Ready, round: number): Promise<void> {
  const { sides, pool, planned, rounds } = one
  if (one.broken !== null) return
  const working = sides.filter((side) => side.works)
  try {
    for (const side of round % 2 === 0 ? working : [...working].reverse())
      rounds[sides.indexOf(side)]?.push(await timed(side.session, pool, round * planned.perRound, planned.perRound))
  } catch (error) {
    if (isConnectionFailure(error)) throw error
    one.broken = `one of its runs failed: ${toPgError(error).message}`
  }
}

interface Side {
  session: TimingSession
  works: boolean
  /** Of its last failing run. */
  failure: string | null
  /** It cannot work on this schema, whatever the values. */
  given: boolean
}

const tooSlow = (onceMs: number): string =>
  `one run takes ${onceMs < 1_000 ? `${onceMs.toFixed(0)} ms` : `${(onceMs / 1_000).toFixed(1)} s`}, too long for as many as a comparison needs in the time there was`

/** Errors of the schema (class 42, and what is not supported) do not depend on the values. */
const STRUCTURAL = /^(?:42|0A)/

async function tried(side: Side, execution: Execution): Promise<boolean> {
  if (side.given) return false
  try {
    await side.session.run(execution)
    side.works = true
    return true
  } catch (error) {
    if (isConnectionFailure(error)) throw error
    const { sqlstate, message } = toPgError(error)
    side.failure = `${message} (${sqlstate})`
    // One that was broken off for its length would be as long again.
    side.given = STRUCTURAL.test(sqlstate) || sqlstate === '57014'
    return false
  }
}

/** The runs of one round on one copy: exactly so many, each timed by itself. */
async function timed(
  session: TimingSession,
  pool: readonly Execution[],
  from: number,
  iterations: number,
): Promise<number[]> {
  const bench = new Bench({ time: 0, iterations, warmup: false, retainSamples: true, throws: true })
  let next = from
  bench.add('run', async () => {
    const execution = pool[next++ % pool.length]
    // BEGIN and ROLLBACK are not part of it.
    return { overriddenDuration: execution ? await session.run(execution) : 0 }
  })
  const [task] = await bench.run()
  const result = task?.result
  return result && 'latency' in result ? [...(result.latency.samples ?? [])] : []
}
