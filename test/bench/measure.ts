/** What all benches share: a server to measure on, rounds that alternate, and medians with their range. */
import { execFileSync } from 'node:child_process'
import postgres from 'postgres'
import type { Address, Branch } from '../../src/branches/index.js'
import { branches } from './built.js'

/** One line of the table. */
export interface Row {
  what: string
  value: string
  /** What it is compared with in the same run, and that one's value. */
  peer: string
  /** value / peer of each round: the median, and the range in brackets. */
  ratio: string
  rounds: number
}

export const ROWS = 100_000
const ROLES = { migrate: 'owner', app: 'app' } as const

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const [low = NaN, high = NaN] = [sorted[sorted.length % 2 ? middle : middle - 1], sorted[middle]]
  return (low + high) / 2
}

/** Nearest rank. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.max(1, Math.ceil(p * sorted.length)) - 1] ?? NaN
}

/** `1.23 (1.10 – 1.31)`: median and range. */
export function spread(values: readonly number[], digits = 2): string {
  const [low, high] = [Math.min(...values), Math.max(...values)]
  return `${median(values).toFixed(digits)} (${low.toFixed(digits)} – ${high.toFixed(digits)})`
}

/** With a comma for every thousand. */
export const whole = (value: number): string => Math.round(value).toLocaleString('en-US')

/**
 * Runs all candidates once per round, in turn and each round in the other direction, so that a machine that gets slower
 * meanwhile is fair to all. Returns what each gave, by round.
 */
export async function interleave<Name extends string>(
  rounds: number,
  candidates: Readonly<Record<Name, () => Promise<number>>>,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(candidates) as Name[]
  const results = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>
  // The first round only warms up.
  for (let round = 0; round <= rounds; round++)
    for (const name of round % 2 ? names : [...names].reverse()) {
      const value = await candidates[name]()
      if (round > 0) results[name].push(value)
    }
  return results
}

export const ratios = (values: readonly number[], peer: readonly number[]): number[] =>
  values.map((value, i) => value / (peer[i] ?? NaN))

/** Repeats a step for so long; returns how often it was done in a second. */
export async function perSecond(ms: number, step: (i: number) => Promise<unknown>): Promise<number> {
  const start = performance.now()
  let done = 0
  while (performance.now() - start < ms) await step(done++)
  return (done * 1000) / (performance.now() - start)
}

/** Whether a program of a PostgreSQL installation is there to be compared with. */
export function has(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** How `psql` and `pgbench` are told where to go. */
export const clientOf = (address: Address): { args: string[]; env: NodeJS.ProcessEnv } => ({
  args: ['-h', address.host, '-p', String(address.port), '-U', address.user],
  env: { PATH: process.env['PATH'], PGPASSWORD: address.password },
})

/** One silent session. */
export const connect = (address: Address): postgres.Sql =>
  postgres({
    host: address.host,
    port: address.port,
    database: address.database,
    username: address.user,
    password: address.password,
    max: 1,
    fetch_types: false,
    onnotice: () => undefined,
  })

/** A branch that is open for filling; closed after the body. */
export async function withBranch<T>(body: (branch: Branch) => Promise<T>): Promise<T> {
  const branch = await branches.embedded.open({ major: 18, roles: ROLES })
  try {
    return await body(branch)
  } finally {
    await branch.close()
  }
}

/** A server with measuring settings and one table `t (id, v)` of 100,000 rows. */
export const withServer = <T>(body: (addresses: { admin: Address; app: Address }) => Promise<T>): Promise<T> =>
  withBranch(async (branch) => {
    const owner = connect(branch.address('migrate'))
    await owner.unsafe(`create table t (id int primary key, v text not null)`)
    await owner.unsafe(`insert into t select g, md5(g::text) from generate_series(1, ${ROWS}) g`)
    await owner.unsafe('vacuum analyze t').simple()
    await owner.end()
    await branch.seal()
    const copy = await branch.fork('bench')
    return body({ admin: copy.address('admin'), app: copy.address('app') })
  })
