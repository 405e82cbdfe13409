import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { detect } from '../../../src/migrations/tools/node-pg-migrate.js'
import type { LedgerRow, ToolRequest, ToolSetup } from '../../../src/migrations/tools/types.js'
import { packageJson, projectOf, requestIn, type Files } from '../../support/tool-project.js'

const manifest = (scripts: Record<string, string> = {}): string =>
  JSON.stringify({ scripts, devDependencies: { 'node-pg-migrate': '9.0.0' } })
const INSTALLED: Files = {
  'node_modules/node-pg-migrate/package.json': packageJson('node-pg-migrate', '9.0.0', 'bin/node-pg-migrate.js'),
}
const BASE: Files = { ...INSTALLED, 'package.json': manifest(), 'migrations/001_a.sql': 'select 1;' }

async function found(files: Files, rest: Partial<ToolRequest> = {}): Promise<ToolSetup> {
  const setup = await detect(requestIn(projectOf(files), rest))
  if (setup === null) throw new Error('not found')
  return setup
}
const names = (setup: ToolSetup): string[] => setup.files.map(({ name }) => name)
const words = ({ launch }: ToolSetup): readonly string[] => (launch.kind === 'program' ? launch.argv.slice(2) : [])
const rows = (...run: string[]): LedgerRow[] => run.map((name, i) => ({ name, run_on: '2026-01-01', id: String(i) }))
const decide = (setup: ToolSetup, run: LedgerRow[]) => {
  const result = setup.ledger?.pending(setup.files, run)
  if (result === undefined) throw new Error('no ledger')
  return result
}

describe('a project with node-pg-migrate', () => {
  it('is found by its dependency or a script, with the defaults of version 9', async () => {
    const setup = await found(BASE)
    expect(setup).toMatchObject({
      tool: 'node-pg-migrate',
      version: 'node-pg-migrate 9.0.0',
      configFile: null,
      variables: [{ name: 'DATABASE_URL', part: 'url' }],
      notes: [],
      assumptions: [],
      ledger: {
        table: 'public.pgmigrations',
        tables: [{ schema: 'public', name: 'pgmigrations' }],
        query: 'select name, run_on, id from public.pgmigrations order by run_on, id',
        written: 'after',
      },
    })
    const root = join(setup.folder, '..')
    expect(setup.launch).toEqual({
      kind: 'program',
      argv: [process.execPath, join(root, 'node_modules/node-pg-migrate/bin/node-pg-migrate.js'), 'up'],
    })
    const script = { 'package.json': JSON.stringify({ scripts: { m: 'npx node-pg-migrate up' } }) }
    expect(names(await found({ ...BASE, ...script }))).toEqual(['001_a'])
  })

  it('is none without either, unless it is asked for', async () => {
    const rest = { ...INSTALLED, 'migrations/001_a.sql': 'select 1;' }
    expect(await detect(requestIn(projectOf(rest)))).toBeNull()
    expect(await detect(requestIn(projectOf(BASE), { tool: 'drizzle' }))).toBeNull()
    expect(names(await found(rest, { tool: 'node-pg-migrate' }))).toEqual(['001_a'])
  })

  it('must be installed, unless there is a command', async () => {
    const files = { 'package.json': manifest(), 'migrations/001_a.sql': '' }
    await expect(found(files)).rejects.toThrow(/^package\.json: node-pg-migrate is not installed/)
    expect((await found(files, { command: 'make migrate' })).launch).toEqual({ kind: 'shell', line: 'make migrate' })
    await expect(found({ ...INSTALLED, 'package.json': manifest() })).rejects.toThrow(/^migrations: does not exist/)
  })

  it('of another version is told', async () => {
    const old = { 'node_modules/node-pg-migrate/package.json': packageJson('node-pg-migrate', '7.9.1') }
    expect((await found({ ...BASE, ...old })).assumptions).toEqual([
      'The rules are those of node-pg-migrate 9; 7.9.1 is installed.',
    ])
  })
})

