import { existsSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { describe, expect, it } from 'vitest'
import { detect } from '../../../src/migrations/tools/drizzle.js'
import { sha256 } from '../../../src/migrations/tools/files.js'
import type { LedgerRow, ToolRequest, ToolSetup } from '../../../src/migrations/tools/types.js'
import { packageJson, projectOf, requestIn, type Files } from '../../support/tool-project.js'

const CONFIG = `export default { dialect: 'postgresql', out: './migrations', dbCredentials: { url: process.env.DATABASE_URL } }`
const entry = (tag: string, when: number) => ({ idx: 0, version: '7', when, tag, breakpoints: true })
const journal = (...entries: ReturnType<typeof entry>[]): string =>
  JSON.stringify({ version: '7', dialect: 'postgresql', entries }, null, 2)

/** What is in drizzle-orm's migrators that tells them apart; the real files were read for it. */
const ORM = {
  '0.45.4': { 'migrator.js': 'readFileSync(`${folder}/meta/_journal.json`)' },
  '1.0.0-beta.8': { 'migrator.js': 'function readMigrationFilesOLD() {} join(folder, "migration.sql")' },
  '1.0.0-beta.14': {
    'migrator.js': 'function readMigrationFilesOLD() {} join(folder, "migration.sql")',
    'migrator.utils.js': 'function getMigrationsToRun() { Number(m.created_at) }',
  },
  '1.0.0-rc.5': {
    'migrator.js': 'throw Error("old drizzle-kit migration folders") ; join(folder, "migration.sql")',
    'migrator.utils.js': 'function getMigrationsToRun() { new Set(dbMigrations.map((m) => m.name)) }',
  },
} as const

const installed = (orm: keyof typeof ORM, drivers: readonly string[] = ['pg'], at = ''): Files => ({
  [`${at}node_modules/drizzle-kit/package.json`]: packageJson('drizzle-kit', '0.31.11'),
  [`${at}node_modules/drizzle-orm/package.json`]: packageJson('drizzle-orm', orm),
  ...Object.fromEntries(
    Object.entries(ORM[orm]).map(([file, text]) => [`${at}node_modules/drizzle-orm/${file}`, text]),
  ),
  ...Object.fromEntries(drivers.map((name) => [`${at}node_modules/${name}/package.json`, packageJson(name, '1.0.0')])),
})

const JOURNAL: Files = {
  'drizzle.config.ts': CONFIG,
  'migrations/meta/_journal.json': journal(entry('0000_a', 10), entry('0001_b', 20), entry('0002_c', 30)),
  'migrations/0000_a.sql': 'create table a (id int);\r\n',
  'migrations/0001_b.sql': 'alter table a add b int;\n--> statement-breakpoint\nselect 1;',
  'migrations/0002_c.sql': 'create table c (id int);',
}
const FOLDERS: Files = {
  'drizzle.config.ts': CONFIG,
  'migrations/20260102000000_b/migration.sql': 'select 2;',
  'migrations/20260101000000_a/migration.sql': 'select 1;',
  'migrations/20260101000000_a/snapshot.json': '{}',
}

async function found(files: Files, rest: Partial<ToolRequest> = {}): Promise<ToolSetup> {
  const setup = await detect(requestIn(projectOf(files), rest))
  if (setup === null) throw new Error('not found')
  return setup
}
const names = (setup: ToolSetup): string[] => setup.files.map(({ name }) => name)
const hashOf = (setup: ToolSetup, name: string): string => sha256(setup.files.find((f) => f.name === name)?.text ?? '')
const row = (created: number | null, hash: string, name?: string | null): LedgerRow => ({
  id: '1',
  hash,
  created_at: created === null ? null : String(created),
  ...(name === undefined ? {} : { name }),
})
const decide = (setup: ToolSetup, rows: LedgerRow[]) => {
  const result = setup.ledger?.pending(setup.files, rows)
  if (result === undefined) throw new Error('no ledger')
  return result
}

describe('a project with a journal', () => {
  it('is read as drizzle-kit 0.31 reads it', async () => {
    const setup = await found({ ...JOURNAL, ...installed('0.45.4') })
    const root = join(setup.folder, '..')
    expect(setup).toMatchObject({
      tool: 'drizzle',
      title: 'Drizzle (journal layout)',
      version: 'drizzle-kit 0.31.11, drizzle-orm 0.45.4',
      configFile: join(root, 'drizzle.config.ts'),
      variables: [{ name: 'DATABASE_URL', part: 'url' }],
      notes: [],
      assumptions: ['drizzle-kit connects with pg, the first of its drivers that is installed.'],
      launch: {
        kind: 'program',
        argv: [
          process.execPath,
          join(root, 'node_modules/drizzle-kit/bin.cjs'),
          'migrate',
          '--config=drizzle.config.ts',
        ],
      },
    })
    expect(names(setup)).toEqual(['0000_a', '0001_b', '0002_c'])
    expect(setup.files[0]).toMatchObject({
      kind: 'sql',
      sql: 'create table a (id int);\r\n',
      shown: 'migrations/0000_a.sql',
    })
    expect(setup.ledger).toMatchObject({
      table: 'drizzle.__drizzle_migrations',
      tables: [{ schema: 'drizzle', name: '__drizzle_migrations' }],
      query: 'select * from drizzle.__drizzle_migrations order by id',
      written: 'after',
    })
  })

  it('follows the journal for the set and the order, and names what it does not list', async () => {
    const setup = await found({
      ...JOURNAL,
      ...installed('0.45.4'),
      'migrations/meta/_journal.json': journal(entry('0002_c', 30), entry('0000_a', 40)),
      'migrations/0003_d.sql': 'select 1;',
    })
    expect(names(setup)).toEqual(['0002_c', '0000_a'])
    expect(setup.notes.map(({ kind, file }) => `${kind} ${file ?? ''}`)).toEqual([
      'unlisted migrations/0001_b.sql',
      'unlisted migrations/0003_d.sql',
    ])
  })

  it('says which entries will be skipped because their time does not rise', async () => {
    const listed = journal(entry('0000_a', 30), entry('0001_b', 20), entry('0002_c', 30))
    const { notes } = await found({ ...JOURNAL, ...installed('0.45.4'), 'migrations/meta/_journal.json': listed })
    expect(notes).toMatchObject([
      { kind: 'skipped', file: 'migrations/meta/_journal.json', line: 16 },
      { kind: 'skipped', line: 23 },
    ])
    expect(notes[0]?.message).toContain('0001_b (when 20) is not later than 0000_a (when 30)')
    expect(notes[1]?.message).toContain('0002_c (when 30) is not later than 0000_a (when 30)')
  })

  it('cannot be one whose files are missing: the line, how many others there are, and how to go on', async () => {
    const rest = Object.fromEntries(Object.entries(JOURNAL).filter(([path]) => path !== 'migrations/0001_b.sql'))
    const broken = found({ ...rest, ...installed('0.45.4'), 'migrations/0009_x.sql': '', 'migrations/0010_y.sql': '' })
    await expect(broken).rejects.toThrow(
      /^migrations\/meta\/_journal\.json:16: the journal names 0001_b, but migrations\/0001_b\.sql does not exist, .*and it does not name 2 SQL files of the folder.*\{ tool: 'sql', folder: 'migrations' \}$/,
    )
  })

  it.each([
    ['{ "entries": [', /_journal\.json:1: is not valid JSON/],
    ['{}', /_journal\.json: has no list of entries/],
    ['{"entries":[{"tag":"0000_a"}]}', /entry 1 has no tag or no when/],
  ])('is refused when the journal is broken: %s', async (text, message) => {
    await expect(found({ ...JOURNAL, ...installed('0.45.4'), 'migrations/meta/_journal.json': text })).rejects.toThrow(
      message,
    )
  })

  it('warns of what can never succeed in its one transaction', async () => {
    const sql = 'select 1;\n--> statement-breakpoint\ncreate index concurrently i on a (id);'
    const { notes } = await found({ ...JOURNAL, ...installed('0.45.4'), 'migrations/0002_c.sql': sql })
    expect(notes).toMatchObject([{ kind: 'impossible', file: 'migrations/0002_c.sql', line: 3 }])
  })
})

describe('what of a journal is pending', () => {
  const setup = () => found({ ...JOURNAL, ...installed('0.45.4') })

  it('is what is later than the latest row, whatever its hash', async () => {
    const tool = await setup()
    expect(decide(tool, [])).toMatchObject({
      pending: ['0000_a', '0001_b', '0002_c'],
      applied: [],
      notes: [],
      refuses: null,
    })
    expect(decide(tool, [row(10, hashOf(tool, '0000_a'))])).toMatchObject({
      pending: ['0001_b', '0002_c'],
      applied: ['0000_a'],
    })
    const edited = decide(tool, [row(20, 'x'), row(10, hashOf(tool, '0000_a'))])
    expect(edited).toMatchObject({ pending: ['0002_c'], applied: ['0000_a', '0001_b'] })
    expect(edited.notes).toMatchObject([{ kind: 'other', file: 'migrations/0001_b.sql' }])
  })

  it('leaves out in silence what is earlier and was never applied', async () => {
    const tool = await setup()
    const { pending, applied, notes } = decide(tool, [row(10, hashOf(tool, '0000_a')), row(30, hashOf(tool, '0002_c'))])
    expect({ pending, applied }).toEqual({ pending: [], applied: ['0000_a', '0002_c'] })
    expect(notes).toMatchObject([{ kind: 'skipped', file: 'migrations/0001_b.sql' }])
    expect(notes[0]?.message).toContain('created_at 30')
  })

  it('is everything when a row has no time: NULL sorts first and reads as 0', async () => {
    expect(decide(await setup(), [row(30, 'x'), row(null, 'y')]).pending).toEqual(['0000_a', '0001_b', '0002_c'])
  })

  it('tells of rows without a file and of pending files with the same content', async () => {
    const tool = await found({
      ...JOURNAL,
      ...installed('0.45.4'),
      'migrations/0001_b.sql': 'create table c (id int);',
    })
    const { notes } = decide(tool, [row(10, 'x'), row(5, 'z')])
    expect(notes.map(({ kind, file }) => `${kind} ${file ?? ''}`)).toEqual([
      'other migrations/0000_a.sql',
      'order ',
      'other migrations/0002_c.sql',
    ])
  })
})

describe('a journal row', () => {
  const insert = (columns: string, values: string) =>
    `insert into "drizzle"."__drizzle_migrations" (${columns}) values(${values})`

  it('belongs to the file with its hash, and of equal ones to that with its time', async () => {
    const tool = await found({
      ...JOURNAL,
      ...installed('0.45.4'),
      'migrations/0001_b.sql': 'create table c (id int);',
    })
    const by = (sql: string, parameters: (string | null)[] | null) =>
      tool.ledger?.recordedBy(sql, parameters, tool.files)
    const sql = insert('"hash", "created_at"', '$1, $2')
    expect(by(sql, [hashOf(tool, '0000_a'), '10'])).toBe('0000_a')
    expect(by(sql, [hashOf(tool, '0002_c'), '20'])).toBe('0001_b')
    expect(by(sql, [hashOf(tool, '0002_c'), '30'])).toBe('0002_c')
    expect(by(sql, [null, '20'])).toBe('0001_b')
    expect(by(sql, ['unknown', '99'])).toBeNull()
    expect(by(sql, null)).toBeNull()
    expect(by(insert('hash, created_at', `'${hashOf(tool, '0000_a')}', 10`), null)).toBe('0000_a')
    expect(by(sql.replace('"drizzle".', '"other".'), [hashOf(tool, '0000_a'), '10'])).toBeNull()
    expect(by('select id, hash, created_at from "drizzle"."__drizzle_migrations"', null)).toBeNull()
    expect(by(`select 'insert into __drizzle_migrations'; broken`, null)).toBeNull()
  })

  it('of version 1 has the name', async () => {
    const tool = await found({ ...FOLDERS, ...installed('1.0.0-rc.5') })
    const sql = insert('"hash", "created_at", "name"', '$1, $2, $3')
    expect(tool.ledger?.recordedBy(sql, ['x', '1', '20260102000000_b'], tool.files)).toBe('20260102000000_b')
  })

  it('is in the table of the configuration', async () => {
    const config = CONFIG.replace('{ url', `{ url`).replace(
      `out: './migrations'`,
      `out: './migrations', migrations: { schema: 'My "x"', table: 'log' }`,
    )
    const tool = await found({ ...JOURNAL, ...installed('0.45.4'), 'drizzle.config.ts': config })
    expect(tool.ledger?.query).toBe('select * from "My ""x""".log order by id')
    const sql = 'insert into "My ""x""" . "log" ("hash", "created_at") values($1, $2)'
    expect(tool.ledger?.recordedBy(sql, [hashOf(tool, '0001_b'), '20'], tool.files)).toBe('0001_b')
  })
})

describe('folders of version 1', () => {
  it('are sorted by name, and pending when their name is not in the table', async () => {
    const tool = await found({ ...FOLDERS, ...installed('1.0.0-rc.5'), 'migrations/loose.sql': '' })
    expect(tool.title).toBe('Drizzle (folder layout)')
    expect(names(tool)).toEqual(['20260101000000_a', '20260102000000_b'])
    expect(tool.notes).toMatchObject([{ kind: 'unlisted', file: 'migrations/loose.sql' }])
    const last = row(Date.UTC(2026, 0, 2), hashOf(tool, '20260102000000_b'), '20260102000000_b')
    expect(decide(tool, [last])).toMatchObject({ pending: ['20260101000000_a'], applied: ['20260102000000_b'] })
  })

  it('are matched with a table of before by the second, then by the hash, or refused', async () => {
    const tool = await found({
      ...FOLDERS,
      ...installed('1.0.0-rc.5'),
      'migrations/20260101000000_c/migration.sql': 'select 3;',
    })
    const first = Date.UTC(2026, 0, 1)
    expect(decide(tool, [row(first + 123, hashOf(tool, '20260101000000_c'))])).toMatchObject({
      pending: ['20260101000000_a', '20260102000000_b'],
      refuses: null,
    })
    expect(decide(tool, [row(Date.UTC(2026, 0, 2) + 999, 'edited')])).toMatchObject({
      pending: ['20260101000000_a', '20260101000000_c'],
      refuses: null,
    })
    expect(decide(tool, [row(first, 'edited')]).refuses).toContain('1 applied migration that match no file')
  })

  it('are run by the watermark, or by their times, in betas', async () => {
    const newest = Date.UTC(2026, 0, 2)
    const watermark = await found({ ...FOLDERS, ...installed('1.0.0-beta.8') })
    expect(decide(watermark, [row(newest, 'x')])).toMatchObject({ pending: [], applied: ['20260102000000_b'] })
    const times = await found({ ...FOLDERS, ...installed('1.0.0-beta.14') })
    expect(decide(times, [row(newest, 'x')])).toMatchObject({ pending: ['20260101000000_a'] })
  })

  it('need a time in their name', async () => {
    const tool = await found({
      ...installed('1.0.0-rc.5'),
      'drizzle.config.ts': CONFIG,
      'migrations/x/migration.sql': '',
    })
    expect(tool.notes).toMatchObject([{ kind: 'impossible', file: 'migrations/x/migration.sql' }])
  })

  it.each([
    ['1.0.0-rc.5', JOURNAL, /_journal\.json: .*old drizzle-kit migration folders/],
    ['0.45.4', FOLDERS, /Can't find meta\/_journal\.json file.*laid out for drizzle-orm 1\.0/],
    ['0.45.4', { 'drizzle.config.ts': CONFIG }, /migrations: does not exist/],
  ] as const)('and the installed %s must agree', async (orm, files, message) => {
    await expect(found({ ...files, ...installed(orm) })).rejects.toThrow(message)
  })

  it('and a journal are both read by betas, the journal first', async () => {
    expect((await found({ ...JOURNAL, ...installed('1.0.0-beta.8') })).title).toBe('Drizzle (journal layout)')
  })
})

describe('an older state of the project', () => {
  const copyOf = (tool: ToolSetup): string => join(tool.folder, '..')

  it('keeps the named migrations and their entries in the journal', async () => {
    const tool = await found({ ...JOURNAL, ...installed('0.45.4'), 'migrations/0009_unlisted.sql': '' })
    const root = copyOf(tool)
    await tool.cut(root, ['0000_a', '0002_c'])
    expect(existsSync(join(root, 'migrations/0001_b.sql'))).toBe(false)
    expect(existsSync(join(root, 'migrations/0009_unlisted.sql'))).toBe(true)
    expect(readFileSync(join(root, 'migrations/meta/_journal.json'), 'utf8')).toBe(
      journal(entry('0000_a', 10), entry('0002_c', 30)),
    )
    const again = await detect(requestIn(root))
    expect(again?.files.map(({ name }) => name)).toEqual(['0000_a', '0002_c'])
  })

  it('is made in the copy, not in the project', async () => {
    const tool = await found({ ...FOLDERS, ...installed('1.0.0-rc.5') })
    const copy = projectOf(FOLDERS)
    await tool.cut(copy, ['20260101000000_a'])
    expect(existsSync(join(copy, 'migrations/20260102000000_b'))).toBe(false)
    expect(existsSync(join(copy, 'migrations/20260101000000_a/snapshot.json'))).toBe(true)
    expect(existsSync(join(tool.folder, '20260102000000_b/migration.sql'))).toBe(true)
  })
})

describe('the packages', () => {
  it('are found in a hoisted monorepo, and the folder is shown from the project', async () => {
    const nested = Object.fromEntries(Object.entries(JOURNAL).map(([path, text]) => [`packages/db/${path}`, text]))
    const root = projectOf({ ...nested, ...installed('0.45.4', ['postgres']) })
    const setup = await detect(requestIn(join(root, 'packages/db')))
    expect(setup?.assumptions).toEqual([
      'drizzle-kit connects with postgres, the first of its drivers that is installed.',
    ])
    expect(relative(root, setup?.launch.kind === 'program' ? (setup.launch.argv[1] ?? '') : '')).toBe(
      'node_modules/drizzle-kit/bin.cjs',
    )
  })

  it('must be there, unless the project has a command of its own', async () => {
    await expect(found(JOURNAL)).rejects.toThrow(/^drizzle\.config\.ts: drizzle-kit is not installed/)
    const setup = await found(JOURNAL, { command: 'tsx src/migrate.ts' })
    expect(setup).toMatchObject({ launch: { kind: 'shell', line: 'tsx src/migrate.ts' }, version: null })
    expect(setup.assumptions).toHaveLength(1)
    const folders = await found(FOLDERS, { command: 'tsx src/migrate.ts' })
    expect(decide(folders, [row(1, '', '20260101000000_a')]).pending).toEqual(['20260102000000_b'])
  })

  it.each([
    [['@neondatabase/serverless'], /finds neither pg nor postgres and takes @neondatabase\/serverless.*WebSocket/],
    [['@vercel/postgres', '@neondatabase/serverless'], /takes @vercel\/postgres/],
    [[], /finds no PostgreSQL driver/],
  ])('that go round the rehearsal are named: %j', async (drivers, message) => {
    const { notes } = await found({ ...JOURNAL, ...installed('0.45.4', drivers) })
    expect(notes).toMatchObject([{ kind: 'blocked', file: 'drizzle.config.ts' }])
    expect(notes[0]?.message).toMatch(message)
    expect(notes[0]?.advice).toContain('Install pg')
  })

  it('with pg beside it, Neon is not used', async () => {
    const drivers = ['@neondatabase/serverless', 'postgres', 'pg']
    const setup = await found({ ...JOURNAL, ...installed('0.45.4', drivers) })
    expect(setup.notes).toEqual([])
    expect(setup.assumptions[0]).toContain('with pg,')
  })
})
