/** Runs the user's migration tool to its end, or ends it. */
import { stat } from 'node:fs/promises'
import type { Clock } from '../../clock.js'
import { RehearsalError } from '../../errors.js'
import type { Launch } from '../tools/types.js'
import { maskSecrets } from './database-url.js'
import { startGroup, type ProcessGroup } from './process-group.js'

/** A tool that is a program of its own; a replay is not run here. */
export type ProgramLaunch = Exclude<Launch, { kind: 'replay' }>

export interface RunChildOptions {
  launch: ProgramLaunch
  cwd: string
  env: Readonly<Record<string, string>>
  /** Ends the tool when aborted: SIGINT as Ctrl-C would, SIGTERM, SIGKILL. */
  signal: AbortSignal
  /** From the abort to SIGKILL; SIGTERM comes at half of it. Default 6,000. */
  killAfterMs?: number
  /** Of the pass, for the two stamps. */
  clock: Clock
  /** What must not appear in the output besides passwords in URLs: the one-time password. */
  secrets: readonly string[]
  /** The run directory whose clean-up ends the tool when we cannot; null for none. */
  runDirectory: string | null
  /** Called as soon as it runs, with the id of the process, which is that of its group too. */
  onStart?: (pid: number) => void | Promise<void>
}

export interface ChildResult {
  /** null when a signal ended it. */
  exitCode: number | null
  /** `SIGKILL`..., or null. */
  signal: string | null
  startMs: number
  endMs: number
  /** The end of stdout and stderr as they came, at most 16 KB, masked. May hold data: to be kept in memory only. */
  output: string
}

const KEPT = 16 * 1024
/** Kept besides until masking, so that no password is cut in two before it is found. */
const MARGIN = 16 * 1024
/** How long the pipes may stay open once nobody of the group is left. */
const PIPES_MS = 1000

/**
 * Runs it with no input, in a process group of its own. When it ends, what it left running is ended too. Throws
 * TOOL_FAILED_TO_START, and the signal's reason when it is aborted before the start.
 */
export async function runChild(options: RunChildOptions): Promise<ChildResult> {
  const { launch, clock, signal, killAfterMs = 6000 } = options
  signal.throwIfAborted()
  const argv = launch.kind === 'shell' ? ['/bin/sh', '-c', launch.line] : launch.argv
  const startMs = clock.nowMs()
  const group = await start(argv, options)
  let output = ''
  const keep = (text: string): void => {
    output = (output + text).slice(-KEPT - MARGIN)
  }
  group.child.stdout?.setEncoding('utf8').on('data', keep)
  group.child.stderr?.setEncoding('utf8').on('data', keep)
  const closed = new Promise<void>((resolve) => group.child.once('close', () => resolve()))
  const exited = new Promise<{ exitCode: number | null; signal: string | null }>((resolve) => {
    group.child.once('exit', (exitCode, name) => resolve({ exitCode, signal: name }))
  })
  const timers: NodeJS.Timeout[] = []
  const abort = (): void => {
    group.signal('SIGINT')
    timers.push(setTimeout(() => group.signal('SIGTERM'), killAfterMs / 2))
    timers.push(setTimeout(() => group.signal('SIGKILL'), killAfterMs))
  }
  signal.addEventListener('abort', abort, { once: true })
  try {
    await options.onStart?.(group.pid)
    // The abort may have come while it was being started.
    if (signal.aborted) abort()
    const end = await exited
    const endMs = clock.nowMs()
    return { ...end, startMs, endMs, output: await rest(group, closed, () => output, options.secrets) }
  } finally {
    signal.removeEventListener('abort', abort)
    for (const timer of timers) clearTimeout(timer)
    // Also when onStart throws.
    await group.reap()
  }
}

/** Ends what is left of the group and returns the output when nobody can add to it any more. */
async function rest(
  group: ProcessGroup,
  closed: Promise<void>,
  output: () => string,
  secrets: readonly string[],
): Promise<string> {
  await group.reap()
  let timer: NodeJS.Timeout | undefined
  const enough = new Promise<void>((resolve) => (timer = setTimeout(resolve, PIPES_MS)))
  await Promise.race([closed, enough])
  clearTimeout(timer)
  group.child.stdout?.destroy()
  group.child.stderr?.destroy()
  return maskSecrets(output(), secrets).slice(-KEPT)
}

async function start(argv: readonly string[], options: RunChildOptions): Promise<ProcessGroup> {
  const { cwd, env, runDirectory } = options
  const program = argv[0] ?? ''
  const failed = (message: string, cause: unknown) =>
    new RehearsalError('TOOL_FAILED_TO_START', { program, message }, cause)
  if (program === '') throw failed('there is no program to start', undefined)
  // spawn reports a missing folder as a missing program.
  const folder = await stat(cwd).catch(() => null)
  if (folder?.isDirectory() !== true) throw failed(`${cwd} is not a folder`, undefined)
  try {
    return await startGroup({ argv, cwd, env, stdio: ['ignore', 'pipe', 'pipe'], runDirectory })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : ''
    const known: Readonly<Record<string, string>> = {
      ENOENT: 'it is not in PATH',
      EACCES: 'it is not executable',
      E2BIG: 'the command line is too long',
    }
    throw failed(known[code] ?? (code === '' ? 'unknown reason' : code), error)
  }
}