describe('options', () => {
  const script = (line: string, rest: Partial<ToolRequest> = {}, files: Files = {}) =>
    found({ ...INSTALLED, 'package.json': manifest({ migrate: line }), 'db/m/1_a.sql': 'select 1;', ...files }, rest)

  it('come from the script that calls it, which is called with them', async () => {
    const line =
      'PGOPTIONS=x dotenv -e .env -- node-pg-migrate -j sql -m db/m -d MY_URL --migrations-table=log -s "my app" other -t log'
    const setup = await script(line)
    expect(names(setup)).toEqual(['1_a'])
    expect(setup.variables).toEqual([{ name: 'MY_URL', part: 'url' }])
    expect(setup.ledger?.query).toBe('select name, run_on, id from "my app".log order by run_on, id')
    expect(words(setup)).toEqual([
      ...[
        'up',
        '-j',
        'sql',
        '-m',
        'db/m',
        '-d',
        'MY_URL',
        '--migrations-table=log',
        '-s',
        'my app',
        'other',
        '-t',
        'log',
      ],
    ])
    expect(setup.assumptions).toEqual([
      'node-pg-migrate is called with the options of the script migrate in package.json.',
      'What that script sets (PGOPTIONS) is not set.',
    ])
  })

  it('are those of the script that goes up, not of one that goes down or makes files', async () => {
    const scripts = {
      new: 'node-pg-migrate create -m db/x -j ts',
      down: 'node-pg-migrate down -m db/y',
      up: 'tsc && node-pg-migrate up --migrationsDir db/m --no-check-order --no-single-transaction',
    }
    const setup = await found({
      ...INSTALLED,
      'package.json': manifest(scripts),
      'db/m/1_a.sql': '',
      'db/m/2_b.sql': '',
    })
    expect(names(setup)).toEqual(['1_a', '2_b'])
    expect(decide(setup, rows('2_b'))).toMatchObject({ pending: ['1_a'], refuses: null })
    const { new: create } = scripts
    const only = await found({ ...INSTALLED, 'package.json': manifest({ create }), 'db/x/1_a.sql': '' })
    expect(words(only)).toEqual(['up', '-m', 'db/x', '-j', 'ts'])
  })

  it('come from the command, directly or through the script that it runs', async () => {
    const direct = await script('node-pg-migrate -m none', { command: 'npx node-pg-migrate up -m db/m -d A_URL' })
    expect(direct).toMatchObject({ variables: [{ name: 'A_URL' }], launch: { kind: 'shell' } })
    const through = await script('node-pg-migrate -m db/m', { command: 'npm run -s migrate -- up -d B_URL' })
    expect(names(through)).toEqual(['1_a'])
    expect(through.variables).toEqual([{ name: 'B_URL', part: 'url' }])
    const elsewhere = await script('x', { command: 'cd db && node-pg-migrate -m m up' })
    expect(names(elsewhere)).toEqual(['1_a'])
  })

  it('select: a count, a name, a time', async () => {
    const more = { 'db/m/2_b.sql': '', 'db/m/3_c.sql': '' }
    const pending = async (line: string) => decide(await script(line, {}, more), rows('1_a')).pending
    expect(await pending('node-pg-migrate up -m db/m')).toEqual(['2_b', '3_c'])
    expect(await pending('node-pg-migrate up 1 -m db/m')).toEqual(['2_b'])
    expect(await pending('node-pg-migrate up 3_c -m db/m')).toEqual(['3_c'])
    expect(await pending('node-pg-migrate up 2 --timestamp -m db/m')).toEqual(['2_b'])
  })

  it('that run nothing, or need a shell, are refused', async () => {
    await expect(script('node-pg-migrate up --dry-run -m db/m')).rejects.toThrow(/script migrate: --dry-run runs no/)
    await expect(script('node-pg-migrate up -m $DIR')).rejects.toThrow(/script migrate: this call .* needs a shell/)
    await expect(script('cd x && node-pg-migrate up')).rejects.toThrow(/needs a shell/)
  })

  it('must not bring an address in the command', async () => {
    const command = 'DATABASE_URL=postgres://me:hunter2@prod/x node-pg-migrate up -m db/m'
    await expect(script('x', { command })).rejects.toThrow(/^migrations\.command: a literal database address/)
    const named = script('x', { command: 'MY=$OTHER node-pg-migrate up -d MY -m db/m' })
    await expect(named).rejects.toThrow(/sets MY itself/)
  })

  it('of a configuration file win over the command line', async () => {
    const config = {
      db: { 'migrations-dir': 'db/m', 'migrations-table': 7, schema: ['app', 'b'], 'check-order': false },
    }
    const setup = await script('node-pg-migrate -f c.json -m none -t t', {}, { 'c.json': JSON.stringify(config) })
    expect(names(setup)).toEqual(['1_a'])
    expect(setup.configFile?.endsWith('/c.json')).toBe(true)
    expect(setup.ledger?.table).toBe('app.t')
  })

  it('of a program are read by running it, and its own address is not used', async () => {
    const text = `export default { 'migrations-dir': 'db/m', 'migrations-schema': 'meta', url: process.env.OTHER_URL }`
    const setup = await script('node-pg-migrate', { config: 'pg.config.ts' }, { 'pg.config.ts': text })
    expect(setup.ledger?.table).toBe('meta.pgmigrations')
    expect(words(setup)).toEqual(['up', '-f', 'pg.config.ts'])
    expect(setup.variables.map(({ name }) => name)).toEqual(['DATABASE_URL', 'OTHER_URL'])
    expect(setup.assumptions).toContain('The database that pg.config.ts names is not used: DATABASE_URL wins over it.')
  })

  it("of node-config's files are merged, when it is installed", async () => {
    const files = {
      'config/default.json': '{"db":{"migrations-dir":"db/m","schema":"a"}}',
      'config/development.json': '{"db":{"schema":"b","host":"localhost"}}',
    }
    const setup = await script(
      'node-pg-migrate',
      {},
      { ...files, 'node_modules/config/package.json': '{"version":"4.0.0"}' },
    )
    expect(setup.ledger?.table).toBe('b.pgmigrations')
    await expect(script('node-pg-migrate', {}, files)).rejects.toThrow(/^migrations: does not exist/)
  })

  it('that cannot be read are told', async () => {
    await expect(script('node-pg-migrate -f c.json', {}, { 'c.json': '{\n"a":' })).rejects.toThrow(
      /^c\.json:2: is not valid JSON/,
    )
    await expect(script('node-pg-migrate -f c.json')).rejects.toThrow(/^c\.json: does not exist/)
    await expect(script('node-pg-migrate -f c.json', {}, { 'c.json': '{"database-url-var":"X"}' })).rejects.toThrow(
      /^c\.json: node-pg-migrate takes database-url-var here for the address itself/,
    )
  })
})

