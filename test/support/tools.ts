/**
 * The real migration tools from npm, each set installed once per machine and state of its lock file. A test that needs
 * one is skipped by name where the registry cannot be reached; in CI that is a failure.
 */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { cp, mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const PACKAGES = fileURLToPath(new URL('../tool-packages', import.meta.url))
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/rehearse-tools', import.meta.url))
/** Files that decide what is installed. */
const INPUTS = ['package.json', 'package-lock.json', '.npmrc'] as const
const INSTALL_MS = 300_000

export const inCi = (process.env['CI'] ?? '') !== ''

/** What a test's context offers; the note is shown with the test's name. */
export interface Skips {
  skip(note?: string): never
}

/** The packages are not here and cannot be fetched. */
export class ToolUnavailable extends Error {
  constructor(name: string, reason: string) {
    super(`${name} is not installed and npm cannot fetch it (${reason})`)
    this.name = 'ToolUnavailable'
  }
}

const known = new Map<string, Promise<string>>()

/**
 * Folder with `node_modules` of the set `test/tool-packages/<name>`; installs it when it is not there yet. Throws
 * ToolUnavailable when the registry does not answer, and a plain error with npm's own lines for any other failure.
 */
export function toolFolder(name: string): Promise<string> {
  const started = known.get(name) ?? install(name)
  known.set(name, started)
  return started
}

/** The same for a test, which is skipped where the set cannot be had. */
export async function needTool(context: Skips, name: string): Promise<string> {
  try {
    return await toolFolder(name)
  } catch (error) {
    if (!inCi && error instanceof ToolUnavailable) context.skip(error.message)
    throw error
  }
}

async function install(name: string): Promise<string> {
  const source = join(PACKAGES, name)
  const hash = createHash('sha256')
  for (const file of INPUTS) hash.update(await readFile(join(source, file)))
  const target = join(CACHE, `${name}-${hash.digest('hex').slice(0, 12)}`)
  if (await exists(target)) return target
  await mkdir(CACHE, { recursive: true })
  const unlock = await lock(`${target}.lock`, () => exists(target))
  if (unlock === null) return target
  try {
    await removeUnfinished(target)
    const building = `${target}.${process.pid}.${randomBytes(3).toString('hex')}.unfinished`
    await mkdir(building)
    for (const file of INPUTS) await cp(join(source, file), join(building, file))
    try {
      await npmCi(name, building)
      // Whole or not at all.
      await rename(building, target)
    } finally {
      await rm(building, { recursive: true, force: true })
    }
    return target
  } finally {
    await unlock()
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** Takes the lock, or returns null when meanwhile somebody else has done what it is for. A dead owner's lock is taken over. */
async function lock(file: string, done: () => Promise<boolean>): Promise<(() => Promise<void>) | null> {
  for (;;) {
    try {
      await writeFile(file, String(process.pid), { flag: 'wx' })
    } catch {
      if (await done()) return null
      const owner = Number(await readFile(file, 'utf8').catch(() => ''))
      const age =
        Date.now() -
        (await stat(file).then(
          (s) => s.mtimeMs,
          () => Date.now(),
        ))
      // An empty file is one that is just being written.
      if (owner > 0 ? !isAlive(owner) : age > 10_000) await rm(file, { force: true })
      else await sleep(100)
      continue
    }
    const unlock = () => rm(file, { force: true })
    if (!(await done())) return unlock
    await unlock()
    return null
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** Only called with the lock held, so whatever is unfinished here is nobody's any more. */
async function removeUnfinished(target: string): Promise<void> {
  const name = target.slice(CACHE.length + 1)
  for (const entry of await readdir(CACHE))
    if (entry.startsWith(`${name}.`) && entry.endsWith('.unfinished'))
      await rm(join(CACHE, entry), { recursive: true, force: true })
}

/** Codes of npm for a registry that does not answer, or that refuses to. */
const UNREACHABLE =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED|ERR_SOCKET_TIMEOUT|FETCH_ERROR|E403|E407|E429|E5\d\d)\b/

/** No install script runs: none of these packages needs one (native programs come as packages of their own). */
async function npmCi(name: string, folder: string): Promise<void> {
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const { exitCode, output } = await npm(args, folder)
  if (exitCode === 0) return
  const code = UNREACHABLE.exec(output)?.[1]
  if (code !== undefined) throw new ToolUnavailable(name, code)
  throw new Error(`npm ci of ${name} failed: ${output.replaceAll(/https?:\/\/[^\s/]+/g, '<registry>').trim()}`)
}

function npm(args: readonly string[], cwd: string): Promise<{ exitCode: number | null; output: string }> {
  // Started by `npm test`, the parent's project would be taken for ours.
  const ours = /^(INIT_CWD|npm_(package|lifecycle|command|execpath).*|npm_config_(local_prefix|omit|include|only))$/i
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name)))
  return new Promise((resolve, reject) => {
    const child = spawn('npm', args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: INSTALL_MS })
    let output = ''
    const keep = (text: string) => {
      output = (output + text).slice(-8_000)
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    child.once('error', reject)
    child.once('close', (exitCode) => resolve({ exitCode, output }))
  })
}
