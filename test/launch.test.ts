/** The team's tool made ready: a copy of its project, an environment of addresses that all lead to the rehearsal. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { prepareTool } from '../src/launch.js'
import type { ToolExit } from '../src/pass/context.js'
import type { Address } from '../src/pg/connect.js'
import type { ReplayOptions } from '../src/migrations/tools/types.js'
import { littleProject, type LittleProject, type ProjectOptions } from './pass/tool-project.js'

let project: LittleProject
afterEach(() => project.remove())

const address: Address = { host: '127.0.0.1', port: 1, database: 'rehearsal', user: 'owner', password: 'one-time' }
const URL_OF_IT = 'postgresql://owner:***@127.0.0.1:1/rehearsal'
const MIGRATIONS = { '1_a.sql': 'select 1;', '2_b.sql': 'select 2;' }
const never = new AbortController().signal

/** Prints what it was given, as JSON. */
const tells = (...names: string[]): string =>
  `import { readdirSync, existsSync } from 'node:fs'
   const env = Object.fromEntries(${JSON.stringify(names)}.map((name) => [name, process.env[name] ?? null]))
   console.log(JSON.stringify({ env, files: readdirSync('migrations'), dotenv: existsSync('.env'), cwd: process.cwd() }))`

interface Told {
  env: Record<string, string | null>
  files: string[]
  dotenv: boolean
  cwd: string
}

const toldIn = ({ output }: ToolExit): Told => JSON.parse(output) as Told

async function start(
  script: string,
  options: ProjectOptions = {},
  shell: Record<string, string> = {},
): Promise<ToolExit> {
  project = littleProject(script, MIGRATIONS, options)
  const { release } = await project.ready(await project.load(), shell)
  return release.start({ address, signal: never })
}

describe('a program', () => {
  it('runs in a copy, with the address of the rehearsal under every name that it may read', async () => {
    const exit = await start(
      tells('DATABASE_URL', 'PGHOST', 'ELSEWHERE_URL', 'MY_DB', 'SECRET', 'STAGE', 'KEPT'),
      {
        tool: "urlEnv: 'MY_DB', env: { STAGE: 'rehearsal' }, passEnv: ['KEPT']",
        files: { '.env': 'ELSEWHERE_URL=postgres://prod:hidden@db.prod.internal/prod\nSECRET=hidden\n' },
      },
      {
        DATABASE_URL: 'postgres://prod:hidden@db.prod.internal/prod',
        PGHOST: 'db.prod.internal',
        SECRET: 'hidden',
        KEPT: 'yes',
      },
    )
    const told = toldIn(exit)
    expect(told.env).toEqual({
      DATABASE_URL: URL_OF_IT,
      PGHOST: '127.0.0.1',
      // A name of its .env file that leads to a database.
      ELSEWHERE_URL: URL_OF_IT,
      MY_DB: URL_OF_IT,
      SECRET: null,
      STAGE: 'rehearsal',
      KEPT: 'yes',
    })
    expect(told).toMatchObject({ files: ['1_a.sql', '2_b.sql'], dotenv: false })
    expect(told.cwd.startsWith(project.directory)).toBe(true)
    expect(exit).toMatchObject({ exitCode: 0, signal: null, blocked: [] })
    expect(exit.output).not.toContain('hidden')
  })

  it('says what was withheld, by name', async () => {
    project = littleProject(tells(), MIGRATIONS, { files: { '.env': 'DB=postgres://a:b@c/d\nAPI_KEY=hidden\n' } })
    const { withheld } = await project.ready(await project.load())
    expect(withheld).toEqual(['API_KEY'])
  })

  it('the project itself is left as it is', async () => {
    await start(
      `import { writeFileSync } from 'node:fs'\nwriteFileSync('migrations/3_made.sql', '')\nwriteFileSync('log', '')`,
    )
    expect(readdirSync(join(project.root, 'migrations'))).toEqual(['1_a.sql', '2_b.sql'])
    expect(existsSync(join(project.root, 'log'))).toBe(false)
  })

  it('is not let through to anything else, which is told', async () => {
    const exit = await start(`
      import net from 'node:net'
      net.connect(5432, '127.0.0.2').on('error', (error) => { console.error(error.message); process.exit(4) })`)
    expect(exit).toMatchObject({ exitCode: 4, blocked: [{ host: '127.0.0.2', port: 5432 }] })
  })

  it('as the last release had it, in another copy', async () => {
    project = littleProject(tells(), MIGRATIONS)
    const ready = await project.ready(await project.load())
    const before = await ready.before(['1_a'])
    expect(toldIn(await before.start({ address, signal: never })).files).toEqual(['1_a.sql'])
    expect(toldIn(await ready.release.start({ address, signal: never })).files).toEqual(['1_a.sql', '2_b.sql'])
  })

  it('paths of the project in its arguments are those of the copy', async () => {
    project = littleProject(tells(), MIGRATIONS)
    const { tool } = await project.load()
    if (!tool) throw new Error('no tool')
    const script = `console.log(JSON.stringify({ env: { argument: process.argv[2] }, files: [], dotenv: false, cwd: process.cwd() }))`
    project.write({ 'other.mjs': script })
    const argv = [process.execPath, join(project.root, 'other.mjs'), `--config=${join(project.root, 'x.json')}`]
    const { release } = await prepareTool({
      tool: { ...tool, setup: { ...tool.setup, launch: { kind: 'program', argv } } },
      directory: project.directory,
      shell: { PATH: process.env['PATH'] },
    })
    const told = toldIn(await release.start({ address, signal: never }))
    expect(told.env['argument']).toBe(`--config=${join(told.cwd, 'x.json')}`)
    expect(told.cwd).not.toBe(project.root)
  })

  it('that cannot be started', async () => {
    project = littleProject('', MIGRATIONS)
    const { tool } = await project.load()
    if (!tool) throw new Error('no tool')
    const { release } = await prepareTool({
      tool: { ...tool, setup: { ...tool.setup, launch: { kind: 'program', argv: ['no-such-program'] } } },
      directory: project.directory,
      shell: { PATH: process.env['PATH'] },
    })
    await expect(release.start({ address, signal: never })).rejects.toMatchObject({
      code: 'TOOL_FAILED_TO_START',
      exitCode: 3,
    })
  })
})

it('a replay gets the address and the migrations of its release', async () => {
  project = littleProject('', MIGRATIONS)
  const { tool } = await project.load()
  if (!tool) throw new Error('no tool')
  const seen: string[][] = []
  const run = ({ address: at, files }: ReplayOptions): Promise<{ exitCode: number; lines: string[] }> => {
    expect(at).toEqual(address)
    seen.push(files.map(({ name }) => name))
    return Promise.resolve({ exitCode: 1, lines: ['P3018', 'failed'] })
  }
  const ready = await prepareTool({
    tool: { ...tool, setup: { ...tool.setup, launch: { kind: 'replay', why: 'no engine', run } } },
    directory: project.directory,
    shell: {},
  })
  const exit = await ready.release.start({ address, signal: never })
  expect(exit).toEqual({ exitCode: 1, signal: null, output: 'P3018\nfailed', blocked: [] })
  await (await ready.before(['1_a'])).start({ address, signal: never })
  expect(seen).toEqual([['1_a', '2_b'], ['1_a']])
})