describe('files', () => {
  it('are sorted by number, 17 digits as a time, then by name', async () => {
    const list = [
      '10_z.sql',
      '9_b.js',
      '9_a.sql',
      '20260131120000000_u.sql',
      '1700000000000_t.ts',
      '.hidden',
      'sub/1_x.sql',
    ]
    const files = Object.fromEntries(list.map((name) => [`migrations/${name}`, '']))
    const setup = await found({ ...INSTALLED, 'package.json': manifest(), ...files })
    expect(names(setup)).toEqual(['9_a', '9_b', '10_z', '1700000000000_t', '20260131120000000_u'])
    expect(setup.files.map(({ kind }) => kind)).toEqual(['sql', 'code', 'sql', 'code', 'sql'])
  })

  it('need a number, when there are several', async () => {
    const readme = { 'migrations/README.md': '# x' }
    await expect(found({ ...BASE, ...readme })).rejects.toThrow(
      /^migrations\/README\.md: .*Cannot determine numeric prefix for "README\.md"/,
    )
    const ignoring = { 'package.json': manifest({ m: 'node-pg-migrate --ignore-pattern "README.*"' }) }
    expect(names(await found({ ...BASE, ...readme, ...ignoring }))).toEqual(['001_a'])
  })

  it('can be a pattern', async () => {
    const files = {
      'src/a/migrations/2_b.ts': '',
      'src/b/c/migrations/1_a.sql': '',
      'src/b/migrations/3_c.d.ts': '',
      'src/b/1.sql': '',
    }
    const line = 'node-pg-migrate --use-glob -m "src/**/migrations/*.{ts,sql}" --ignore-pattern "src/**/*.d.ts"'
    const setup = await found({ ...INSTALLED, 'package.json': manifest({ m: line }), ...files })
    expect(setup.files.map(({ shown }) => shown)).toEqual(['src/b/c/migrations/1_a.sql', 'src/a/migrations/2_b.ts'])
    expect(setup.folder.endsWith('/src')).toBe(true)
  })

  const sqlOf = async (text: string) => (await found({ ...BASE, 'migrations/001_a.sql': text })).files[0]?.sql

  it('are sent without the down section, lines kept', async () => {
    expect(await sqlOf('x;\n-- Up Migration\r\ncreate;\r\n-- Down Migration\r\ndrop;\r\n')).toBe(
      '  \n-- Up Migration\r\ncreate;\r\n                 \r\n     \r\n',
    )
    expect(await sqlOf('--- DOWN migration\ndrop;\n  -- up  migration\ncreate;')).toBe(
      `${' '.repeat(18)}\n     \n  -- up  migration\ncreate;`,
    )
    expect(await sqlOf('create;')).toBe('create;')
  })

  it('with only a down marker are sent as a whole', async () => {
    const text = 'create table a ();\n-- Down Migration\ndrop table a;'
    expect(await sqlOf(text)).toBe(text)
    expect((await found({ ...BASE, 'migrations/001_a.sql': text })).notes).toMatchObject([
      {
        kind: 'other',
        file: 'migrations/001_a.sql',
        message: expect.stringContaining('the down section included') as string,
      },
    ])
  })

  it('with the same name are told', async () => {
    const { notes } = await found({ ...BASE, 'migrations/001_a.js': '' })
    expect(notes).toMatchObject([{ kind: 'order', message: expect.stringContaining('same name (001_a)') as string }])
  })

  it('in SQL can never build an index concurrently, in programs they can', async () => {
    const sql = '-- Up Migration\ncreate index concurrently i on a (b);\n-- Down Migration\ndrop index concurrently i;'
    const js = `// pgm.noTransaction()
      exports.up = (pgm) => {
        const text = 'pgm.noTransaction()'
        pgm.noTransaction()
        pgm.sql('create index concurrently j on a (b)')
      }`
    const down = `exports.up = (pgm) => {}; exports.down = (pgm) => { pgm.noTransaction() }`
    const files = { 'migrations/001_a.sql': sql, 'migrations/002_b.js': js, 'migrations/003_c.ts': down }
    const { notes } = await found({ ...BASE, ...files })
    expect(notes).toMatchObject([
      {
        kind: 'other',
        file: 'migrations/002_b.js',
        line: 4,
        message: expect.stringContaining('COMMIT before it') as string,
      },
      {
        kind: 'impossible',
        file: 'migrations/001_a.sql',
        line: 2,
        advice: expect.stringContaining('noTransaction') as string,
      },
    ])
  })
})

