/** Running a TypeScript file in a process of its own, and looking at processes from outside. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { createInterface } from 'node:readline'

const root = new URL('../../', import.meta.url).pathname

export const isRoot = process.getuid?.() === 0

/** Ids of the user `nobody`. */
export const nobody = (): { uid: number; gid: number } => {
  const id = (flag: string) => Number(spawnSync('id', [flag, 'nobody'], { encoding: 'utf8' }).stdout)
  return { uid: id('-u'), gid: id('-g') }
}

/** Starts `test/support/<script>` with Node. */
export const startNode = (
  script: string,
  args: string[],
  options: { uid?: number; gid?: number; env?: NodeJS.ProcessEnv } = {},
): ChildProcess =>
  spawn(process.execPath, ['--import', 'jiti/register', `${root}test/support/${script}`, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    ...options,
    env: { PATH: process.env['PATH'], JITI_FS_CACHE: 'false', ...options.env },
  })

/** The next line that the child writes, as JSON. */
export async function nextLine(child: ChildProcess): Promise<Record<string, unknown>> {
  if (child.stdout === null) throw new Error('no pipe')
  for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line) as Record<string, unknown>
  throw new Error('the child ended without a word')
}

/** Resolves with the exit code, or with null when a signal ended the child. */
export const ended = (child: ChildProcess): Promise<number | null> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((resolve) => child.once('exit', (code) => resolve(code)))

export interface ProcessInfo {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

/** Every process of the machine (Linux). */
export function processes(): ProcessInfo[] {
  const found: ProcessInfo[] = []
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8')
      const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ')
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
      found.push({ pid: Number(entry), parent, command })
    } catch {
      // It ended while we looked.
    }
  return found
}

/** A process and everything below it. */
export function withDescendants(pid: number, all: ProcessInfo[] = processes()): number[] {
  return [pid, ...all.filter((p) => p.parent === pid).flatMap((p) => withDescendants(p.pid, all))]
}

/** Waits until the condition holds, or fails after `limitMs`. */
export async function until(what: string, limitMs: number, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + limitMs
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not within ${limitMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
