/** The team's tool in a project: what it is called, what of it is refused before anything starts. */
import { afterEach, describe, expect, it } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import { commandOf, migrationFiles, passedOver } from '../../src/scenario/tool.js'
import type { Launch, ToolSetup } from '../../src/migrations/tools/types.js'
import type { ToolNote } from '../../src/recording.js'
import type { Scenario } from '../../src/scenario.js'
import { source } from '../migrations/wire-trace/build.js'
import { littleProject, PLAIN, type LittleProject, type ProjectOptions } from '../pass/tool-project.js'
import { scripted } from '../pass/tool-build.js'

let project: LittleProject | null = null
afterEach(() => {
  project?.remove()
  project = null
})

const load = (options: ProjectOptions = {}, script = PLAIN): Promise<Scenario> => {
  project = littleProject(script, { '1_a.sql': 'select 1;', '2_b.sql': 'select 2;' }, options)
  return project.load()
}
async function failure(options: ProjectOptions, script?: string): Promise<RehearsalError> {
  const error: unknown = await load(options, script).then(
    () => null,
    (e: unknown) => e,
  )
  if (!(error instanceof RehearsalError)) throw new Error(`no such error: ${String(error)}`)
  return error
}

describe('the command as one types it', () => {
  const setupOf = (launch: Launch): ToolSetup => ({ ...scripted({ messages: [] }).setup, launch })
  const typed = (argv: string[]): string => commandOf(setupOf({ kind: 'program', argv }), '/home/me/shop')
  it('is short, and without paths of this machine', () => {
    expect(commandOf(setupOf({ kind: 'shell', line: 'make migrate' }), '/home/me/shop')).toBe('make migrate')
    expect(typed([process.execPath, '/home/me/shop/node_modules/drizzle-kit/bin.cjs', 'migrate'])).toBe(
      'drizzle-kit migrate',
    )
    expect(typed(['/home/me/node_modules/.bin/prisma', 'migrate', 'deploy'])).toBe('prisma migrate deploy')
    expect(typed([process.execPath, '/home/me/shop/scripts/up.js', '--config', '/home/me/shop/db.json'])).toBe(
      'scripts/up.js --config db.json',
    )
    const replay: Launch = { kind: 'replay', why: '', run: () => Promise.resolve({ exitCode: 0, lines: [] }) }
    expect(commandOf(setupOf(replay), '/')).toBe('Command')
  })
})

describe('an address that is written out', () => {
  const ELSEWHERE = 'postgres://prod:hidden@db.prod.internal:5432/prod'
  it('in the program that the command runs', async () => {
    const error = await failure({}, `${PLAIN}\nconst url = process.env.X ?? '${ELSEWHERE}'\n`)
    expect(error).toMatchObject({ code: 'SCENARIO_INVALID', exitCode: 2 })
    expect(error.message).toMatch(/migrate\.mjs:\d+: holds the address of a database.*DATABASE_URL/)
    expect(`${error.message}${error.hint ?? ''}`).not.toContain('hidden')
  })
  it('in the command', async () => {
    const error = await failure({ tool: `command: 'DATABASE_URL=${ELSEWHERE} node migrate.mjs',` })
    expect(error).toMatchObject({ code: 'SCENARIO_INVALID', exitCode: 2 })
    expect(`${error.message}${error.hint ?? ''}`).not.toContain('hidden')
  })
  it('in a script of package.json that it runs', async () => {
    const error = await failure({
      tool: `command: 'npm run up',`,
      files: { 'package.json': `{\n"scripts": {\n"up": "psql ${ELSEWHERE} -f x.sql"\n}\n}\n` },
    })
    expect(error.message).toMatch(/package\.json:3: holds the address/)
  })
  it('in a comment, of this machine, or of an example: all right', async () => {
    const script = `${PLAIN}\n// ${ELSEWHERE}\nconst a = 'postgres://u:p@localhost/x', b = 'postgres://u:p@db.example.com/x'\n`
    expect((await load({}, script)).tool?.command).toBe('node migrate.mjs')
  })
})

it('what the tool gets', async () => {
  const { tool } = await load({
    tool: "urlEnv: ['A_URL', 'DATABASE_URL'], env: { A: 'b' }, passEnv: ['HOMEBREW'], allowHosts: ['vault:8200'], connectWithin: '3s'",
  })
  expect(tool).toMatchObject({
    set: { A: 'b' },
    pass: ['HOMEBREW'],
    allow: ['vault:8200'],
    connectWithinMs: 3_000,
  })
  expect(tool?.variables).toEqual([
    { name: 'A_URL', part: 'url' },
    { name: 'DATABASE_URL', part: 'url' },
  ])
})

it('migrations in the order that is asked for; what does not parse is the server’s to refuse', async () => {
  const sources = [source('1', 'select 1;\nselect 2;'), source('2', 'export', 'code'), source('3', 'selec 1;')]
  const files = await migrationFiles(sources, ['3', '1', 'nowhere', '2'])
  expect(files.map(({ name, kind, transaction, statements }) => [name, kind, transaction, statements.length])).toEqual([
    ['3', 'sql', 'tool', 0],
    ['1', 'sql', 'tool', 2],
    ['2', 'code', 'tool', 0],
  ])
})

it('what the tool passes over is said, once', () => {
  const setup = { ...scripted({ messages: [], texts: ['', '', ''] }).setup, title: 'Flyway by command' }
  const said: ToolNote = { kind: 'skipped', file: '3.sql', line: null, message: 'known', advice: null }
  expect(passedOver(setup, ['1.sql', '2.sql', '3.sql'], ['2.sql'], [said])).toEqual([
    {
      kind: 'skipped',
      file: '1.sql',
      line: null,
      message: 'Flyway by command takes 1.sql for applied already and will not run it.',
      advice: null,
    },
  ])
})
