/**
 * A PostgreSQL server that writes down every statement it is given (`log_statement = all`), and the parser of what it
 * wrote: a witness of what a client sent that knows nothing of the wire. The log is JSON (PostgreSQL 15 and later).
 * Values of parameters are never logged; texts are as they were sent.
 */
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { locate, prepare } from '../../src/branches/binaries.js'
import { cleanUp, startWatchdog } from '../../src/branches/clean-up.js'
import { collationFor, initialise } from '../../src/branches/cluster.js'
import { createOwned, createRunDirectory, giveTo } from '../../src/branches/run-directory.js'
import { startServer, type Server } from '../../src/branches/server.js'
import { configurationFile } from '../../src/branches/settings.js'
import { findDatabaseUser } from '../../src/branches/user.js'
import type { Address } from '../../src/pg/connect.js'
import { RehearsalError } from '../../src/errors.js'
import { connect, ROLES } from './postgres.js'
import { inCi, type Skips } from './tools.js'

/** One line of the server's log. */
export interface LogEntry {
  /** Milliseconds since 1970 by the server's clock; the log has no finer time. */
  atMs: number
  pid: number
  /** `<start of the session>.<pid>` in hex, never used twice. */
  session: string
  /** Ordinal within the session, from 1. */
  line: number
  database: string
  user: string
  application: string
  /** Virtual transaction id `<slot>/<number>`; the number is 0 outside a transaction and after its failure. */
  vxid: string
  /**
   * `statement`: a simple Query, its whole string; one that cannot be parsed is logged as an error only. `execute`: an
   * Execute of a portal. `fetch`: a further Execute of a suspended one. `notice`: from DEBUG to WARNING.
   */
  kind: 'statement' | 'execute' | 'fetch' | 'error' | 'notice' | 'connected' | 'disconnected' | 'other'
  /** Of `error`: the statement that failed, as far as the server knows it. */
  sql: string | null
  /** Of `error` and `notice`. */
  sqlstate: string | null
  /** `ERROR`, `WARNING`, `LOG`... */
  severity: string
  message: string
}

export interface LogServer {
  readonly major: number
  /** `server_version`, e.g. `18.4`. */
  readonly version: string
  /** A superuser's address of the database `postgres`. */
  readonly admin: Address
  /** Makes an empty database owned by a role without superuser, and returns that role's address of it. */
  database(name: string): Promise<Address>
  /** Makes an equal copy of a database that nobody is connected to. */
  copy(of: Address, name: string): Promise<Address>
  /** The same database with a superuser's rights. */
  superuser(of: Address): Address
  /** Folder of the server's log. */
  readonly logFolder: string
  /** Stops it and removes everything. */
  stop(): Promise<void>
}

const SETTINGS = {
  fsync: 'off',
  max_connections: '60',
  shared_buffers: '64MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  password_encryption: 'scram-sha-256',
  logging_collector: 'on',
  log_destination: 'jsonlog',
  log_filename: 'server.log',
  log_rotation_age: '0',
  log_rotation_size: '0',
  log_statement: 'all',
  log_min_messages: 'notice',
  log_min_error_statement: 'error',
  log_error_verbosity: 'default',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  log_connections: 'on',
  log_disconnections: 'on',
  log_checkpoints: 'off',
  log_autovacuum_min_duration: '-1',
}

const secret = (): string => randomBytes(24).toString('base64url')

