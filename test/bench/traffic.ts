/** The traffic generator: what one operation costs, and how well the schedule is kept. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Address } from '../../src/branches/index.js'
import { generatorHealth, parseScript, Random, Session, sleep, startClock, startTraffic } from './built.js'
import {
  clientOf,
  connect,
  has,
  interleave,
  median,
  perSecond,
  ratios,
  ROWS,
  spread,
  whole,
  withServer,
  type Row,
} from './measure.js'

const SCRIPT = '-- name: get; prepared: yes\n\\set id random(1, :n)\nselect v from t where id = :id;\n'
const WINDOW_MS = 500

/** A prepared select by primary key on one connection, one after the other: our session, and the driver alone. */
export const session = (): Promise<Row[]> =>
  withServer(async ({ app }) => {
    const operations = parseScript(SCRIPT, 'get.sql', 'old')
    const [operation] = operations
    if (!operation) throw new Error('no operation')
    const random = new Random(1)
    const ours = new Session({ address: app, release: 'old', connection: 1, variables: { rows: ROWS, seed: 1 } })
    await ours.open()
    await ours.warm(operations, random)
    const driver = connect(app)
    const draw = new Random(2)
    const failed = { count: 0 }
    const candidates: Record<string, () => Promise<number>> = {
      ours: () =>
        perSecond(WINDOW_MS, (i) =>
          ours.run(operation, random.fork(i), (ran) => {
            if (!ran.ok) failed.count++
          }),
        ),
      'the driver alone': () =>
        perSecond(WINDOW_MS, () =>
          driver.unsafe('select v from t where id = $1', [draw.int(1, ROWS)], { prepare: true }),
        ),
    }
    const folder = mkdtempSync(join(tmpdir(), 'rehearse-bench-'))
    if (has('pgbench')) candidates['pgbench (written in C)'] = () => pgbench(app, folder)
    const { ours: values = [], ...peers } = await interleave(20, candidates)
    rmSync(folder, { recursive: true })
    await ours.close()
    await driver.end()
    if (failed.count > 0) throw new Error(`${failed.count} operations failed`)
    return Object.entries(peers).map(([name, peer]) => ({
      what: 'operations/s of one session, prepared select by key',
      value: whole(median(values)),
      peer: `${name}: ${whole(median(peer))}`,
      ratio: spread(ratios(values, peer)),
      rounds: values.length,
    }))
  })

/** The same script with one client; it runs for a second, which is the least it can do. */
async function pgbench(address: Address, folder: string): Promise<number> {
  const file = join(folder, 'get.sql')
  writeFileSync(file, SCRIPT)
  const { args, env } = clientOf(address)
  const how = ['-n', '-M', 'prepared', '-c', '1', '-T', '1', '-D', `n=${ROWS}`, '-f', file]
  const { stdout } = await promisify(execFile)('pgbench', [...how, ...args, address.database], { env })
  return Number(/^tps = ([\d.]+)/m.exec(stdout)?.[1] ?? NaN)
}

const RATES = [100, 1_000, 2_000] as const
const ROUNDS = 3
const LENGTH_MS = 4_000

/** Open loop with ten connections: how late operations start, and how busy the event loop is. */
export const openLoop = (): Promise<Row[]> =>
  withServer(async ({ app }) => {
    const found = new Map(
      RATES.map((rate) => [rate, { p50: [] as number[], p99: [] as number[], busy: [] as number[] }]),
    )
    for (let round = 0; round < ROUNDS; round++)
      for (const rate of RATES) {
        const clock = startClock()
        const operations = parseScript(SCRIPT, 'get.sql', 'old')
        const variables = { rows: ROWS, seed: 1 }
        const traffic = await startTraffic({
          clock,
          workloads: [
            { release: 'old', operations, address: app, connections: 10, variables, random: new Random(round) },
          ],
        })
        traffic.phase('warmup')
        traffic.setRate('old', rate, rate, 0)
        await sleep(1_000)
        traffic.phase('baseline')
        await sleep(LENGTH_MS)
        const { samples, phases } = await traffic.stop(1_000)
        const health = generatorHealth(samples, phases, { ratePerSecond: rate, connections: 10 })
        if (health.baselineDropped > 0) throw new Error(`${health.baselineDropped} operations were dropped`)
        found.get(rate)?.p50.push(health.lagP50Ms ?? NaN)
        found.get(rate)?.p99.push(health.lagP99Ms ?? NaN)
        found.get(rate)?.busy.push((health.eventLoopUtilisation ?? NaN) * 100)
      }
    return [...found].map(([rate, { p50, p99, busy }]) => ({
      what: `open loop at ${whole(rate)}/s, late by`,
      value: `p50 ${spread(p50, 1)} ms, p99 ${spread(p99, 1)} ms`,
      peer: `no peer; event loop busy ${spread(busy, 0)} %`,
      ratio: '–',
      rounds: ROUNDS,
    }))
  })
