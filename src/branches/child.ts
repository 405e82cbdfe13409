/** Starting programs as the user who owns the database, out of reach of the terminal's signals. */
import { spawn } from 'node:child_process'

/** The user that PostgreSQL runs as; `ids` is null when that is ourselves. */
export interface DatabaseUser {
  readonly name: string
  readonly ids: { readonly uid: number; readonly gid: number } | null
}

export interface Finished {
  /** null when a signal ended it. */
  readonly code: number | null
  /** The end of what it wrote to stdout and stderr, in the order of arrival. */
  readonly output: string
}

const KEPT_CHARACTERS = 64 * 1024

/** Nothing of our own environment but the search path: PGOPTIONS, PGDATA, LANG and the like would change the server. */
export const cleanEnvironment = (): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'] ?? '/usr/bin:/bin',
  LC_ALL: 'C',
})

/** Options common to all our children: own session (no Ctrl-C), neutral folder, given user. */
export const childOptions = (
  user: DatabaseUser,
): { cwd: string; env: NodeJS.ProcessEnv; detached: true } & {
  uid?: number
  gid?: number
} => ({ cwd: '/', env: cleanEnvironment(), detached: true, ...user.ids })

/**
 * Runs a program to its end and returns its exit code and output. Rejects with the system's error when it cannot be
 * started, and with the signal's reason when aborted.
 */
export function run(
  file: string,
  args: readonly string[],
  user: DatabaseUser,
  signal?: AbortSignal,
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const child = spawn(file, args, { ...childOptions(user), stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const keep = (text: string) => {
      output = (output + text).slice(-KEPT_CHARACTERS)
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    const abort = () => child.kill('SIGKILL')
    signal?.addEventListener('abort', abort, { once: true })
    child.once('error', (error) => {
      signal?.removeEventListener('abort', abort)
      reject(error)
    })
    child.once('close', (code) => {
      signal?.removeEventListener('abort', abort)
      if (signal?.aborted) reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'))
      else resolve({ code, output })
    })
  })
}

/** The `code` of a system error (`ENOENT`, `ENOSPC`, ...), or null. */
export function systemCode(error: unknown): string | null {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
  return null
}
