/** Making a cluster: initdb with a stated encoding and collation, and errors of the disk in one place. */
import { rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import postgres from 'postgres'
import { RehearsalError } from '../errors.js'
import type { Binaries } from './binaries.js'
import { run, systemCode, type DatabaseUser } from './child.js'
import type { Address } from './provider.js'
import { connectAs, endConnection } from './roles.js'
import { createOwned, giveTo } from './run-directory.js'
import { readLog, saysDiskFull } from './server.js'

/** What every step needs to know about the place where it works. */
export interface Workplace {
  readonly directory: string
  readonly binaries: Binaries
  readonly user: DatabaseUser
  readonly signal: AbortSignal | undefined
}

export interface Collation {
  readonly name: string
  readonly flags: readonly string[]
}

/**
 * The collation of new clusters. The builtin provider, whose order never changes with the system, exists since 17;
 * before that ICU's root locale is the one that every system has alike.
 */
export const collationFor = (major: number): Collation =>
  major >= 17
    ? { name: 'C.UTF-8 (builtin)', flags: ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] }
    : { name: 'und (icu)', flags: ['--locale-provider=icu', '--icu-locale=und'] }

/**
 * Runs initdb and returns the data directory. The password goes through a file that only the database's user can read
 * and that is gone afterwards. Throws DISK_FULL or SERVER_FAILED.
 */
export async function initialise(
  place: Workplace,
  admin: string,
  password: string,
  collation: Collation,
): Promise<string> {
  const { directory, binaries, user, signal } = place
  const data = await createOwned(join(directory, 'data'), user)
  const passwordFile = join(directory, 'password')
  await writeFile(passwordFile, password, { mode: 0o600 })
  await giveTo(passwordFile, user)
  try {
    const args = ['-D', data, '-U', admin, '--auth=scram-sha-256', `--pwfile=${passwordFile}`]
    args.push('-E', 'UTF8', '--locale=C', ...collation.flags, '--no-sync', '--no-instructions')
    const { code, output } = await run(binaries.initdb, args, user, signal)
    if (code === 0) return data
    if (saysDiskFull(output)) throw new RehearsalError('DISK_FULL', { path: directory })
    throw new RehearsalError('SERVER_FAILED', { step: 'initdb', message: errorLine(output, 'last') })
  } finally {
    await rm(passwordFile, { force: true })
  }
}

/** Lets the server read a configuration without starting, so that a wrong setting shows before hours of filling. */
export async function checkConfiguration(place: Workplace, data: string, file: string): Promise<void> {
  const args = ['-D', data, '-c', `config_file=${file}`, '-C', 'shared_buffers']
  const { code, output } = await run(place.binaries.postgres, args, place.user, place.signal)
  if (code !== 0) throw new RehearsalError('USAGE', { message: `settings: ${errorLine(output, 'first')}` })
}

/** The first or last line that tells what went wrong, without severity and without the path of our own file. */
function errorLine(output: string, which: 'first' | 'last'): string {
  const lines = output.split('\n').filter((line) => /\b(error|LOG|FATAL|PANIC):/.test(line))
  return (lines.at(which === 'first' ? 0 : -1) ?? 'it ended without a word')
    .replace(/^.*?\b(?:error|LOG|FATAL|PANIC):\s+/, '')
    .replace(/ in file ".*" line \d+$/, '')
}

/**
 * DISK_FULL when an error says so, or the log of the server that it came from: an ERROR reaches the client as 53100
 * disk_full, but a server that cannot write its write-ahead log goes down, and the client only loses its connection.
 * Otherwise null.
 */
export function asDiskFull(error: unknown, serverLog: string): RehearsalError | null {
  if (error instanceof RehearsalError) return error.code === 'DISK_FULL' ? error : null
  const full =
    systemCode(error) === 'ENOSPC' ||
    (error instanceof postgres.PostgresError && error.code === '53100') ||
    saysDiskFull(readLog(serverLog))
  return full ? new RehearsalError('DISK_FULL', { path: dirname(serverLog) }, error) : null
}

/** Writes everything out and returns the segment of the write-ahead log that is in use afterwards. */
export async function checkpoint(admin: Address): Promise<string> {
  const sql = connectAs(admin)
  try {
    await sql`CHECKPOINT`
    const [row] = await sql<{ segment: string }[]>`SELECT pg_walfile_name(pg_current_wal_lsn()) AS segment`
    return row?.segment ?? 'F'.repeat(24)
  } finally {
    await endConnection(sql)
  }
}
