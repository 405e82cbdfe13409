import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Address } from '../../../src/pg/connect.js'
import { detect } from '../../../src/migrations/tools/supabase.js'
import { supabaseLedger } from '../../../src/migrations/tools/supabase-ledger.js'
import { replaySupabase, SUPABASE_SQL } from '../../../src/migrations/tools/supabase-replay.js'
import { splitAsSupabase } from '../../../src/migrations/tools/supabase-split.js'
import type { MigrationSource } from '../../../src/migrations/tools/types.js'
import { connect } from '../../support/postgres.js'
import { logOf, startLogServer, type LogServer } from '../../support/server-log.js'
import { packageJson, projectOf, requestIn, type Files } from '../../support/tool-project.js'

const migration = (name: string, text: string): MigrationSource => ({
  ...{ name, text, sql: text, kind: 'sql', sha256: '' },
  ...{ path: `/p/supabase/migrations/${name}.sql`, shown: `supabase/migrations/${name}.sql` },
})
const A = migration('20240101000000_a', 'CREATE TABLE a (id int);\n-- one\nINSERT INTO a VALUES (1), (2);\n')
const B = migration('20240102000000_b', `SET search_path = nowhere; COMMENT ON TABLE public.a IS 'it''s "a" \\ b';`)
const C = migration('20240103000000_c', 'ALTER TABLE a ADD COLUMN n int;')

describe('cutting a file into statements', () => {
  it('goes by quotes, comments and dollar quotes', () => {
    const cut = (text: string, parts: string[]): void => expect(splitAsSupabase(text)).toEqual(parts)
    cut('', [])
    cut(' ;\n; ', [])
    cut('select 1;\n\n select 2 ;; select 3', ['select 1', 'select 2', 'select 3'])
    cut(`select ';' || "a;b" || 'it''s;'; select 2`, [`select ';' || "a;b" || 'it''s;'`, 'select 2'])
    cut('select 1; -- a; b\nselect 2;', ['select 1', '-- a; b\nselect 2'])
    cut('select 1 - 2; /* ; /* ; */ ; */ select 3 / 1;', ['select 1 - 2', '/* ; /* ; */ ; */ select 3 / 1'])
    cut('do $$ begin; end $$; do $a_1$ $$;$b$ $a_1$; select $1', [
      'do $$ begin; end $$',
      'do $a_1$ $$;$b$ $a_1$',
      'select $1',
    ])
    cut('create rule r as on insert to a do (delete from b; select 1); select 2', [
      'create rule r as on insert to a do (delete from b; select 1)',
      'select 2',
    ])
    cut('create function f() begin atomic; select 1; end; select 2', [
      'create function f() begin atomic; select 1; end',
      'select 2',
    ])
    cut('select 1 -- the end', ['select 1 -- the end'])
    cut('\uFEFFselect 1', ['\uFEFFselect 1'])
  })

  it('keeps the faults of the program', () => {
    expect(splitAsSupabase(`select '\\'; select 2`)).toEqual([`select '\\'`, 'select 2'])
    expect(splitAsSupabase('select \\; 1')).toEqual(['select \\; 1'])
    expect(splitAsSupabase('do ((select 1); select 2); select 3')).toEqual(['do ((select 1)', 'select 2)', 'select 3'])
    const nested = 'create function f() begin atomic; select case when true then 1 end; select 2; end; select 3'
    expect(splitAsSupabase(nested)).toHaveLength(4)
  })
})

