/** The built command line in a process of its own, with a working directory and a temporary folder of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export const root = new URL('../../', import.meta.url).pathname
export const builtCli = `${root}dist/cli.js`

export interface Finished {
  code: number | null
  stdout: string
  stderr: string
}

export interface Started {
  child: ChildProcess
  /** What it wrote until now. */
  stderr: () => string
  stdout: () => string
  finished: Promise<Finished>
}

/** A place that a test may look at for leftovers: `cwd` to run in, `tmp` as TMPDIR. */
export interface Place {
  cwd: string
  tmp: string
  /** Everything in `tmp`. */
  leftovers(): string[]
  write(files: Readonly<Record<string, string | Buffer>>): void
  start(args: readonly string[], options?: StartOptions): Started
  run(args: readonly string[], options?: StartOptions): Promise<Finished>
  remove(): void
}

export interface StartOptions {
  env?: Record<string, string>
  cli?: string
}

export function place(): Place {
  const base = mkdtempSync(join(tmpdir(), 'rehearse-test-'))
  const [cwd, tmp] = [join(base, 'cwd'), join(base, 'tmp')]
  // The database's user must be able to pass.
  chmodSync(base, 0o755)
  mkdirSync(cwd)
  mkdirSync(tmp)
  if (!existsSync(builtCli)) throw new Error('dist/cli.js is not there: run `npm run build` first')
  const start: Place['start'] = (args, { env = {}, cli = builtCli } = {}) => {
    const child = spawn(process.execPath, [cli, ...args], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], LANG: 'C.UTF-8', TMPDIR: tmp, JITI_FS_CACHE: 'false', ...env },
    })
    const text = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text.stdout += chunk))
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text.stderr += chunk))
    const finished = new Promise<Finished>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code) => resolve({ code, ...text }))
    })
    return { child, finished, stderr: () => text.stderr, stdout: () => text.stdout }
  }
  return {
    cwd,
    tmp,
    leftovers: () => readdirSync(tmp),
    write(files) {
      for (const [name, content] of Object.entries(files)) {
        mkdirSync(dirname(join(cwd, name)), { recursive: true })
        writeFileSync(join(cwd, name), content)
      }
    },
    start,
    run: (args, options) => start(args, options).finished,
    remove: () => rmSync(base, { recursive: true, force: true }),
  }
}

/** A scenario that fills, migrates and ends in a few seconds, with some files other (or away: null). */
export function tiny(
  folder: string,
  changes: Readonly<Record<string, string | Buffer | null>> = {},
): Record<string, string | Buffer> {
  const files: Record<string, string | Buffer | null> = {
    'schema.sql': 'create table t (id int primary key, v text not null);\n',
    'seed.sql': "insert into t select g, 'v' || g from generate_series(1, :n) g;\n",
    'migrations/001.sql': "set lock_timeout = '1s';\nalter table t add column w text;\n",
    'old.sql': '-- name: get\n\\set id random(1, :n)\nselect v from t where id = :id;\n',
    ...changes,
  }
  return Object.fromEntries(
    Object.entries(files).flatMap(([name, text]) => (text === null ? [] : [[`${folder}/${name}`, text] as const])),
  )
}

/** Flags for the shortest run that still has every phase. */
export const SHORT = [
  ...['--rows', '100', '--rate', '40', '--warmup', '100ms', '--baseline', '1s'],
  ...['--rollout', '300ms', '--settle', '300ms'],
]
