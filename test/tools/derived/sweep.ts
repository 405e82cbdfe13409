/** What derived traffic makes of schemas that nobody here wrote. See ../derived.mjs. */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { startClock, sleep } from '../../../src/clock.js'
import { grantApp } from '../../../src/branches/index.js'
import { connect as connectTo, disconnect, sendTextAsItIs, type Sql } from '../../../src/pg/connect.js'
import { statementFacts } from '../../../src/sql/split.js'
import { finishSeed } from '../../../src/seeds/index.js'
import { fillFromSchema } from '../../../src/seeds/generated/index.js'
import {
  deriveOperations,
  verifyOperations,
  coverage,
  type DerivedOperation,
  type LeftOut,
} from '../../../src/traffic/derived/index.js'
import { startTraffic } from '../../../src/traffic/engine.js'
import type { Operation, Variables } from '../../../src/traffic/operation.js'
import { Random } from '../../../src/traffic/random.js'
import { FIRST_ERROR, OK } from '../../../src/traffic/samples.js'
import { readShape, samplePools, valueMaker } from '../../../src/values/index.js'
import { startServer, connect, type TestServer } from '../../support/postgres.js'
import { build, empty, type Built } from './build.js'

interface Figures {
  name: string
  refused: number
  tables: { all: number; read: number; inserted: number; updated: number }
  touched: number
  operations: number
  verifySeconds: number
  played: number
  succeeded: number
  leftOut: LeftOut[]
  errors: string[]
  effect: Effect
}

/** Operations that met a row in at least one of a few runs, of all of their kind; names of those that never did. */
interface Effect {
  reads: string
  inserts: string
  updates: string
  idle: string[]
}

const SEED = 1

/** Prints a line for each schema; 1 when one of them is below what is asked of derived traffic. */
export async function sweep(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rows: { type: 'string', default: '2000' },
      seconds: { type: 'string', default: '5' },
      rate: { type: 'string', default: '100' },
      most: { type: 'string', default: '400' },
      verbose: { type: 'boolean', default: false },
    },
  })
  if (positionals.length === 0) {
    console.error(
      'usage: node test/tools/derived.mjs <folder or file>... [--rows n] [--seconds s] [--rate r] [--most operations] [--verbose]',
    )
    return 2
  }
  const lines: string[] = []
  let bad = 0
  for (const path of positionals) {
    const figures = await one(path, {
      rows: Number(values.rows),
      seconds: Number(values.seconds),
      rate: Number(values.rate),
      most: Number(values.most),
      verbose: values.verbose,
    })
    if (!isGood(figures)) bad++
    lines.push(lineOf(figures))
    report(figures)
  }
  console.log(
    `\n| schema | tables | read / insert / update | columns touched | operations | reads, inserts, updates that met a row | left out | baseline | verify |`,
  )
  console.log('|---|---|---|---|---|---|---|---|---|')
  for (const line of lines) console.log(line)
  return bad > 0 ? 1 : 0
}

const isGood = ({ tables, touched, succeeded }: Figures): boolean =>
  Math.min(tables.read, tables.inserted, tables.updated) === tables.all && touched >= 0.9 && succeeded >= 0.95

const percent = (part: number): string => `${(100 * part).toFixed(1)} %`

const lineOf = (f: Figures): string =>
  `| ${f.name} | ${f.tables.all} | ${f.tables.read} / ${f.tables.inserted} / ${f.tables.updated} | ${percent(f.touched)} | ${f.operations} | ${f.effect.reads}, ${f.effect.inserts}, ${f.effect.updates} | ${f.leftOut.length} | ${percent(f.succeeded)} of ${f.played} | ${f.verifySeconds.toFixed(1)} s |`

function report({ name, leftOut, errors, effect }: Figures): void {
  console.log(`\n${name}`)
  for (const { what, reason } of leftOut) console.log(`  left out: ${what}: ${reason}`)
  for (const operation of effect.idle) console.log(`  meets no row: ${operation}`)
  for (const error of errors) console.log(`  failed: ${error}`)
}

interface Wanted {
  rows: number
  seconds: number
  rate: number
  most: number
  verbose: boolean
}

async function one(path: string, wanted: Wanted): Promise<Figures> {
  const { rows, verbose } = wanted
  let built: Built = { name: path, statements: 0, refused: [] }
  const leftOut: LeftOut[] = []
  const server = await startServer({
    fill: async (admin, branch) => {
      built = await build(admin, path)
      if (verbose) for (const line of built.refused) console.log(`  refused: ${line}`)
      await empty(admin)
      const sql = connectTo(branch.address('admin'), { applicationName: 'fill' })
      const shape = await readShape(sql)
      const began = performance.now()
      const owner = connectTo(branch.address('admin'), { applicationName: 'fill owner' })
      const filled = await fillFromSchema({ owner, admin: sql, shape, rows, seedNumber: SEED })
      console.log(`${built.name}: filled in ${((performance.now() - began) / 1000).toFixed(1)} s`)
      for (const { table, reason } of filled.left) leftOut.push({ what: `${table} (fill)`, calls: null, reason })
      await disconnect(owner)
      await finishSeed(sql)
      await grantApp(admin, 'app')
      // An application that policies know by its user's token connects as a role that they do not hold for, or sets the
      // token first; that is for declared traffic.
      if (shape.tables.some(({ rowSecurity }) => rowSecurity)) await admin.unsafe('alter role app bypassrls')
      await disconnect(sql)
    },
  })
  try {
    return { ...(await traffic(server, wanted, leftOut)), name: built.name, refused: built.refused.length }
  } finally {
    const log = readFileSync(server.serverLog, 'utf8')
    if (verbose) for (const line of new Set(log.match(/^.*(?:ERROR|FATAL|PANIC).*$/gm))) console.log(`  log: ${line}`)
    await server.stop()
  }
}