describe('what is pending', () => {
  const rows = (...versions: string[]) => versions.map((version) => ({ version }))
  const ledger = supabaseLedger(false)

  it('is what comes after the last applied one', () => {
    expect(ledger.pending([A, B, C], rows('20240101000000'))).toEqual({
      pending: [B.name, C.name],
      applied: [A.name],
      notes: [],
      refuses: null,
    })
    expect(ledger.pending([A, B], []).pending).toEqual([A.name, B.name])
  })

  it('is refused when an older one was added, unless --include-all', () => {
    const applied = rows('20240101000000', '20240103000000')
    expect(ledger.pending([A, B, C], applied).refuses).toMatch(/inserted before the last.*20240102000000_b/)
    const all = supabaseLedger(true).pending([A, B, C], applied)
    expect(all).toMatchObject({ pending: [B.name], refuses: null, notes: [{ kind: 'order', file: B.shown }] })
  })

  it('is refused when an applied one is missing, in any case', () => {
    for (const includeAll of [false, true])
      expect(supabaseLedger(includeAll).pending([A], rows('20230101000000')).refuses).toMatch(
        /not found.*20230101000000/,
      )
  })

  it('is known by the version that a row carries', () => {
    expect(ledger.recordedBy(SUPABASE_SQL.insert, ['20240102000000', 'b', null], [A, B])).toBe(B.name)
    expect(ledger.recordedBy(SUPABASE_SQL.insert, null, [A, B])).toBeNull()
    expect(ledger.recordedBy('select 1', null, [A, B])).toBeNull()
  })
})

describe('a project of the Supabase CLI', () => {
  const files: Files = {
    'supabase/migrations/20200101000000_init.sql': 'select 0;',
    'supabase/migrations/20240101000000_a.sql': 'select 1;\nCREATE INDEX CONCURRENTLY i ON a (id);',
    'supabase/migrations/20240102000000_b.sql': 'CREATE INDEX CONCURRENTLY i ON a (id);',
    'supabase/migrations/later.sql': '',
    'supabase/migrations/README.md': '',
  }

  it('is read, with what the CLI passes over', async () => {
    const setup = await detect(requestIn(projectOf(files)))
    expect(setup?.files.map(({ name }) => name)).toEqual(['20240101000000_a', '20240102000000_b'])
    expect(setup?.notes.map(({ kind, file, line }) => `${kind} ${file ?? ''} ${line ?? ''}`.trim())).toEqual([
      'skipped supabase/migrations/20200101000000_init.sql',
      'unlisted supabase/migrations/later.sql',
      'impossible supabase/migrations/20240101000000_a.sql 2',
    ])
    expect(setup?.launch.kind).toBe('replay')
  })

  it('runs the program of the project where there is one, and the user’s command before it', async () => {
    const installed = {
      'node_modules/supabase/package.json': packageJson('supabase', '2.1.0', 'bin/supabase'),
      'node_modules/supabase/bin/supabase': '',
    }
    const setup = await detect(requestIn(projectOf({ ...files, ...installed })))
    expect(setup).toMatchObject({ version: 'supabase 2.1.0', launch: { kind: 'shell' } })
    expect(setup?.launch.kind === 'shell' ? setup.launch.line : '').toContain(
      'supabase migration up --db-url "$DATABASE_URL"',
    )
    const command = 'supabase db push --include-all --db-url "$DATABASE_URL"'
    const own = await detect(requestIn(projectOf(files), { command }))
    expect(own?.launch).toEqual({ kind: 'shell', line: command })
    expect(own?.ledger?.pending([A, B], [{ version: '20240102000000' }]).refuses).toBeNull()
  })

  it('is none without files, in another folder, or for another tool', async () => {
    expect(await detect(requestIn(projectOf({ 'supabase/config.toml': '' })))).toBeNull()
    expect(await detect(requestIn(projectOf({ 'supabase/migrations/x.md': '' })))).toBeNull()
    expect(await detect(requestIn(projectOf({ 'm/1_a.sql': '' }), { folder: 'm' }))).toBeNull()
    expect(await detect(requestIn(projectOf(files), { tool: 'prisma' }))).toBeNull()
    await expect(detect(requestIn(projectOf({ a: '' }), { tool: 'supabase' }))).rejects.toThrow(
      /supabase\/migrations: does not exist/,
    )
  })
})

