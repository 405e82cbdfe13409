import { describe, expect, it } from 'vitest'
import { RehearsalError } from '../../../src/errors.js'
import { detectTool, findPlainSqlFolder, TOOLS } from '../../../src/migrations/tools/index.js'
import { packageJson, projectOf, requestIn, type Files } from '../../support/tool-project.js'

const SQL = 'select 1;'
const PRISMA: Files = {
  'prisma/schema.prisma': 'datasource db {\n provider = "postgresql"\n url = env("DATABASE_URL")\n}',
  'prisma/migrations/1_a/migration.sql': SQL,
}
const SUPABASE: Files = { 'supabase/migrations/20240101000000_a.sql': SQL }
const drizzle = (out: string, rest = 'dbCredentials: { url: process.env.DATABASE_URL }'): Files => ({
  'drizzle.config.ts': `export default { dialect: 'postgresql', out: '${out}', ${rest} }`,
  'node_modules/drizzle-kit/package.json': packageJson('drizzle-kit', '0.31.11'),
  'node_modules/drizzle-kit/bin.cjs': '',
  'node_modules/drizzle-orm/package.json': packageJson('drizzle-orm', '0.45.4'),
  'node_modules/drizzle-orm/migrator.js': '',
  'node_modules/pg/package.json': packageJson('pg', '8.16.3'),
  [`${out}/meta/_journal.json`]: JSON.stringify({ version: '7', dialect: 'postgresql', entries: [] }),
})
const KNEX: Files = { 'knexfile.js': '', 'package.json': '{"dependencies":{"knex":"3"}}', 'migrations/1_a.js': '' }

const detect = (files: Files, rest = {}) => detectTool(requestIn(projectOf(files), rest))
const refusal = async (files: Files, rest = {}): Promise<RehearsalError> => {
  const error: unknown = await detect(files, rest).then(
    (setup) => setup?.tool ?? 'none',
    (reason: unknown) => reason,
  )
  if (error instanceof RehearsalError) return error
  throw new Error(`no refusal: ${String(error)}`)
}

