/**
 * A program in a process group of its own, with everything it starts: signalled together, and gone when we are.
 * Every process inherits a mark in its environment, by which those are found (Linux) that have left the group.
 */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, readdirSync } from 'node:fs'
import { sleep } from '../../clock.js'

/** Environment variable with the mark; its value begins with the run directory, which is how a sweep finds it. */
export const MARK = 'REHEARSE_CHILD'

export interface GroupOptions {
  argv: readonly string[]
  cwd: string
  env: Readonly<Record<string, string>>
  stdio: StdioOptions
  /** The run directory whose clean-up also ends this group; null for none. */
  runDirectory: string | null
}

export interface ProcessGroup {
  readonly child: ChildProcess
  readonly pid: number
  /** To the whole group; processes that are gone are no error. */
  signal(name: 'SIGINT' | 'SIGTERM' | 'SIGKILL'): void
  /** Ends what is left of it, those that left the group too, asking first. To be called after the program's end. */
  reap(): Promise<void>
}

const living = new Map<number, string>()
let exitHandled = false

/** Starts a program. Rejects with the system's error when it cannot be started. */
export async function startGroup(options: GroupOptions): Promise<ProcessGroup> {
  const mark = `${options.runDirectory ?? 'rehearse'}/${randomBytes(8).toString('hex')}`
  const [file = '', ...args] = options.argv
  const env = { ...options.env, [MARK]: mark }
  const child = spawn(file, args, { cwd: options.cwd, env, stdio: options.stdio, detached: true })
  const { pid } = child
  if (pid === undefined)
    throw await new Promise<Error>((resolve) => {
      child.once('error', resolve)
    })
  if (!exitHandled) process.on('exit', endAllNow)
  exitHandled = true
  living.set(pid, mark)
  child.on('error', () => undefined)
  return {
    child,
    pid,
    signal: (name) => signalGroup(pid, name),
    async reap() {
      for (const [name, turns] of [
        ['SIGTERM', 20],
        ['SIGKILL', 100],
      ] as const) {
        for (let turn = 0; turn < turns && isLeft(pid, mark); turn++) {
          if (turn === 0 || name === 'SIGKILL') signalAll(pid, mark, name)
          await sleep(50)
        }
      }
      living.delete(pid)
    },
  }
}

function signalGroup(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-pid, name)
  } catch {
    return false
  }
}

/** Members of the group that still run; one that only waits to be collected by its parent is over. */
function isLeft(pid: number, mark: string): boolean {
  if (process.platform !== 'linux') return signalGroup(pid, 0)
  return members(pid).length > 0 || marked(mark).length > 0
}

function signalAll(pid: number, mark: string, name: NodeJS.Signals): void {
  signalGroup(pid, name)
  for (const stray of marked(mark))
    try {
      process.kill(stray, name)
    } catch {
      // It ended meanwhile.
    }
}

/** At the `exit` event nothing can be waited for. */
function endAllNow(): void {
  for (const [pid, mark] of living) signalAll(pid, mark, 'SIGKILL')
}

const numbered = (): number[] => {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
  } catch {
    return []
  }
}

/** Processes of a group that are no zombies, by proc(5): state and group are the fields 3 and 5. */
const members = (group: number): number[] =>
  numbered().filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      const [state, , itsGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return Number(itsGroup) === group && state !== 'Z' && state !== 'X'
    } catch {
      return false
    }
  })

/** Processes that were started with the mark in their environment, wherever they are now. Empty where there is no /proc. */
const marked = (mark: string): number[] =>
  numbered().filter((pid) => {
    try {
      return `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`.includes(`\0${MARK}=${mark}\0`)
    } catch {
      return false
    }
  })
