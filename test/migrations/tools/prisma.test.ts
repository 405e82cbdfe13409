import { existsSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { RehearsalError } from '../../../src/errors.js'
import { sha256 } from '../../../src/migrations/tools/files.js'
import { detect } from '../../../src/migrations/tools/prisma.js'
import { readDatasource } from '../../../src/migrations/tools/prisma-schema.js'
import type { ToolSetup } from '../../../src/migrations/tools/types.js'
import { packageJson, projectOf, requestIn, type Files } from '../../support/tool-project.js'

const SCHEMA = 'datasource db {\n  provider = "postgresql"\n  url = env("DATABASE_URL")\n}\n'
const MIGRATIONS: Files = {
  'prisma/migrations/migration_lock.toml': 'provider = "postgresql"\n',
  'prisma/migrations/20240101_a/migration.sql': 'CREATE TABLE a (id int);\n',
  'prisma/migrations/20240102_b/migration.sql': 'CREATE TABLE b (id int);\nCREATE INDEX CONCURRENTLY i ON a (id);\n',
}
const BASIC: Files = { 'prisma/schema.prisma': SCHEMA, ...MIGRATIONS }

const found = async (
  files: Files,
  rest: Parameters<typeof requestIn>[1] = {},
  environment = {},
): Promise<ToolSetup> => {
  const setup = await detect(requestIn(projectOf(files), rest), { environment })
  if (setup === null) throw new Error('nothing was detected')
  return setup
}
const refusal = async (promise: Promise<unknown>): Promise<RehearsalError> => {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  )
  if (error instanceof RehearsalError) return error
  throw new Error(`no refusal: ${String(error)}`)
}

describe("the schema's datasource", () => {
  it('is read past comments, strings and other blocks', () => {
    const text = `// datasource x { url = "postgres://c" }
/* datasource y { provider = "mysql" } */
generator client { provider = "prisma-client-js" }
model datasource { provider String @default("} datasource z { ") }
datasource db {
  url       = env( "A_URL" ) // url = env("NO")
  directUrl = env("B\\"_URL")
  provider  = "postgresql"
  extensions = [pgcrypto(map: "x", schema: "url = 1"), other]
}`
    expect(readDatasource(text)).toEqual({
      line: 5,
      provider: 'postgresql',
      url: { kind: 'env', name: 'A_URL', line: 6 },
      directUrl: { kind: 'env', name: 'B"_URL', line: 7 },
    })
  })

  it('keeps nothing of a literal address', () => {
    const source = readDatasource('datasource db {\n provider="postgresql"\n url = "postgres://u:hunter2@h/x" }')
    expect(source?.url).toEqual({ kind: 'literal', line: 3 })
    expect(JSON.stringify(source)).not.toContain('hunter2')
  })

  it('may be missing or broken', () => {
    expect(readDatasource('model A { id Int @id }')).toBeNull()
    expect(readDatasource('datasource db {\n url = ')).toMatchObject({ provider: null, url: { kind: 'other' } })
    expect(readDatasource('datasource db { url = "unended\n provider = "postgresql" }')?.provider).toBe('postgresql')
    expect(readDatasource('/* datasource')).toBeNull()
  })
})