describe('the tool of a project', () => {
  it('is the only one that it shows', async () => {
    expect((await detect(PRISMA))?.tool).toBe('prisma')
    expect((await detect(SUPABASE))?.tool).toBe('supabase')
    expect((await detect(drizzle('out')))?.tool).toBe('drizzle')
    const manifest = {
      'package.json': '{"devDependencies":{"node-pg-migrate":"9"}}',
      'node_modules/node-pg-migrate/package.json': packageJson('node-pg-migrate', '9.0.0'),
      'migrations/1_a.sql': SQL,
    }
    expect((await detect(manifest))?.tool).toBe('node-pg-migrate')
  })

  it('is asked for when there are several, each with its evidence and the fix', async () => {
    const error = await refusal({ ...PRISMA, ...SUPABASE })
    expect([error.code, error.exitCode]).toEqual(['USAGE', 2])
    expect(error.message).toContain('Prisma (prisma/schema.prisma) and Supabase CLI (supabase/migrations)')
    expect(error.message).toContain("migrations: { tool: 'prisma' or 'supabase' }")
    const shared = await refusal({ ...SUPABASE, ...drizzle('supabase/migrations') })
    expect(shared.message).toMatch(
      /Drizzle \(drizzle\.config\.ts\) and Supabase CLI .* share supabase\/migrations, and/,
    )
    expect((await refusal({ ...PRISMA, ...KNEX })).message).toMatch(/Prisma .* and Knex \(knexfile\.js\)/)
  })

  it('is asked for when one of several cannot be used, and its own error when it is alone', async () => {
    const onlyGenerates = drizzle('supabase/migrations', '')
    const error = await refusal({ ...SUPABASE, ...onlyGenerates })
    expect(error.message).toMatch(
      /^Drizzle \(drizzle\.config\.ts: .*dbCredentials.*\) and Supabase CLI \(supabase\/migrations\)/,
    )
    expect((await detect({ ...SUPABASE, ...onlyGenerates }, { tool: 'supabase' }))?.tool).toBe('supabase')
    expect((await refusal(onlyGenerates)).code).toBe('SCENARIO_INVALID')
    const literal = {
      'prisma/schema.prisma': 'datasource db {\n provider = "postgresql"\n url = "postgres://u:hunter2@h/x"\n}',
    }
    expect((await refusal({ ...PRISMA, ...literal })).message).toMatch(/^prisma\/schema\.prisma:3: a literal/)
    expect((await refusal({ ...PRISMA, ...literal, ...SUPABASE })).message).not.toContain('hunter2')
  })

  it('is the one that is named, and an error when it is not there', async () => {
    expect((await detect({ ...PRISMA, ...SUPABASE }, { tool: 'supabase' }))?.tool).toBe('supabase')
    for (const tool of Object.keys(TOOLS))
      expect([tool, (await refusal({ a: '' }, { tool })).code]).toEqual([tool, 'SCENARIO_INVALID'])
    expect(await detect(PRISMA, { tool: 'sql' })).toBeNull()
  })

  it('keeps its rules under a command of the user’s', async () => {
    const setup = await detect(PRISMA, { command: 'make migrate' })
    expect(setup).toMatchObject({ tool: 'prisma', launch: { kind: 'shell', line: 'make migrate' } })
    const both = await detect({ ...PRISMA, ...SUPABASE }, { command: 'npx prisma migrate deploy' })
    expect(both?.tool).toBe('prisma')
    const script = { 'package.json': '{"scripts":{"migrate":"supabase db push"}}' }
    expect((await detect({ ...PRISMA, ...SUPABASE, ...script }, { command: 'npm run migrate' }))?.tool).toBe('supabase')
    expect((await refusal({ ...PRISMA, ...SUPABASE }, { command: 'make migrate' })).code).toBe('USAGE')
  })

  it('is a command where that says so, or where nothing else is found', async () => {
    expect(await detect(KNEX, { command: 'npx knex migrate:latest' })).toMatchObject({
      tool: 'command',
      title: 'Knex by command',
    })
    const files = { ...PRISMA, 'db/migrations/1_a.sql': '-- migrate:up\nselect 1;' }
    expect((await detect(files, { command: 'dbmate up', folder: 'db/migrations' }))?.tool).toBe('command')
    expect((await detect({ 'migrations/1.sql': SQL }, { command: 'make migrate' }))?.tool).toBe('command')
  })

  it('that runs by a command only is named with the file and the fix', async () => {
    const cases: [Files, RegExp][] = [
      [KNEX, /^Knex was recognised by knexfile\.js; .*migrations: \{ command: /],
      [{ 'db/migrations/1_a.sql': '-- migrate:up\n' }, /^dbmate .*-- migrate:up in db\/migrations\/1_a\.sql/],
      [{ 'sql/migrations/1_a.sql': '-- +goose Up\n' }, /^goose /],
      [{ 'migrations/1_a.up.sql': SQL }, /^golang-migrate .*migrations\/1_a\.up\.sql/],
      [{ 'db/migrate/20240101000000_a.rb': '' }, /^Rails /],
      [{ 'src/main/resources/db/migration/V1__a.sql': SQL }, /^Flyway /],
      [{ 'sqitch.plan': '' }, /^sqitch /],
      [{ 'package.json': '{"scripts":{"up":"sequelize db:migrate"}}' }, /^Sequelize .*the script up/],
    ]
    for (const [files, message] of cases) {
      const error = await refusal(files)
      expect(error.code).toBe('USAGE')
      expect(error.message).toMatch(message)
    }
  })

  it('is none for plain SQL', async () => {
    expect(await detect({ 'db/migrations/1_a.sql': SQL })).toBeNull()
    expect(await detect({ 'README.md': '' })).toBeNull()
  })
})

describe('a folder of plain SQL', () => {
  const folder = async (files: Files): Promise<string | null> => {
    const project = projectOf(files)
    const { shown } = requestIn(project)
    const path = await findPlainSqlFolder(project, shown)
    return path === null ? null : shown(path)
  }

  it('is found by its place and by holding nothing else', async () => {
    expect(await folder({ 'db/migrations/1.sql': SQL, 'db/migrations/README.md': '' })).toBe('db/migrations')
    expect(await folder({ 'sql/migrations/1.sql': SQL, 'migrations/README.md': '' })).toBe('sql/migrations')
    expect(await folder({ 'migrations/1.sql': SQL, 'migrations/2.ts': '' })).toBeNull()
    expect(await folder({ 'other/1.sql': SQL })).toBeNull()
    await expect(folder({ 'migrations/1.sql': SQL, 'db/migrations/1.sql': SQL })).rejects.toThrow(/both hold SQL files/)
  })
})
