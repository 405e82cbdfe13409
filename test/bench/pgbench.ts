/** pgbench as the peer of the traffic generator: the same scripts, its log read back. One thread, as ours. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Address } from '../../src/branches/index.js'
import { clientOf, ROWS } from './measure.js'

export interface PgbenchOptions {
  /** As in a traffic file, one operation each. */
  scripts: readonly { text: string; weight: number }[]
  clients: number
  seconds: number
  /** Open loop at so many a second; as fast as it can unless given. */
  rate?: number
  seed?: number
}

/** One transaction of the log. */
export interface Transaction {
  script: number
  /** Since the first scheduled one. */
  scheduledMs: number
  /** Start minus schedule. */
  lateMs: number
  /** End minus start. */
  serviceMs: number
}

/** Transactions a second, and with a rate all of them. */
export async function pgbench(
  address: Address,
  { scripts, clients, seconds, rate, seed = 1 }: PgbenchOptions,
): Promise<{ tps: number; transactions: Transaction[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'rehearse-bench-'))
  try {
    const files = scripts.flatMap(({ text, weight }, i) => {
      const file = join(folder, `${i}.sql`)
      writeFileSync(file, text)
      return ['-f', `${file}@${weight}`]
    })
    const log = rate === undefined ? [] : ['-R', String(rate), '-l', `--log-prefix=${join(folder, 'log')}`]
    const { args, env } = clientOf(address)
    const how = ['-n', '-M', 'prepared', '-c', String(clients), '-T', String(seconds), '-D', `n=${ROWS}`]
    const all = [...how, `--random-seed=${seed}`, ...log, ...files, ...args, address.database]
    const { stdout } = await promisify(execFile)('pgbench', all, { env })
    const tps = Number(/^tps = ([\d.]+)/m.exec(stdout)?.[1] ?? NaN)
    const lines = readdirSync(folder)
      .filter((name) => name.startsWith('log'))
      .flatMap((name) => readFileSync(join(folder, name), 'utf8').trim().split('\n'))
    return { tps, transactions: parse(lines) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** `client transaction time script epoch_s epoch_us lag`: `time` counts from the schedule, all in microseconds. */
function parse(lines: readonly string[]): Transaction[] {
  const all = lines.map((line) => {
    const [, , time = NaN, script = NaN, seconds = NaN, us = NaN, lag = NaN] = line.split(' ').map(Number)
    return { script, endMs: seconds * 1000 + us / 1000, latencyMs: time / 1000, lateMs: lag / 1000 }
  })
  const first = all.reduce((least, { endMs, latencyMs }) => Math.min(least, endMs - latencyMs), Infinity)
  return all.map(({ script, endMs, latencyMs, lateMs }) => ({
    script,
    scheduledMs: endMs - latencyMs - first,
    lateMs,
    serviceMs: latencyMs - lateMs,
  }))
}
