/** The folder that holds everything of one branch, and the sweep of folders whose owner died. */
import { readFileSync, readlinkSync } from 'node:fs'
import { chmod, chown, lstat, mkdir, mkdtemp, readFile, readdir, rename, writeFile } from 'node:fs/promises'
import os from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { RehearsalError } from '../errors.js'
import { OURSELVES, canExecute } from './user.js'
import { run, systemCode, type DatabaseUser } from './child.js'
import { cleanUp } from './clean-up.js'

const Owner = z.object({ pid: z.number().int(), started: z.string().nullable(), host: z.string() })
const OWNER_FILE = 'owner.json'
/** How long a folder may be without an owner file: it is written right after the folder. */
const UNOWNED_MS = 60_000

const ourUid = (): number => process.getuid?.() ?? 0
const prefix = (): string => `pg-rehearse-${ourUid()}-`

/** A folder of a dead rehearsal that was removed. */
export interface SweptEntry {
  readonly directory: string
  /** Whether something of it was still running. */
  readonly serverStopped: boolean
}

/**
 * When a process started, in the system's own words, or null when there is none. Tells a process from a later one that
 * got the same id.
 */
export async function processStart(pid: number): Promise<string | null> {
  if (process.platform === 'linux') {
    try {
      // proc(5): the name in field 2 may contain anything, so fields are counted behind its closing parenthesis.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
    } catch {
      return null
    }
  }
  const { code, output } = await run('ps', ['-o', 'lstart=', '-p', String(pid)], OURSELVES)
  return code === 0 ? output.trim() : null
}

/** Process ids mean something only inside one machine, and there inside one container. */
function host(): string {
  if (process.platform !== 'linux') return os.hostname()
  try {
    return `${os.hostname()} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return os.hostname()
  }
}

/**
 * Makes the run directory `<tmp>/pg-rehearse-<uid>-<random>`, ours, and passable for the database's user. Throws
 * DISK_FULL, or SERVER_FAILED where that user cannot reach the temporary folder.
 */
export async function createRunDirectory(user: DatabaseUser): Promise<string> {
  const directory = await mkdtemp(join(os.tmpdir(), prefix())).catch((error: unknown) => {
    if (systemCode(error) === 'ENOSPC') throw new RehearsalError('DISK_FULL', { path: os.tmpdir() }, error)
    throw new RehearsalError('SERVER_FAILED', { step: 'in TMPDIR', message: `cannot write to ${os.tmpdir()}` }, error)
  })
  try {
    // Whole or not at all: a sweep must never read half of it.
    const owner = { pid: process.pid, started: await processStart(process.pid), host: host() }
    await writeFile(join(directory, `${OWNER_FILE}.new`), JSON.stringify(owner), { mode: 0o600 })
    await rename(join(directory, `${OWNER_FILE}.new`), join(directory, OWNER_FILE))
    if (user.ids !== null) await chmod(directory, 0o711)
    if (!(await canExecute(user, directory)))
      throw new RehearsalError('SERVER_FAILED', {
        step: 'in TMPDIR',
        message: `${os.tmpdir()} cannot be entered by ${user.name}, who runs PostgreSQL`,
      })
    return directory
  } catch (error) {
    await cleanUp(directory)
    throw error
  }
}

/**
 * Notes a program of the user's that leads a process group, so that whoever cleans the run directory up ends the group
 * too: the watchdog, our own exit, the sweep of the next run. The note is void once the process is another one.
 */
export async function recordChild(directory: string, pid: number): Promise<void> {
  const started = await processStart(pid)
  if (started === null) return
  const whole = join(directory, `.child-${pid}.new`)
  await writeFile(whole, started, { mode: 0o600 })
  await rename(whole, join(directory, `child-${pid}`))
}

/** Makes a folder that belongs to the database's user, closed to everybody else. */
export async function createOwned(path: string, user: DatabaseUser): Promise<string> {
  await mkdir(path, { mode: 0o700 })
  await giveTo(path, user)
  return path
}

export async function giveTo(path: string, user: DatabaseUser): Promise<void> {
  if (user.ids !== null) await chown(path, user.ids.uid, user.ids.gid)
}

/**
 * Removes what rehearsals of this user on this machine left behind when they were killed together with their watchdog.
 * Never touches a folder whose owner lives.
 */
export async function sweep(): Promise<SweptEntry[]> {
  const swept: SweptEntry[] = []
  const names = await readdir(os.tmpdir()).catch(() => [])
  for (const name of names.filter((entry) => entry.startsWith(prefix()))) {
    const directory = join(os.tmpdir(), name)
    if (await isAbandoned(directory)) swept.push({ directory, serverStopped: await cleanUp(directory) })
  }
  return swept
}

async function isAbandoned(directory: string): Promise<boolean> {
  try {
    const stat = await lstat(directory)
    if (!stat.isDirectory() || stat.uid !== ourUid()) return false
    const text = await readFile(join(directory, OWNER_FILE), 'utf8').catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return null
      throw error
    })
    if (text === null) return Date.now() - stat.mtimeMs > UNOWNED_MS
    const owner = Owner.parse(JSON.parse(text))
    return owner.host === host() && (await processStart(owner.pid)) !== owner.started
  } catch {
    // Gone in the meantime, or not written by us.
    return false
  }
}
