/** One PostgreSQL server process: start, readiness, stop, and what its log says when it fails. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { RehearsalError } from '../errors.js'
import type { Binaries } from './binaries.js'
import { childOptions, systemCode, type DatabaseUser } from './child.js'

const START_TIMEOUT_MS = 60_000
const POLL_MS = 10
/** How long a server may take to stop before it is stopped harder. */
const PATIENCE_MS = { fast: 60_000, immediate: 6_000 }
const HOST = '127.0.0.1'

export interface Server {
  readonly port: number
  /** `fast` writes everything out and leaves a clean directory; `immediate` does not care. */
  stop(how: 'fast' | 'immediate'): Promise<void>
}

export interface ServerFiles {
  readonly dataDirectory: string
  readonly configuration: string
  readonly log: string
}

/** Whether a text of the system or of PostgreSQL says that the disk is full. */
export const saysDiskFull = (text: string): boolean => text.includes('No space left on device')

/** A free TCP port on loopback, or the given one when it is free. Throws NO_PORT. */
export function freePort(wanted: number = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', (error) => {
      const reason = systemCode(error) === 'EADDRINUSE' ? 'is in use' : error.message
      reject(new RehearsalError('NO_PORT', { message: wanted === 0 ? reason : `${wanted} ${reason}` }, error))
    })
    probe.listen({ port: wanted, host: HOST, exclusive: true }, () => {
      const address = probe.address()
      const port = typeof address === 'object' && address !== null ? address.port : wanted
      probe.close(() => resolve(port))
    })
  })
}

/**
 * Starts a server and waits until it accepts connections. `settings` of one start (port, socket) are given on the
 * command line so that the configuration file is the same for every copy. Throws NO_PORT, DISK_FULL, SERVER_FAILED.
 */
export async function startServer(
  binaries: Binaries,
  files: ServerFiles,
  socketDirectory: string,
  user: DatabaseUser,
  wantedPort?: number,
  signal?: AbortSignal,
): Promise<Server> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort(wantedPort)
    const child = launch(binaries, files, socketDirectory, user, port)
    try {
      await untilReady(child, files, signal)
      return { port, stop: (how) => stop(child, how) }
    } catch (error) {
      await stop(child, 'immediate')
      // Somebody else may have taken the port between our look and the server's.
      const reason = cannotBind(files.log)
      if (reason !== null && wantedPort === undefined && attempt < 5) continue
      if (reason !== null) throw new RehearsalError('NO_PORT', { message: `${port} ${reason}` }, error)
      throw error
    }
  }
}

function launch(
  binaries: Binaries,
  files: ServerFiles,
  socketDirectory: string,
  user: DatabaseUser,
  port: number,
): ChildProcess {
  const options = {
    config_file: files.configuration,
    listen_addresses: HOST,
    port: String(port),
    unix_socket_directories: fits(socketDirectory) ? socketDirectory : '',
  }
  const args = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  // Opened anew for each attempt: what an earlier attempt wrote must not be taken for this one's failure.
  const log = openSync(files.log, 'w', 0o600)
  try {
    const child = spawn(binaries.postgres, ['-D', files.dataDirectory, ...args], {
      ...childOptions(user),
      stdio: ['ignore', log, log],
    })
    child.once('error', () => undefined)
    // A server must not keep a program alive that forgot to close its branch: the exit handler then stops it.
    child.unref()
    return child
  } finally {
    closeSync(log)
  }
}

/** A socket's path is limited to 103 bytes on macOS (107 on Linux), and the setting is a list split at commas. */
const fits = (directory: string): boolean =>
  Buffer.byteLength(join(directory, '.s.PGSQL.65535')) <= 103 && !/[,"]/.test(directory)

async function untilReady(child: ChildProcess, files: ServerFiles, signal?: AbortSignal): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS
  while (!(await isReady(child, files.dataDirectory))) {
    signal?.throwIfAborted()
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null)
      throw serverFailure('start', files)
    if (Date.now() > deadline) throw serverFailure('start', files, 'it was not ready after 60 s')
    await sleep(POLL_MS)
  }
}

/** The postmaster writes its state to line 8 of its pid file (what `pg_ctl -w` looks at). */
async function isReady(child: ChildProcess, dataDirectory: string): Promise<boolean> {
  const text = await readFile(join(dataDirectory, 'postmaster.pid'), 'utf8').catch(() => '')
  const lines = text.split('\n')
  return Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready'
}

/**
 * A server's log without the statements that it quotes: log_min_error_statement cannot silence a PANIC, and a statement
 * may hold values. Lines that begin with a tab continue an entry.
 */
export function readServerLog(path: string): string {
  let quoting = false
  const kept = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => {
      if (!line.startsWith('\t')) quoting = /\] (STATEMENT|DETAIL|CONTEXT|QUERY): {2}/.test(line)
      return !quoting
    })
  return kept.join('\n')
}

/** Turns the end of the server's log into an error: DISK_FULL or SERVER_FAILED. */
export function serverFailure(step: string, files: ServerFiles, message?: string): RehearsalError {
  const log = readLog(files.log)
  if (saysDiskFull(log)) return new RehearsalError('DISK_FULL', { path: dirname(files.dataDirectory) })
  return new RehearsalError('SERVER_FAILED', { step, message: message ?? reason(log) })
}

/** The line that tells why a server stopped; an invalid setting is named in the line before the last. */
function reason(log: string): string {
  const lines = log.split('\n').filter((line) => line.trim() !== '')
  const fatal = lines.findLastIndex((line) => /\b(FATAL|PANIC):/.test(line))
  const aboutConfiguration = fatal > 0 && (lines[fatal] ?? '').includes('configuration file')
  const line = lines.at(aboutConfiguration ? fatal - 1 : fatal) ?? 'it ended without a word'
  return line.replace(/^.*?\b(?:LOG|FATAL|PANIC):\s+/, '')
}

/** Why the server could not listen on its port, or null when that was not its trouble. */
function cannotBind(log: string): string | null {
  const [, reason] = /could not bind IPv4 address "[^"]*": (.+)/.exec(readLog(log)) ?? []
  if (reason === undefined) return null
  return reason === 'Address already in use' ? 'is in use' : `cannot be used: ${reason.toLowerCase()}`
}

/** The end of a server's log; empty when there is none. */
export function readLog(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(-64 * 1024)
  } catch {
    return ''
  }
}

const running = (child: ChildProcess): boolean =>
  child.pid !== undefined && child.exitCode === null && child.signalCode === null

async function stop(child: ChildProcess, how: 'fast' | 'immediate'): Promise<void> {
  const steps: [NodeJS.Signals, number][] = [
    ['SIGQUIT', PATIENCE_MS.immediate],
    ['SIGKILL', PATIENCE_MS.immediate],
  ]
  if (how === 'fast') steps.unshift(['SIGINT', PATIENCE_MS.fast])
  for (const [signal, patienceMs] of steps) {
    if (!running(child)) return
    child.ref()
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    const patience = new AbortController()
    await Promise.race([ended, sleep(patienceMs, undefined, { signal: patience.signal }).catch(() => undefined)])
    patience.abort()
  }
}
