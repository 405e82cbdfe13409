/** Small projects with a real migration tool of their own, from `test/fixtures/projects`, and running that tool. */
import { spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import type { Address } from '../../src/pg/connect.js'
import { errorsOf, pidsOf, transactions } from './server-transactions.js'
import type { LogEntry } from './server-log.js'

const FIXTURES = fileURLToPath(new URL('../fixtures/projects', import.meta.url))

/** One transaction as it is written in a fixture. */
const TransactionFacts = z.object({
  /** Which backend, from 1 in the order of their first statement. */
  backend: z.number().int(),
  explicit: z.boolean(),
  outcome: z.enum(['committed', 'rolled back', 'unclear', 'open']),
  /** White space collapsed and cut, see `shortened`. */
  statements: z.array(z.string()),
})
export type TransactionFacts = z.infer<typeof TransactionFacts>

/** `fixture.json`: what is in a project and what its tool really does with it. */
const Fixture = z.object({
  title: z.string(),
  /** Set of packages in `test/tool-packages`; null where no tool can be run and `messages` stand for it. */
  packages: z.string().nullable(),
  /** Another fixture whose files come first; those of this one are added or replace them. */
  extends: z.string().nullable().default(null),
  /** Program and arguments, run in the project's folder. */
  command: z.array(z.string()),
  /** Parameters of the URL that this tool needs on a server without TLS. */
  urlParameters: z.record(z.string(), z.string()).default({}),
  /**
   * In the order of their names: the files that are taken out when a migration is left out, and of those that are not
   * applied at first a query (one boolean) whether anything of them is in the database.
   */
  migrations: z.array(
    z.object({ name: z.string(), files: z.array(z.string()), witness: z.string().nullable().default(null) }),
  ),
  /** Files with SQL that no journal lists: never run. */
  unlisted: z.array(z.string()).default([]),
  /** Applied, by the tool, before `rows.sql` fills the tables. The names must be those of `migrations`. */
  applied: z.array(z.string()),
  /** What the tool would run next, in its order, by its own rule. */
  pending: z.array(z.string()),
  /** Query of the names (or times) in the journal, one text column `name`. */
  journal: z.string(),
  expected: z.object({
    exitCode: z.number().int(),
    /** SQLSTATEs of all errors that the server raised, in order. */
    sqlstates: z.array(z.string()),
    /** Whether the tool printed the server's message; null where there was none. */
    tellsError: z.boolean().nullable(),
    /** A text that the tool prints to stdout or stderr. */
    says: z.string().nullable().default(null),
    /** Rows of `journal` afterwards. */
    journal: z.array(z.string()),
    /** Migrations of which something was committed in this run, journal row or not: their `witness` is true. */
    committed: z.array(z.string()),
    /** Queries on the tables afterwards, each with its one value as text. */
    state: z.record(z.string(), z.string().nullable()).default({}),
    /** What the server logged in this run, bookkeeping included. */
    log: z.array(TransactionFacts),
    /** SQLSTATEs and exit code when it is started once more; null when not tried. */
    again: z
      .object({ exitCode: z.number().int(), sqlstates: z.array(z.string()), says: z.string().nullable().default(null) })
      .nullable()
      .default(null),
  }),
})
export type Fixture = z.infer<typeof Fixture>

export interface Project {
  readonly name: string
  readonly root: string
  readonly fixture: Fixture
  remove(): Promise<void>
}

export interface ProjectOptions {
  /** Folder with `node_modules` (see `toolFolder`), linked into the project; without it the project has none. */
  readonly tools?: string | null
  /** Names of migrations to leave out, as if the project were older; taken out of Drizzle's journal too. */
  readonly cut?: readonly string[]
  /** Further files, or other contents, by their path in the project. */
  readonly files?: Readonly<Record<string, string>>
}

const FACTS = 'fixture.json'
const ROWS = 'rows.sql'

export async function readFixture(name: string): Promise<Fixture> {
  return Fixture.parse(JSON.parse(await readFile(join(FIXTURES, name, FACTS), 'utf8')))
}

/** What fills the tables after the applied migrations; of the fixture itself, or of the one that it extends. */
export async function rowsOf(name: string): Promise<string> {
  const { extends: base } = await readFixture(name)
  const own = await readFile(join(FIXTURES, name, ROWS), 'utf8').catch(() => null)
  if (own !== null) return own
  return base === null ? '' : rowsOf(base)
}

/** Copies a fixture into a fresh temporary folder. */
export async function makeProject(name: string, options: ProjectOptions = {}): Promise<Project> {
  const fixture = await readFixture(name)
  const root = await mkdtemp(join(os.tmpdir(), 'rehearse-project-'))
  try {
    await copyFiles(name, root)
    const cut = options.cut ?? []
    for (const { name: migration, files } of fixture.migrations)
      if (cut.includes(migration)) for (const file of files) await rm(join(root, file), { recursive: true })
    await cutDrizzleJournal(root, cut)
    for (const [path, text] of Object.entries(options.files ?? {})) {
      await mkdir(dirname(join(root, path)), { recursive: true })
      await writeFile(join(root, path), text)
    }
    if (options.tools !== undefined && options.tools !== null)
      await symlink(join(options.tools, 'node_modules'), join(root, 'node_modules'), 'dir')
  } catch (error) {
    await rm(root, { recursive: true, force: true })
    throw error
  }
  return { name, root, fixture, remove: () => rm(root, { recursive: true, force: true }) }
}

async function copyFiles(name: string, root: string): Promise<void> {
  const { extends: base } = await readFixture(name)
  if (base !== null) await copyFiles(base, root)
  await cp(join(FIXTURES, name), root, {
    recursive: true,
    filter: (source) => ![FACTS, ROWS].some((file) => source === join(FIXTURES, name, file)),
  })
}

const Journal = z.looseObject({ entries: z.array(z.looseObject({ tag: z.string() })) })

async function cutDrizzleJournal(root: string, cut: readonly string[]): Promise<void> {
  const file = join(root, 'drizzle/meta/_journal.json')
  const text = await readFile(file, 'utf8').catch(() => null)
  if (text === null || cut.length === 0) return
  const journal = Journal.parse(JSON.parse(text))
  const entries = journal.entries.filter((entry) => !cut.includes(entry.tag))
  await writeFile(file, `${JSON.stringify({ ...journal, entries }, null, 2)}\n`)
}

export interface ToolRun {
  /** null when a signal ended it. */
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** Instead of the fixture's own. */
  readonly command?: readonly string[]
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>
  /** After which it is killed. */
  readonly timeoutMs?: number
}

/** `postgres://` URL of an address, with parameters. */
export function urlOf(address: Address, parameters: Readonly<Record<string, string>> = {}): string {
  const url = new URL(`postgres://${address.host}:${address.port}/${encodeURIComponent(address.database)}`)
  url.username = address.user
  url.password = address.password
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return url.href
}

/** Runs the project's tool directly against a database, with an environment that holds nothing else of ours. */
export function runTool(project: Project, address: Address, options: RunOptions = {}): Promise<ToolRun> {
  const [program = '', ...args] = options.command ?? project.fixture.command
  const env = {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: project.root,
    NO_COLOR: '1',
    DATABASE_URL: urlOf(address, project.fixture.urlParameters),
    ...options.env,
  }
  return new Promise((resolve, reject) => {
    const stdio = ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe']
    const child = spawn(program, args, { cwd: project.root, env, stdio, timeout: options.timeoutMs ?? 120_000 })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    child.once('error', reject)
    child.once('close', (exitCode) => resolve({ exitCode, stdout, stderr }))
  })
}

const SHOWN = 110

/** A statement as fixtures show it: comments stay, white space is collapsed, the rest after 110 characters is cut. */
export function shortened(sql: string): string {
  const flat = sql.replaceAll(/\s+/g, ' ').trim()
  return flat.length <= SHOWN ? flat : `${flat.slice(0, SHOWN)}…`
}

/** The log in the form of `fixture.json`: transactions of all backends, in the order of their first statements. */
export function factsOf(log: readonly LogEntry[]): { transactions: TransactionFacts[]; sqlstates: string[] } {
  const pids = pidsOf(log)
  const all = pids.flatMap((pid) => transactions(log, pid))
  const position = new Map(log.map((entry, index) => [entry, index]))
  const start = (statements: readonly LogEntry[]): number =>
    statements[0] === undefined ? 0 : (position.get(statements[0]) ?? 0)
  all.sort((a, b) => start(a.statements) - start(b.statements))
  return {
    transactions: all.map(({ pid, explicit, outcome, statements }) => ({
      backend: pids.indexOf(pid) + 1,
      explicit,
      outcome,
      statements: statements.map((entry) => shortened(entry.sql ?? '')),
    })),
    sqlstates: errorsOf(log),
  }
}