describe('the replay', () => {
  let server: LogServer
  let count = 0
  beforeAll(async () => {
    server = await startLogServer(18)
  })
  afterAll(() => server.stop())

  const fresh = (): Promise<Address> => server.database(`supabase_${++count}`)
  const up = (address: Address, files: MigrationSource[], includeAll = false) =>
    replaySupabase({ address, files, signal: AbortSignal.timeout(30_000) }, includeAll)
  async function rowsOf(address: Address, sql: string): Promise<Record<string, unknown>[]> {
    const client = connect(address)
    try {
      return (await client.unsafe<Record<string, unknown>[]>(sql)).map((row) => ({ ...row }))
    } finally {
      await client.end()
    }
  }
  const journal = (address: Address) =>
    rowsOf(address, 'SELECT version, name, statements FROM supabase_migrations.schema_migrations ORDER BY version')

  it('sends RESET ALL and one batch a file, the journal’s row in its transaction', async () => {
    const address = await fresh()
    const { exitCode, lines } = await up(address, [A, B])
    expect([exitCode, lines.slice(1, 3)]).toEqual([
      0,
      ['Applying migration 20240101000000_a.sql...', 'Applying migration 20240102000000_b.sql...'],
    ])
    const log = await logOf(server, address.database)
    const sent = log.filter(({ kind }) => kind === 'statement' || kind === 'execute')
    const batch = (file: MigrationSource) => [
      ['statement', 'RESET ALL'],
      ...splitAsSupabase(file.text).map((sql) => ['execute', sql]),
      ['execute', SUPABASE_SQL.insert],
    ]
    expect(sent.map(({ kind, sql }) => [kind, sql])).toEqual([
      ...SUPABASE_SQL.create.map((sql) => ['execute', sql]),
      ...batch(A),
      ...batch(B),
    ])
    const transactions = sent.slice(SUPABASE_SQL.create.length).map(({ vxid }) => vxid)
    expect(new Set(transactions.slice(1, 4)).size).toBe(1)
    expect(new Set(transactions).size).toBe(4)
    expect(await journal(address)).toEqual(
      [A, B].map((file) => ({
        version: file.name.slice(0, 14),
        name: file.name.slice(15),
        statements: splitAsSupabase(file.text),
      })),
    )
    // The search_path of the second file does not outlive it.
    expect((await up(address, [A, B, C])).exitCode).toBe(0)
    expect(await up(address, [A, B, C])).toMatchObject({ exitCode: 0 })
    expect(await journal(address)).toHaveLength(3)
  })

  it('leaves nothing of a file that fails, and says where without data', async () => {
    const address = await fresh()
    const bad = migration(
      '20240102000000_bad',
      `CREATE TABLE c (id int); INSERT INTO a VALUES ('canary-value'); SELECT 1;`,
    )
    const { exitCode, lines } = await up(address, [A, bad, C])
    expect(exitCode).toBe(1)
    expect(lines.at(-1)).toBe('ERROR (SQLSTATE 22P02)\nAt statement: 1')
    expect(lines.join()).not.toContain('canary-value')
    expect(await journal(address)).toHaveLength(1)
    expect(await rowsOf(address, `SELECT to_regclass('c') IS NULL AS gone`)).toEqual([{ gone: true }])
  })

  it('builds an index concurrently only as the first statement of a file', async () => {
    const index = 'CREATE INDEX CONCURRENTLY i ON a (id);'
    const address = await fresh()
    expect((await up(address, [A, migration('20240102000000_i', index)])).exitCode).toBe(0)
    const later = await up(await fresh(), [A, migration('20240102000000_i', `SELECT 1; ${index}`)])
    expect(later.lines.at(-1)).toContain('25001')
  })

  it('refuses what the program refuses, before it changes anything', async () => {
    const address = await fresh()
    await up(address, [A, C])
    const refused = await up(address, [A, B, C])
    expect(refused).toMatchObject({
      exitCode: 1,
      lines: [expect.any(String), expect.stringMatching(/inserted before/)],
    })
    expect((await up(address, [A, B, C], true)).exitCode).toBe(0)
  })
})
