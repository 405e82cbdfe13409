/** A migration tool of a few lines: a project whose `migrate.mjs` talks to the database with the real `pg`. */
import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { prepareTool, type ReadyTool } from '../../src/launch.js'
import { loadScenario, type Scenario, type ScenarioOverrides } from '../../src/scenario.js'

const packages = new URL('../../node_modules', import.meta.url).pathname

/** The head of every `migrate.mjs`: `files` as [name, text], `connect()` for a client, `end` to finish. */
export const PRELUDE = `
import { readdirSync, readFileSync } from 'node:fs'
import pg from 'pg'
const files = readdirSync('migrations').filter((name) => name.endsWith('.sql')).sort()
  .map((name) => [name, readFileSync('migrations/' + name, 'utf8')])
const clients = []
const connect = async (options = { connectionString: process.env.DATABASE_URL }) => {
  const client = new pg.Client(options)
  client.on('error', () => {})
  clients.push(client)
  await client.connect()
  return client
}
const end = () => Promise.all(clients.map((client) => client.end()))
`

/** Each file as one message, in a journal of its own (\`schema_migrations\`, as dbmate's), with no lock. */
export const WITH_JOURNAL = `${PRELUDE}
const db = await connect()
await db.query('create table if not exists schema_migrations (version varchar primary key)')
const { rows } = await db.query('select version from schema_migrations')
const done = new Set(rows.map((row) => row.version))
for (const [name, text] of files) {
  const version = name.split('_')[0]
  if (done.has(version)) continue
  await db.query('begin')
  await db.query(text.split('-- migrate:down')[0])
  await db.query('insert into schema_migrations (version) values ($1)', [version])
  await db.query('commit')
}
await end()
`

/** Each file as one message, without a journal. */
export const PLAIN = `${PRELUDE}
const db = await connect()
for (const [, text] of files) await db.query(text)
await end()
`

export interface LittleProject {
  readonly root: string
  write(files: Readonly<Record<string, string>>): void
  git(...args: string[]): string
  /** Loads it as \`rehearse\` would. */
  load(overrides?: ScenarioOverrides): Promise<Scenario>
  /** The tool, ready to be started; the files of its run are in \`directory\`. */
  ready(scenario: Scenario, shell?: Readonly<Record<string, string>>): Promise<ReadyTool>
  /** Where the tool runs. */
  readonly directory: string
  /** Ids of the processes of the tool that live, whoever their parent is now: all have the place in their environment. */
  living(): number[]
  remove(): void
}

export interface ProjectOptions {
  /** Fields of rehearse.config.ts; everything is pending unless they say otherwise. */
  config?: string
  /** Further fields of `migrations` in it. */
  tool?: string
  /** Other files, by their path. */
  files?: Readonly<Record<string, string>>
}

const configOf = ({ config = 'pending: { applied: [] }', tool = '' }: ProjectOptions): string =>
  `export default { migrations: { command: 'node migrate.mjs', folder: 'migrations', ${tool} }, rows: 100, ${config} }\n`

/** @param script the text of `migrate.mjs` */
export function littleProject(
  script: string,
  migrations: Readonly<Record<string, string>>,
  options: ProjectOptions = {},
): LittleProject {
  const base = realpathSync(mkdtempSync(join(tmpdir(), 'rehearse-little-')))
  const [root, directory] = [join(base, 'project'), join(base, 'run')]
  const write: LittleProject['write'] = (files) => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, name)), { recursive: true })
      writeFileSync(join(root, name), text)
    }
  }
  mkdirSync(directory)
  write({
    'migrate.mjs': script,
    'package.json': '{"name":"little","private":true}\n',
    'rehearse.config.ts': configOf(options),
    'rehearsal/old.sql': '-- name: get\nselect 1;\n',
  })
  write(Object.fromEntries(Object.entries(migrations).map(([name, text]) => [`migrations/${name}`, text])))
  write(options.files ?? {})
  symlinkSync(packages, join(root, 'node_modules'), 'dir')
  let runs = 0
  return {
    root,
    directory,
    write,
    git: (...args) =>
      execFileSync('git', ['-c', 'safe.directory=*', '-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
        cwd: root,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
        env: { PATH: process.env['PATH'], HOME: base, GIT_CONFIG_NOSYSTEM: '1' },
      }).trim(),
    load: (overrides) => loadScenario(root, overrides),
    async ready(scenario, shell = {}) {
      if (!scenario.tool) throw new Error('no tool was found')
      const run = join(directory, String(++runs))
      mkdirSync(run)
      return prepareTool({ tool: scenario.tool, directory: run, shell: { PATH: process.env['PATH'], ...shell } })
    },
    living: () =>
      readdirSync('/proc').flatMap((pid) => {
        try {
          const isOurs = /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'latin1').includes(directory)
          return isOurs ? [Number(pid)] : []
        } catch {
          // It ended while we looked, or is somebody else's.
          return []
        }
      }),
    remove: () => rmSync(base, { recursive: true, force: true }),
  }
}