describe('what is pending', () => {
  const three = { ...BASE, 'migrations/002_b.sql': '', 'migrations/003_c.sql': '' }

  it('is what the journal does not name', async () => {
    const setup = await found(three)
    expect(decide(setup, [])).toMatchObject({ pending: ['001_a', '002_b', '003_c'], refuses: null })
    expect(decide(setup, rows('001_a'))).toMatchObject({
      pending: ['002_b', '003_c'],
      applied: ['001_a'],
      refuses: null,
    })
    expect(decide(setup, rows('001_a', '002_b', '003_c', '004_gone'))).toMatchObject({ pending: [], refuses: null })
  })

  it('is refused where the order differs', async () => {
    expect(decide(await found(three), rows('001_a', '003_c'))).toMatchObject({
      pending: ['002_b'],
      refuses: 'Not run migration 002_b is preceding already run migration 003_c',
    })
  })

  it('is recorded by the row that is inserted, or taken away', async () => {
    const setup = await found(three)
    const by = (sql: string) => setup.ledger?.recordedBy(sql, null, setup.files)
    expect(by(`INSERT INTO "public"."pgmigrations" (name, run_on) VALUES ('002_b', NOW());`)).toBe('002_b')
    expect(by(`DELETE FROM "public"."pgmigrations" WHERE name='003_c';`)).toBe('003_c')
    expect(by(`INSERT INTO "public"."pgmigrations" (name, run_on) VALUES ('004_x', NOW());`)).toBeNull()
    expect(by(`INSERT INTO "app"."pgmigrations" (name, run_on) VALUES ('002_b', NOW());`)).toBeNull()
    expect(by(`SELECT name FROM "public"."pgmigrations" ORDER BY run_on, id`)).toBeNull()
  })

  it('can be cut out of a copy', async () => {
    const setup = await found(three)
    const copy = projectOf(three)
    await setup.cut(copy, ['001_a'])
    expect(existsSync(join(copy, 'migrations/001_a.sql'))).toBe(true)
    expect(existsSync(join(copy, 'migrations/002_b.sql'))).toBe(false)
    expect(existsSync(join(setup.folder, '002_b.sql'))).toBe(true)
  })
})