describe('a Prisma project', () => {
  it('is read with its migrations in the order of their names', async () => {
    const setup = await found({ 'package.json': '{}', ...BASIC, 'prisma/migrations/stray.sql': '' })
    expect(setup).toMatchObject({ tool: 'prisma', version: null, variables: [{ name: 'DATABASE_URL', part: 'url' }] })
    expect(setup.files.map(({ name, shown }) => `${name} ${shown}`)).toEqual([
      '20240101_a prisma/migrations/20240101_a/migration.sql',
      '20240102_b prisma/migrations/20240102_b/migration.sql',
    ])
    expect(setup.notes.map(({ kind, file, line }) => ({ kind, file, line }))).toEqual([
      { kind: 'unlisted', file: 'prisma/migrations/stray.sql', line: null },
      { kind: 'impossible', file: 'prisma/migrations/20240102_b/migration.sql', line: 2 },
    ])
    expect(setup.notes[1]?.advice).toMatch(/exactly one statement.*P3009/)
  })

  it('gives every variable of its address, directUrl first', async () => {
    const schema = SCHEMA.replace('}', '  directUrl = env("DIRECT_URL")\n}')
    const setup = await found({ ...BASIC, 'prisma/schema.prisma': schema })
    expect(setup.variables.map(({ name }) => name)).toEqual(['DIRECT_URL', 'DATABASE_URL'])
  })

  it('is refused with a literal address, by file and line and without it', async () => {
    const schema = SCHEMA.replace('env("DATABASE_URL")', '"postgres://u:hunter2@db.example.com/x"')
    const error = await refusal(found({ ...BASIC, 'prisma/schema.prisma': schema }))
    expect(error.code).toBe('SCENARIO_INVALID')
    expect(error.message).toMatch(/^prisma\/schema\.prisma:3: a literal address/)
    expect(error.message).not.toMatch(/hunter2|example/)
  })

  it('of another database is none, or an error when it was asked for', async () => {
    const files = { ...BASIC, 'prisma/schema.prisma': SCHEMA.replace('postgresql', 'mysql') }
    expect(await detect(requestIn(projectOf(files)))).toBeNull()
    expect((await refusal(found(files, { tool: 'prisma' }))).message).toMatch(/schema\.prisma:1: .*postgresql/)
    expect(await detect(requestIn(projectOf({ 'package.json': '{}' })))).toBeNull()
    expect((await refusal(found({ a: '' }, { tool: 'prisma' }))).message).toMatch(/no Prisma schema/)
    expect(await detect(requestIn(projectOf(BASIC), { tool: 'drizzle' }))).toBeNull()
  })

  it('without migrations is none', async () => {
    expect(await detect(requestIn(projectOf({ 'schema.prisma': SCHEMA })))).toBeNull()
  })

  it('may name its schema in package.json, or be a folder of files beside which the migrations are', async () => {
    const elsewhere = { 'package.json': JSON.stringify({ prisma: { schema: 'db/schema' } }), 'db/schema/a.prisma': '' }
    const setup = await found({
      ...elsewhere,
      'db/schema/main.prisma': SCHEMA,
      'db/schema/migrations/1_a/migration.sql': 'select 1',
    })
    expect(setup.files.map(({ shown }) => shown)).toEqual(['db/schema/migrations/1_a/migration.sql'])
    expect(setup.configFile).toMatch(/main\.prisma$/)
  })

  it('with a configuration file is read through it', async () => {
    const config = `
      import { env } from './env.ts'
      export default { schema: 'p/s.prisma', migrations: { path: 'p/m' }, datasource: { url: env('PRIMARY_URL') } }`
    const files = {
      'env.ts': 'export const env = (name: string) => process.env[name]',
      'prisma.config.ts': config,
      'p/s.prisma': 'datasource db {\n  provider = "postgresql"\n}',
      'p/m/1_a/migration.sql': 'select 1',
    }
    const setup = await found(files)
    expect(setup.variables).toEqual([{ name: 'PRIMARY_URL', part: 'url' }])
    expect(setup.configFile).toMatch(/prisma\.config\.ts$/)
    expect(setup.files.map(({ name }) => name)).toEqual(['1_a'])
    const literal = config.replace("env('PRIMARY_URL')", "'postgres://u:hunter2@db.example.com/x'")
    const error = await refusal(found({ ...files, 'prisma.config.ts': literal }))
    expect(error.message).toMatch(/^prisma\.config\.ts:3: a literal address/)
    expect(error.message).not.toContain('hunter2')
  })

  it('says what will stop a deploy', async () => {
    const setup = await found({
      ...BASIC,
      'prisma/migrations/migration_lock.toml': '# x\nprovider = "mysql"\n',
      'prisma/migrations/20240103_c/readme.md': '',
      'prisma/migrations/20240104_d/migration.sql': '\uFEFFselect 1',
    })
    expect(setup.notes.map(({ file, line, message }) => `${file ?? ''}:${line ?? ''} ${message}`)).toEqual([
      expect.stringMatching(/migration_lock\.toml:2 .*mysql.*P3019/),
      expect.stringMatching(/20240103_c: .*P3015/),
      expect.stringMatching(/20240104_d.*:1 .*byte order mark/),
      expect.stringMatching(/20240102_b.*:2 .*25001/),
    ])
  })
})

