/**
 * How long the reading operations take before and after the migration, on the quiet copy, one session, nothing else
 * running. tinybench with fixed iterations in several rounds; compared by median and MAD, because means and high
 * percentiles of a few dozen runs say more about the machine than about the query. A constant query is timed beside it,
 * so that a machine that got slower in between is not taken for a query that did.
 */
import { Bench } from 'tinybench'
import { connect, disconnect, sendTextAsItIs, type Address, type Sql } from '../pg/connect.js'
import type { QueryTiming, Timing } from '../recording.js'
import { statementFacts } from '../sql/split.js'
import type { BoundStatement, Operation, ScriptOperation, Variables } from '../traffic/operation.js'
import { Random } from '../traffic/random.js'

const ROUNDS = 3
const MOST_ITERATIONS = 30
const FEWEST_ITERATIONS = 4
/** An operation gets about this long per measurement. */
const BUDGET_MS = 400

/** What was measured at one time: by operation, and the machine's own pace. */
interface Measured {
  operations: Map<string, { timing: Timing; plan: string }>
  /** Median of `select 1`, in ms. */
  paceMs: number
}

export interface TimingProbe {
  before(): Promise<void>
  /** `settle` brings statistics and visibility up to date (VACUUM ANALYZE), to tell passing effects from lasting ones. */
  after(settle: () => Promise<void>): Promise<QueryTiming[]>
}

export interface TimingOptions {
  app: Address
  operations: readonly Operation[]
  variables: Variables
  seed: number
  /** Ratio from which a slowdown is looked at again after `settle`. */
  suspicious: number
}

/** Only scripts that read can be repeated without changing what they measure. */
export const readsOnly = (operation: Operation): operation is ScriptOperation =>
  operation.kind === 'script' &&
  operation.statementTexts.length > 0 &&
  operation.normalisedSql.every((sql) => statementFacts(sql).isQuery)

export function timingProbe(options: TimingOptions): TimingProbe {
  const operations = options.operations.filter(readsOnly)
  let first: Measured | null = null
  return {
    async before() {
      first = await measure(options, operations)
    },
    async after(settle) {
      if (!first) return []
      const before = first
      const now = await measure(options, operations)
      const timings = operations.flatMap((operation): QueryTiming[] => {
        const was = before.operations.get(key(operation))
        if (!was) return []
        const is = now.operations.get(key(operation)) ?? null
        return [
          {
            release: operation.release,
            operation: operation.name,
            before: was.timing,
            after: is ? paced(is.timing, before.paceMs / now.paceMs) : null,
            settled: null,
            planChanged: is ? is.plan !== was.plan : null,
            ratio: null,
            settledRatio: null,
            plans: [],
          },
        ]
      })
      const slow = timings.filter((t) => t.after !== null && t.after.medianMs > t.before.medianMs * options.suspicious)
      if (slow.length === 0) return timings
      await settle()
      const again = await measure(
        options,
        operations.filter((o) => slow.some((t) => t.release === o.release && t.operation === o.name)),
      )
      for (const timing of slow) {
        const settled = again.operations.get(`${timing.release} ${timing.operation}`)
        timing.settled = settled ? paced(settled.timing, before.paceMs / again.paceMs) : null
      }
      return timings
    },
  }
}

const key = (operation: Operation): string => `${operation.release} ${operation.name}`

/** A timing carried to the pace that the machine had before. */
const paced = (timing: Timing, factor: number): Timing => {
  // A pace that differs by more than this is no drift but a disturbance: it is left as it is.
  const by = factor > 0.5 && factor < 2 ? factor : 1
  return { samples: timing.samples, medianMs: timing.medianMs * by, madMs: timing.madMs * by }
}

async function measure(options: TimingOptions, operations: readonly ScriptOperation[]): Promise<Measured> {
  const sql = connect(options.app, { applicationName: 'rehearse timing', settings: { statement_timeout: '30000' } })
  sendTextAsItIs(sql, () => true)
  try {
    const pace = async (): Promise<void> => {
      await sql.unsafe('select 1')
    }
    const paceMs = (await time(pace, MOST_ITERATIONS)).medianMs
    const measured = new Map<string, { timing: Timing; plan: string }>()
    for (const operation of operations) {
      const random = new Random(options.seed).fork(`timing ${key(operation)}`)
      const run = async (): Promise<void> => {
        for (const statement of statementsOf(operation, options.variables, random))
          await sql.unsafe(statement.text, statement.params, { prepare: operation.prepared })
      }
      try {
        const startMs = performance.now()
        await run()
        const onceMs = Math.max(0.05, performance.now() - startMs)
        const iterations = Math.round(
          Math.min(MOST_ITERATIONS, Math.max(FEWEST_ITERATIONS, BUDGET_MS / ROUNDS / onceMs)),
        )
        measured.set(key(operation), {
          timing: await time(run, iterations),
          plan: await planOf(sql, operation, options),
        })
      } catch {
        // It does not work on this schema: the compat matrix says so and why.
      }
    }
    return { operations: measured, paceMs: Math.max(0.001, paceMs) }
  } finally {
    await disconnect(sql)
  }
}

const statementsOf = (operation: ScriptOperation, variables: Variables, random: Random): BoundStatement[] =>
  operation.bind(variables, random).flatMap((step) => (step.kind === 'statement' ? [step.bound] : []))

/** Median and MAD over all rounds. Ten runs of warm-up: PostgreSQL settles for a generic plan at the sixth execution. */
async function time(run: () => Promise<void>, iterations: number): Promise<Timing> {
  const samples: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const bench = new Bench({
      time: 0,
      iterations,
      warmup: true,
      warmupTime: 0,
      warmupIterations: round === 0 ? 10 : 1,
      retainSamples: true,
      throws: true,
    })
    bench.add('run', run)
    const [task] = await bench.run()
    const result = task?.result
    if (result && 'latency' in result) samples.push(...(result.latency.samples ?? []))
  }
  const medianMs = median(samples)
  return { samples: samples.length, medianMs, madMs: median(samples.map((s) => Math.abs(s - medianMs))) }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const [low = 0, high = 0] = [sorted[sorted.length % 2 ? middle : middle - 1], sorted[middle]]
  return (low + high) / 2
}

/** The shape of the plans: kinds of nodes, relations and indexes; no value and no cost. */
async function planOf(sql: Sql, operation: ScriptOperation, options: TimingOptions): Promise<string> {
  const random = new Random(options.seed).fork(`plan ${key(operation)}`)
  const shapes: string[] = []
  for (const { text, params } of statementsOf(operation, options.variables, random)) {
    const rows = await sql.unsafe<{ 'QUERY PLAN': unknown }[]>(`explain (format json, costs off) ${text}`, params, {
      prepare: false,
    })
    const plan = rows[0]?.['QUERY PLAN']
    shapes.push(shapeOf(typeof plan === 'string' ? (JSON.parse(plan) as unknown) : plan))
  }
  return shapes.join(';')
}

function shapeOf(plan: unknown): string {
  if (Array.isArray(plan)) return plan.map(shapeOf).join(',')
  if (typeof plan !== 'object' || plan === null) return ''
  const node = plan as Record<string, unknown>
  if ('Plan' in node) return shapeOf(node['Plan'])
  const name = ['Node Type', 'Relation Name', 'Index Name'].flatMap((field) =>
    typeof node[field] === 'string' ? [node[field]] : [],
  )
  return `${name.join(' ')}(${shapeOf(node['Plans'])})`
}