async function traffic(
  server: TestServer,
  { rows, seconds, rate, most }: Wanted,
  leftOut: LeftOut[],
): Promise<Omit<Figures, 'name' | 'refused'>> {
  const sql = connectTo(server.app, { applicationName: 'verify' })
  const admin = connect(server.admin)
  const shape = await readShape(sql, { role: 'app' })
  const pools = await samplePools(sql, shape, { seedNumber: SEED })
  const maker = valueMaker(shape, pools, { seedNumber: SEED })
  const derived = deriveOperations({
    shape,
    pools,
    maker,
    release: 'old',
    touched: new Set(),
    exclude: new Set(),
    most,
  })
  const began = performance.now()
  const variables = { rows, seed: SEED }
  const verified = await verifyOperations(sql, derived.operations, {
    seed: SEED,
    variables: { ...variables, clientId: 0 },
  })
  const verifySeconds = (performance.now() - began) / 1000
  const effect = await effects(sql, verified.operations, { ...variables, clientId: 0 })
  await disconnect(sql)
  const covered = coverage(shape, verified.operations)
  const played = await play(server, verified.operations, variables, seconds, rate)
  await admin.end()
  return {
    ...played,
    ...covered,
    effect,
    tables: covered.tables,
    touched: covered.columns.touched / Math.max(1, covered.columns.all),
    operations: verified.operations.length,
    verifySeconds,
    leftOut: [...leftOut, ...derived.leftOut, ...verified.leftOut],
  }
}

const RUNS = 8

/** Success alone says little: an update of no row succeeds, and so does ON CONFLICT DO NOTHING. */
async function effects(sql: Sql, operations: readonly DerivedOperation[], variables: Variables): Promise<Effect> {
  const met = { reads: [0, 0], inserts: [0, 0], updates: [0, 0] }
  const idle: string[] = []
  sendTextAsItIs(sql, () => true)
  for (const operation of operations) {
    if (operation.does === 'delete' || operation.does === 'upsert') continue
    const side = operation.does === 'insert' ? 'inserts' : operation.does === 'update' ? 'updates' : 'reads'
    let rows = 0
    for (let run = 0; run < RUNS && rows === 0; run++) {
      await sql.unsafe('begin').simple()
      try {
        for (const step of operation.bind(variables, new Random(99).fork(operation.name).fork(run)))
          if (step.kind === 'statement' && statementFacts(step.bound.text).transaction === null)
            rows = (await sql.unsafe(step.bound.text, step.bound.params)).count
      } catch {
        // Counted where it is tried and played.
      }
      await sql.unsafe('rollback').simple()
    }
    met[side][1] = (met[side][1] ?? 0) + 1
    if (rows > 0) met[side][0] = (met[side][0] ?? 0) + 1
    else idle.push(operation.name)
  }
  const text = ([some, all]: number[]): string => `${some ?? 0}/${all ?? 0}`
  return { reads: text(met.reads), inserts: text(met.inserts), updates: text(met.updates), idle }
}

/** A baseline: one release at full rate, nothing else. */
async function play(
  server: TestServer,
  operations: readonly Operation[],
  variables: { rows: number; seed: number },
  seconds: number,
  rate: number,
): Promise<{ played: number; succeeded: number; errors: string[] }> {
  const running = await startTraffic({
    clock: startClock(),
    workloads: [
      { release: 'old', operations, address: server.app, connections: 10, variables, random: new Random(SEED) },
    ],
  })
  running.phase('baseline')
  running.setRate('old', rate, rate, 0)
  await sleep(seconds * 1000)
  const { samples, scriptError } = await running.stop(5_000)
  if (scriptError) throw scriptError
  const errors = new Map<string, number>()
  let good = 0
  for (let i = 0; i < samples.length; i++) {
    const outcome = samples.outcome[i] ?? 0
    if (outcome === OK) good++
    else {
      const error = samples.errors[outcome - FIRST_ERROR]
      const name = samples.operations[samples.operation[i] ?? 0]?.name ?? ''
      const line = `${name}: ${error ? `${error.sqlstate} ${error.message}` : 'dropped'}`
      errors.set(line, (errors.get(line) ?? 0) + 1)
    }
  }
  return {
    played: samples.length,
    succeeded: samples.length === 0 ? 0 : good / samples.length,
    errors: [...errors].map(([line, count]) => `${count} x ${line}`),
  }
}
