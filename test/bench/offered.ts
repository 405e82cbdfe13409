/** Our open loop at one rate, in the terms in which pgbench's log is read. */
import type { Address } from '../../src/branches/index.js'
import type { Counts } from '../../src/traffic/engine.js'
import type { Transaction } from './pgbench.js'
import { generatorHealth, parseScript, Random, sleep, startClock, startTraffic } from './built.js'
import { ROWS } from './measure.js'

export interface OfferedOptions {
  /** A traffic file. */
  text: string
  connections: number
  rate: number
  seconds: number
  seed: number
}

export interface Offered {
  transactions: Transaction[]
  dropped: number
  /** Late by the event loop alone: a connection is waited for later. */
  lagP99Ms: number
  /** 0 to 1. */
  busy: number
}

/** At most so long after the last arrival. */
const DRAIN_MS = 20_000

const left = ({ running, queued }: Counts): number => running + queued

export async function offered(
  app: Address,
  { text, connections, rate, seconds, seed }: OfferedOptions,
): Promise<Offered> {
  const operations = parseScript(text, 'bench.sql', 'old')
  const variables = { rows: ROWS, seed }
  const traffic = await startTraffic({
    clock: startClock(),
    workloads: [{ release: 'old', operations, address: app, connections, variables, random: new Random(seed) }],
  })
  traffic.phase('baseline', seconds * 1000)
  traffic.setRate('old', rate, rate, 0)
  await sleep(seconds * 1000)
  // What was scheduled in time is run to its end: an arrival must not be missing because it came late.
  const drained = AbortSignal.timeout(DRAIN_MS)
  while (left(traffic.counts('old')) > 0 && !drained.aborted) await sleep(20)
  const { samples, phases } = await traffic.stop(5_000)
  const health = generatorHealth(samples, phases, { ratePerSecond: rate, connections })
  const failed = samples.outcome.filter((outcome) => outcome > 1).length
  if (failed > 0) throw new Error(`${failed} operations failed`)
  const startMs = phases[0]?.startMs ?? NaN
  const transactions: Transaction[] = []
  let dropped = 0
  for (let i = 0; i < samples.length; i++) {
    if (samples.outcome[i] !== 0) {
      dropped++
      continue
    }
    const lateMs = samples.waitMs[i] ?? NaN
    transactions.push({
      script: samples.operation[i] ?? NaN,
      scheduledMs: (samples.intendedMs[i] ?? NaN) - startMs,
      lateMs,
      serviceMs: (samples.latencyMs[i] ?? NaN) - lateMs,
    })
  }
  return { transactions, dropped, lagP99Ms: health.lagP99Ms ?? NaN, busy: health.eventLoopUtilisation ?? NaN }
}