/** Starts such a server of the major from the npm packages. `settings` come after the ones above. Throws NO_BINARIES. */
export async function startLogServer(
  major: number,
  settings: Readonly<Record<string, string>> = {},
): Promise<LogServer> {
  const installation = await locate(major)
  const user = await findDatabaseUser()
  const directory = await createRunDirectory(user)
  const watchdog = startWatchdog(directory)
  let server: Server | null = null
  const stop = async (): Promise<void> => {
    await server?.stop('immediate')
    await cleanUp(directory)
    await watchdog.dismiss()
  }
  try {
    const binaries = await prepare(installation, user, directory)
    const password = { admin: secret(), owner: secret() }
    const place = { directory, binaries, user, signal: undefined }
    const dataDirectory = await initialise(place, 'postgres', password.admin, collationFor(major))
    const logFolder = join(directory, 'log')
    await mkdir(logFolder, { mode: 0o700 })
    await giveTo(logFolder, user)
    const configuration = join(directory, 'server.conf')
    await writeFile(configuration, configurationFile({ ...SETTINGS, log_directory: logFolder, ...settings }))
    const files = { dataDirectory, configuration, log: join(directory, 'start.log') }
    server = await startServer(binaries, files, await createOwned(join(directory, 's'), user), user)
    const { port } = server
    const admin = { host: '127.0.0.1', port, database: 'postgres', user: 'postgres', password: password.admin }
    const sql = connect(admin)
    // The password would be in the log.
    await sql.begin(async (tx) => {
      await tx.unsafe("SET LOCAL log_statement = 'none'")
      await tx.unsafe(`CREATE ROLE ${ROLES.migrate} LOGIN PASSWORD '${password.owner}'`)
    })
    const [row] = await sql<{ server_version: string }[]>`SHOW server_version`
    await sql.end()
    const create = async (name: string, template: string): Promise<Address> => {
      const maker = connect(admin)
      await maker.unsafe(`CREATE DATABASE "${name}" TEMPLATE "${template}" OWNER ${ROLES.migrate}`)
      await maker.end()
      return { ...admin, database: name, user: ROLES.migrate, password: password.owner }
    }
    return {
      major,
      version: row?.server_version ?? '',
      admin,
      logFolder,
      database: (name) => create(name, 'template1'),
      copy: (of, name) => create(name, of.database),
      superuser: (of) => ({ ...admin, database: of.database }),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** For a test: skips it by name where that major is not installed; in CI its absence is a failure. */
export async function needServer(context: Skips, starting: Promise<LogServer>): Promise<LogServer> {
  try {
    return await starting
  } catch (error) {
    if (!inCi && error instanceof RehearsalError && error.code === 'NO_BINARIES') context.skip(error.message)
    throw error
  }
}

const Line = z.object({
  timestamp: z.string(),
  pid: z.number(),
  session_id: z.string().default(''),
  line_num: z.number().default(0),
  dbname: z.string().default(''),
  user: z.string().default(''),
  application_name: z.string().default(''),
  vxid: z.string().default(''),
  error_severity: z.string(),
  state_code: z.string().optional(),
  message: z.string().default(''),
  statement: z.string().optional(),
})

/** Longest time that the collector process may take to write what a session has logged. */
const FLUSH_MS = 20_000

/**
 * Everything logged so far, in order, optionally of one database. Leaves a mark in the log first and waits for it: a
 * session hands a line to the collector before it goes on, so what was answered before this call is in front of the mark.
 */
export async function logOf(server: LogServer, database?: string): Promise<LogEntry[]> {
  const mark = `rehearse mark ${randomUUID()}`
  const sql = connect(server.admin)
  await sql.unsafe(`SELECT '${mark}'`).simple()
  await sql.end()
  const deadline = Date.now() + FLUSH_MS
  for (;;) {
    const text = await readFile(join(server.logFolder, 'server.json'), 'utf8').catch(() => '')
    const at = text.indexOf(mark)
    if (at >= 0) {
      const entries = parseLog(text.slice(0, text.lastIndexOf('\n', at) + 1))
      return database === undefined ? entries : entries.filter((entry) => entry.database === database)
    }
    if (Date.now() > deadline) throw new Error('the server did not write its log')
    await sleep(20)
  }
}

/** Parses a JSON log. Pure. */
export const parseLog = (text: string): LogEntry[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => entryOf(Line.parse(JSON.parse(line))))

function entryOf(line: z.infer<typeof Line>): LogEntry {
  const { kind, sql } = classify(line)
  return {
    // `2026-01-31 12:00:00.123 UTC`
    atMs: Date.parse(line.timestamp.replace(' ', 'T').replace(' UTC', 'Z')),
    pid: line.pid,
    session: line.session_id,
    line: line.line_num,
    database: line.dbname,
    user: line.user,
    application: line.application_name,
    vxid: line.vxid,
    kind,
    sql,
    sqlstate: kind === 'error' || kind === 'notice' ? (line.state_code ?? null) : null,
    severity: line.error_severity,
    message: line.message,
  }
}

function classify(line: z.infer<typeof Line>): Pick<LogEntry, 'kind' | 'sql'> {
  const { error_severity: severity, message } = line
  if (['ERROR', 'FATAL', 'PANIC'].includes(severity)) return { kind: 'error', sql: line.statement ?? null }
  if (/^(DEBUG|INFO|NOTICE|WARNING)/.test(severity)) return { kind: 'notice', sql: line.statement ?? null }
  if (message.startsWith('statement: ')) return { kind: 'statement', sql: message.slice('statement: '.length) }
  // `execute <name of the statement>[/<name of the portal>]: <text>`; no tool puts a colon into such a name.
  const [head, kind] = /^(execute(?: fetch from)?) [^:]*: /.exec(message) ?? []
  if (head !== undefined) return { kind: kind === 'execute' ? 'execute' : 'fetch', sql: message.slice(head.length) }
  if (message.startsWith('connection authorized')) return { kind: 'connected', sql: null }
  if (message.startsWith('disconnection')) return { kind: 'disconnected', sql: null }
  return { kind: 'other', sql: null }
}