describe('what is started', () => {
  const cli: Files = {
    'node_modules/prisma/package.json': packageJson('prisma', '6.19.3', 'build/index.js'),
    'node_modules/prisma/build/index.js': '',
    'node_modules/@prisma/engines/package.json': packageJson('@prisma/engines', '6.19.3'),
  }

  it('is a replay where the engine is not there, and why is said', async () => {
    expect((await found(BASIC)).launch).toMatchObject({
      kind: 'replay',
      why: expect.stringContaining('not installed') as string,
    })
    const compressed = { ...cli, 'node_modules/@prisma/engines/schema-engine-debian-openssl-3.0.x.gz': '' }
    const setup = await found({ ...BASIC, ...compressed })
    expect(setup.version).toBe('prisma 6.19.3')
    expect(setup.launch).toMatchObject({ kind: 'replay', why: expect.stringContaining('engine') as string })
  })

  it('is the program where the engine is there', async () => {
    const engine = { ...cli, 'node_modules/@prisma/engines/schema-engine-debian-openssl-3.0.x': '' }
    const { launch } = await found({ ...BASIC, ...engine })
    expect(launch.kind === 'program' ? launch.argv.slice(1) : launch).toEqual([
      expect.stringMatching(/node_modules\/prisma\/build\/index\.js$/),
      'migrate',
      'deploy',
    ])
    const named = await found(
      { ...BASIC, ...engine, 'other.prisma': SCHEMA, 'migrations/1/migration.sql': '' },
      { tool: 'prisma', config: 'other.prisma' },
    )
    expect(named.launch.kind === 'program' ? named.launch.argv.slice(4) : named.launch).toEqual([
      '--schema',
      'other.prisma',
    ])
    const own = await found({ ...BASIC, ...cli }, {}, { PRISMA_SCHEMA_ENGINE_BINARY: process.execPath })
    expect(own.launch.kind).toBe('program')
  })

  it('is the command of the user, without an address in it', async () => {
    expect((await found(BASIC, { command: 'make migrate' })).launch).toEqual({ kind: 'shell', line: 'make migrate' })
    const error = await refusal(
      found(BASIC, { command: 'DATABASE_URL=postgres://u:hunter2@h/x prisma migrate deploy' }),
    )
    expect(error.message).not.toContain('hunter2')
  })
})

describe('the journal', () => {
  const row = (migration_name: string, text: string, rest = {}) => ({
    migration_name,
    checksum: sha256(text),
    started_at: '2024-01-01 00:00:00+00',
    finished_at: '2024-01-01 00:00:01+00',
    rolled_back_at: null,
    ...rest,
  })

  it('never reads the logs', async () => {
    expect((await found(BASIC)).ledger?.query).not.toMatch(/logs|\*/)
  })

  it('decides what is pending by name alone, and what changed afterwards is said', async () => {
    const { ledger, files } = await found(BASIC)
    const text = files[1]?.text ?? ''
    expect(ledger?.pending(files, [])).toMatchObject({
      pending: ['20240101_a', '20240102_b'],
      applied: [],
      refuses: null,
    })
    const unix = ledger?.pending(files, [row('20240102_b', text.replaceAll('\n', '\r\n'))])
    expect(unix?.notes).toMatchObject([{ kind: 'order', file: 'prisma/migrations/20240101_a/migration.sql' }])
    expect(unix?.pending).toEqual(['20240101_a'])
    const edited = ledger?.pending(files, [row('20240101_a', 'other'), row('20231231_gone', 'x')])
    expect(edited?.notes.map(({ kind }) => kind)).toEqual(['other', 'other'])
    expect(edited).toMatchObject({ pending: ['20240102_b'], applied: ['20240101_a'], refuses: null })
  })

  it('refuses after a failure until that is resolved', async () => {
    const { ledger, files } = await found(BASIC)
    const failed = row('20240102_b', 'x', { finished_at: null })
    const refused = ledger?.pending(files, [row('20240101_a', files[0]?.text ?? ''), failed])
    expect(refused?.refuses).toMatch(/^P3009: .*`20240102_b`.*prisma migrate resolve/)
    expect(refused?.pending).toEqual([])
    const resolved = ledger?.pending(files, [{ ...failed, rolled_back_at: '2024-01-02' }])
    expect(resolved).toMatchObject({ pending: ['20240101_a', '20240102_b'], refuses: null })
  })

  it('names the migration of its rows', async () => {
    const { ledger, files } = await found(BASIC)
    const sql = 'INSERT INTO "_prisma_migrations" ("id","checksum","started_at","migration_name") VALUES ($1,$2,$3,$4)'
    expect(ledger?.recordedBy(sql, ['1', 'c', null, '20240102_b'], files)).toBe('20240102_b')
    expect(ledger?.recordedBy(sql, ['1', files[0]?.sha256 ?? '', null, null], files)).toBe('20240101_a')
    expect(ledger?.recordedBy(sql, null, files)).toBeNull()
    expect(
      ledger?.recordedBy('UPDATE "_prisma_migrations" SET "finished_at" = $1 WHERE "id" = $2', ['1', '2'], files),
    ).toBeNull()
    expect(ledger?.written).toBe('before')
  })

  it('of an older state is made by leaving folders out', async () => {
    const project = projectOf(BASIC)
    const setup = await detect(requestIn(project))
    const copy = await mkdtemp(join(tmpdir(), 'rehearse-copy-'))
    try {
      await cp(project, copy, { recursive: true })
      await setup?.cut(copy, ['20240101_a'])
      const there = (path: string): boolean => existsSync(join(copy, 'prisma/migrations', path))
      expect(['20240101_a', '20240102_b', 'migration_lock.toml'].map(there)).toEqual([true, false, true])
      expect(existsSync(join(project, 'prisma/migrations/20240102_b'))).toBe(true)
    } finally {
      await rm(copy, { recursive: true, force: true })
    }
  })
})
