/** How late operations start at a given rate, and whether counts and times are those that pgbench has beside us. */
import { offered } from './offered.js'
import { pgbench, type Transaction } from './pgbench.js'
import { has, median, percentile, ratios, spread, whole, withServer, type Row } from './measure.js'

const CONNECTIONS = 16
const GET = '-- name: get; prepared: yes\n\\set id random(1, :n)\nselect v from t where id = :id;\n'
/** Left out at the beginning of each run: connections, first plans. */
const WARM_MS = 1_000

/** Those that were scheduled in the window that is compared. */
const inWindow = (all: readonly Transaction[], lengthMs: number): Transaction[] =>
  all.filter(({ scheduledMs }) => scheduledMs >= WARM_MS && scheduledMs < WARM_MS + lengthMs)

const late = (all: readonly Transaction[], p: number): number =>
  percentile(
    all.map(({ lateMs }) => lateMs),
    p,
  )

/** Start minus schedule, with the wait for a connection, of both. */
export const openLoop = (): Promise<Row[]> =>
  withServer(async ({ app }) => {
    const [rounds, lengthMs] = [4, 4_000]
    const rows: Row[] = []
    for (const rate of [500, 2_000, 5_000]) {
      const found = { p50: [] as number[], p99: [] as number[], lag: [] as number[], busy: [] as number[] }
      const peer = { p50: [] as number[], p99: [] as number[] }
      let dropped = 0
      const seconds = (lengthMs + WARM_MS) / 1000
      const ours = async (seed: number): Promise<void> => {
        const run = await offered(app, { text: GET, connections: CONNECTIONS, rate, seconds, seed })
        const window = inWindow(run.transactions, lengthMs)
        dropped += run.dropped
        found.p50.push(late(window, 0.5))
        found.p99.push(late(window, 0.99))
        found.lag.push(run.lagP99Ms)
        found.busy.push(run.busy * 100)
      }
      const theirs = async (seed: number): Promise<void> => {
        const scripts = [{ text: GET, weight: 1 }]
        const run = await pgbench(app, { scripts, clients: CONNECTIONS, seconds, rate, seed })
        const window = inWindow(run.transactions, lengthMs)
        peer.p50.push(late(window, 0.5))
        peer.p99.push(late(window, 0.99))
      }
      const both = has('pgbench') ? [ours, theirs] : [ours]
      for (let round = 1; round <= rounds; round++)
        for (const one of round % 2 ? both : [...both].reverse()) await one(round)
      rows.push({
        what: `open loop at ${whole(rate)}/s on ${CONNECTIONS} connections, operations start late by`,
        value: `p50 ${spread(found.p50)} ms, p99 ${spread(found.p99, 1)} ms; without the wait for a connection p99 ${spread(found.lag, 1)} ms; event loop busy ${spread(found.busy, 0)} %${dropped > 0 ? `; ${dropped} dropped` : ''}`,
        peer:
          peer.p50.length > 0 ? `pgbench -R: p50 ${spread(peer.p50)} ms, p99 ${spread(peer.p99, 1)} ms` : 'no pgbench',
        ratio: peer.p50.length > 0 ? `p99 ${spread(ratios(found.p99, peer.p99), 1)}` : '–',
        rounds,
      })
    }
    return rows
  })

/** Weights, and what each operation is: by key, a write, and one that takes the server some milliseconds. */
const MIX = [
  { name: 'read by key', weight: 3, body: '\\set id random(1, :n)\nselect v from t where id = :id;\n' },
  { name: 'update by key', weight: 1, body: '\\set id random(1, :n)\nupdate t set v = v where id = :id;\n' },
  {
    name: 'aggregate of 10000 rows',
    weight: 1,
    body: '\\set id random(1, :n - 10000)\nselect count(*), max(v) from t where id between :id and :id + 9999;\n',
  },
] as const

/**
 * The same script at the same rate beside pgbench. Both draw Poisson arrivals, so counts differ by chance: by
 * sqrt(1/ours + 1/theirs) of themselves (one standard deviation), which is given with them. Prints every round.
 */
export const agreement = (): Promise<Row[]> =>
  withServer(async ({ app }) => {
    if (!has('pgbench')) return []
    const [rounds, lengthMs, rate] = [6, 15_000, 1_000]
    const text = MIX.map(({ name, weight, body }) => `-- name: ${name}; weight: ${weight}\n${body}`).join('')
    const scripts = MIX.map(({ body, weight }) => ({ text: body, weight }))
    const seconds = (lengthMs + WARM_MS) / 1000 + 0.5
    const ours: Transaction[][] = []
    const theirs: Transaction[][] = []
    for (let round = 1; round <= rounds; round++) {
      const steps = [
        async () => {
          const run = await offered(app, { text, connections: CONNECTIONS, rate, seconds, seed: round })
          ours.push(inWindow(run.transactions, lengthMs))
        },
        async () => {
          const how = { scripts, clients: CONNECTIONS, seconds: Math.ceil(seconds), rate, seed: round }
          theirs.push(inWindow((await pgbench(app, how)).transactions, lengthMs))
        },
      ]
      for (const step of round % 2 ? steps : steps.reverse()) await step()
    }
    return MIX.flatMap(({ name, weight }, script) => {
      const of = (runs: readonly Transaction[][]): Transaction[][] =>
        runs.map((run) => run.filter((one) => one.script === script))
      const [mine, peer] = [of(ours), of(theirs)]
      const service = (runs: readonly Transaction[][]): number[] =>
        runs.map((run) => median(run.map((t) => t.serviceMs)))
      const counts = (runs: readonly Transaction[][]): number[] => runs.map((run) => run.length)
      const total = (runs: readonly Transaction[][]): number => counts(runs).reduce((sum, n) => sum + n, 0)
      for (let round = 0; round < rounds; round++) {
        const [a, b, c, d] = [counts(mine), counts(peer), service(mine), service(peer)].map((all) => all[round] ?? NaN)
        console.error(
          `round ${round + 1}, ${name}: ${a} / ${b} operations, median ${c?.toFixed(3)} / ${d?.toFixed(3)} ms`,
        )
      }
      const expected = (rate * rounds * lengthMs * weight) / 1000 / MIX.reduce((sum, one) => sum + one.weight, 0)
      const chance = Math.sqrt(1 / total(mine) + 1 / total(peer)) * 100
      return [
        {
          what: `the same script at ${whole(rate)}/s, ${name}: operations in ${(rounds * lengthMs) / 1000} s (${whole(expected)} expected)`,
          value: whole(total(mine)),
          peer: `pgbench -R: ${whole(total(peer))}`,
          ratio: `${(total(mine) / total(peer)).toFixed(3)}, by chance ± ${chance.toFixed(1)} %`,
          rounds,
        },
        {
          what: `the same, ${name}: median time from start to end`,
          value: `${median(service(mine)).toFixed(2)} ms`,
          peer: `pgbench -R: ${median(service(peer)).toFixed(2)} ms`,
          ratio: spread(ratios(service(mine), service(peer))),
          rounds,
        },
      ]
    })
  })
