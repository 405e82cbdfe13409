import { describe, expect, it } from 'vitest'
import {
  inOrder,
  journalIn,
  JOURNALS,
  ledgerOf,
  type Journal,
  type JournalName,
} from '../../../src/migrations/tools/journals.js'
import { compareVersions, flywayChecksum } from '../../../src/migrations/tools/journals-rules.js'
import {
  recogniseCommand,
  recogniseDependency,
  recogniseFolder,
  recogniseProject,
} from '../../../src/migrations/tools/journals-recognise.js'
import type { LedgerRow, MigrationSource } from '../../../src/migrations/tools/types.js'

const journal = (name: JournalName): Journal => {
  const found = JOURNALS[name]
  if (found === null) throw new Error(name)
  return found
}

const file = (path: string, text = 'select 1;'): MigrationSource => ({
  name: path.replace(/\.[^.]+$/, ''),
  path: `/project/m/${path}`,
  shown: `m/${path}`,
  kind: path.endsWith('.sql') ? 'sql' : 'code',
  sql: text,
  text,
  sha256: '',
})

const pendingOf = (name: JournalName, files: readonly MigrationSource[], rows: readonly LedgerRow[]) =>
  ledgerOf(journal(name)).pending(inOrder(journal(name), files), rows)

describe('what is pending', () => {
  it('is, for Knex, what the journal does not name, in any order, and nothing may be missing', () => {
    const files = ['1_a.js', '2_b.js', '3_c.ts'].map((name) => file(name))
    const { pending, applied, notes, refuses } = pendingOf('knex', files, [{ name: '1_a.js' }, { name: '3_c.js' }])
    expect({ pending, applied, refuses }).toEqual({ pending: ['2_b'], applied: ['1_a', '3_c'], refuses: null })
    expect(notes).toMatchObject([{ kind: 'order', file: 'm/2_b.js' }])
    expect(pendingOf('knex', files, [{ name: '0_z.js' }]).refuses).toMatch(/corrupt.*0_z/)
  })

  it('is, for dbmate and Rails, by the digits of the name', () => {
    const files = [file('20240101_a.sql'), file('20240102_b.sql'), file('notes.sql')]
    for (const name of ['dbmate', 'rails'] as const) {
      const { pending, notes } = pendingOf(name, files, [{ version: '20240102' }])
      expect(pending).toEqual(['20240101_a'])
      expect(notes.map(({ kind, file: at }) => `${kind} ${at ?? ''}`)).toEqual([
        'unlisted m/notes.sql',
        'order m/20240101_a.sql',
      ])
    }
  })

  it('is, for goose, refused below the current version, and the last row of a version counts', () => {
    const files = ['00001_a.sql', '00002_b.sql', '00010_c.sql'].map((name) => file(name))
    const row = (id: number, version: number, applied = 'true'): LedgerRow => ({
      id: String(id),
      version_id: String(version),
      is_applied: applied,
    })
    expect(pendingOf('goose', files, [row(1, 0), row(2, 1), row(3, 2)])).toMatchObject({
      pending: ['00010_c'],
      refuses: null,
    })
    expect(pendingOf('goose', files, [row(1, 0), row(2, 1), row(3, 10)]).refuses).toMatch(/1 missing.*00002_b/)
    expect(pendingOf('goose', files, [row(1, 0), row(2, 1), row(3, 2), row(4, 2, 'false')]).pending).toEqual([
      '00002_b',
      '00010_c',
    ])
  })

  it('is, for golang-migrate, what is above the one version, compared as numbers', () => {
    const files = ['10_c.up.sql', '9_b.up.sql', '1_a.up.sql'].map((name) => file(name))
    expect(pendingOf('golang-migrate', files, [{ version: '9', dirty: 'false' }])).toMatchObject({
      pending: ['10_c.up'],
      applied: ['1_a.up', '9_b.up'],
      refuses: null,
    })
    expect(pendingOf('golang-migrate', files, []).pending).toEqual(['1_a.up', '9_b.up', '10_c.up'])
    expect(pendingOf('golang-migrate', files, [{ version: '9', dirty: 'true' }]).refuses).toMatch(/Dirty.*9/)
  })

  it('is, for TypeORM, by the stamp that file and class share', () => {
    const files = [file('1700000000000-AddUsers.ts'), file('1700000000001-AddOrders.ts')]
    const rows = [{ id: '1', timestamp: '1700000000000', name: 'AddUsers1700000000000' }]
    expect(pendingOf('typeorm', files, rows).pending).toEqual(['1700000000001-AddOrders'])
  })

  it('is, for Kysely, refused out of order and when one is missing', () => {
    const files = [file('a.ts'), file('b.ts'), file('c.ts')]
    expect(pendingOf('kysely', files, [{ name: 'a' }])).toMatchObject({ pending: ['b', 'c'], refuses: null })
    expect(pendingOf('kysely', files, [{ name: 'a' }, { name: 'c' }]).refuses).toMatch(/corrupted.*b/)
    expect(pendingOf('kysely', files, [{ name: 'z' }]).refuses).toMatch(/corrupted.*z is missing/)
  })

  it('is, for Sequelize, what SequelizeMeta does not name', () => {
    const { pending, refuses } = pendingOf(
      'sequelize',
      [file('1-a.js'), file('2-b.js')],
      [{ name: '1-a.js' }, { name: 'gone.js' }],
    )
    expect({ pending, refuses }).toEqual({ pending: ['2-b'], refuses: null })
  })

  it('is, for Flyway, above the highest version, repeatable ones by their checksum', () => {
    const files = ['V1__a.sql', 'V1_1__b.sql', 'V1.10__d.sql', 'V1.2__c.sql', 'R__views.sql'].map((name) => file(name))
    const row = (version: string | null, rest: LedgerRow = {}): LedgerRow => ({
      version,
      description: 'x',
      type: 'SQL',
      success: 'true',
      checksum: null,
      ...rest,
    })
    const views = { description: 'views', checksum: flywayChecksum('select 1;') }
    const applied = [row('1'), row('1.1'), row('1.2'), row(null, views)]
    expect(pendingOf('flyway', files, applied)).toMatchObject({ pending: ['V1.10__d'], refuses: null })
    expect(
      pendingOf('flyway', files, [...applied.slice(0, 3), row(null, { ...views, checksum: '1' })]).pending,
    ).toEqual(['V1.10__d', 'R__views'])
    expect(pendingOf('flyway', files, [row('1'), row('1.2')]).refuses).toMatch(/not applied.*V1_1__b/)
    expect(pendingOf('flyway', files, [row('1', { success: 'false' })]).refuses).toMatch(/failed migration.*1/)
  })

  it("has Flyway's checksum over lines without their ends, signed", () => {
    expect(flywayChecksum('\uFEFFhel\r\nlo\n')).toBe(flywayChecksum('hel\nlo'))
    expect(flywayChecksum('hello')).toBe('907060870')
    expect(Number(flywayChecksum('b'))).toBeLessThan(2 ** 31)
  })

  it('is, for Liquibase, a file with a changeset that has not run', () => {
    const text =
      '--liquibase formatted sql\n--changeset ann:1\nselect 1;\n--changeset bob:two splitStatements:false\nselect 2;'
    const rows = [
      { id: '1', author: 'ann', filename: 'db/a.sql' },
      { id: 'two', author: 'bob', filename: 'db/a.sql' },
    ]
    const files = [file('a.sql', text), file('b.sql', text), file('c.sql')]
    const { pending, applied, notes } = pendingOf('liquibase', files, [...rows, { ...rows[0], filename: 'db/b.sql' }])
    expect({ pending, applied }).toEqual({ pending: ['b'], applied: ['a'] })
    expect(notes).toMatchObject([{ kind: 'unlisted', file: 'm/c.sql' }])
  })
})

describe('versions', () => {
  it('are compared as numbers, what is none comes last', () => {
    const sorted = ['R:x', '10', '1.10', '1.2', '9', '1.2.1', '18446744073709551616'].sort(compareVersions)
    expect(sorted).toEqual(['1.2', '1.2.1', '1.10', '9', '10', '18446744073709551616', 'R:x'])
  })
})

describe('the row of a migration', () => {
  const files = [file('20240101_a.sql'), file('20240102_b.sql')]

  it('is recognised by parameters and by literals, and only in the journal', () => {
    const ledger = ledgerOf(journal('dbmate'))
    const recordedBy: typeof ledger.recordedBy = (...all) => ledger.recordedBy(...all)
    expect(recordedBy('insert into "schema_migrations" (version) values ($1)', ['20240102'], files)).toBe('20240102_b')
    expect(recordedBy(`INSERT INTO public.schema_migrations (version) VALUES ('20240101')`, null, files)).toBe(
      '20240101_a',
    )
    expect(recordedBy(`INSERT INTO other.schema_migrations (version) VALUES ('20240101')`, null, files)).toBeNull()
    expect(recordedBy(`INSERT INTO users (version) VALUES ('20240101')`, null, files)).toBeNull()
    expect(recordedBy('insert into schema_migrations (version) values ($1)', [null], files)).toBeNull()
    expect(recordedBy('insert into schema_migrations (version', null, files)).toBeNull()
  })

  it('is recognised by each tool’s own statement', () => {
    const cases: [JournalName, string, (string | null)[] | null, string][] = [
      [
        'knex',
        'insert into "knex_migrations" ("batch", "migration_time", "name") values ($1, $2, $3)',
        ['1', null, '1_a.js'],
        '1_a.js',
      ],
      ['goose', 'INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, $2)', ['1', 't'], '00001_a.sql'],
      [
        'golang-migrate',
        'INSERT INTO "public"."schema_migrations" (version, dirty) VALUES ($1, $2)',
        ['1', 't'],
        '1_a.up.sql',
      ],
      [
        'typeorm',
        'INSERT INTO "migrations"("timestamp", "name") VALUES ($1, $2)',
        ['1700000000000', 'A1700000000000'],
        '1700000000000-A.ts',
      ],
      ['sequelize', `INSERT INTO "SequelizeMeta" ("name") VALUES ($1) RETURNING "name";`, ['1-a.js'], '1-a.js'],
      ['kysely', 'insert into "kysely_migration" ("name", "timestamp") values ($1, $2)', ['a', 'now'], 'a.ts'],
      [
        'flyway',
        `INSERT INTO "public"."flyway_schema_history" ("installed_rank", "version", "description") VALUES ($1, $2, $3)`,
        [null, '1.0', 'a'],
        'V1__a.sql',
      ],
      [
        'liquibase',
        `INSERT INTO databasechangelog (ID, AUTHOR, FILENAME) VALUES ('1', 'ann', 'db/a.sql')`,
        null,
        'a.sql',
      ],
      [
        'rails',
        `INSERT INTO "schema_migrations" ("version") VALUES ('20240101000000') RETURNING "version"`,
        null,
        '20240101000000_a.rb',
      ],
    ]
    for (const [name, sql, parameters, path] of cases)
      expect([name, ledgerOf(journal(name)).recordedBy(sql, parameters, [file(path)])]).toEqual([name, file(path).name])
  })

  it('stands in the table that the configuration names', () => {
    const { table, tables, query } = ledgerOf(journalIn(journal('knex'), { schema: 'App', table: 'history' }))
    expect(table).toBe('"App".history')
    expect(tables).toEqual([
      { schema: 'App', name: 'history' },
      { schema: 'App', name: 'history_lock' },
    ])
    expect(query).toBe(`SELECT "id"::text, "name"::text, "batch"::text FROM "App"."history" ORDER BY "id"`)
  })
})

describe('a tool is recognised', () => {
  const manifest = (scripts: Record<string, string>, dependencies: string[] = []) => ({
    path: '/p/package.json',
    scripts,
    dependencies: new Set(dependencies),
  })

  it('by its program in the command or in the script that the command runs', () => {
    const cases: [string, string | null][] = [
      ['npx knex migrate:latest', 'knex'],
      ['dbmate --no-dump-schema up', 'dbmate'],
      ['goose -dir db up', 'goose'],
      ['migrate -path db -database "$DATABASE_URL" up', 'golang-migrate'],
      ['bin/rails db:migrate', 'rails'],
      ['npx typeorm-ts-node-esm migration:run -d ds.ts', 'typeorm'],
      ['npx sequelize-cli db:migrate', 'sequelize'],
      ['pnpm run db:migrate', 'dbmate'],
      ['yarn db:migrate', 'dbmate'],
      ['npm run other', null],
      ['make migrate', null],
      ['tsx src/migrate.ts', null],
    ]
    const scripts = manifest({ 'db:migrate': 'dbmate up', other: 'node x.js' })
    for (const [command, name] of cases)
      expect([command, recogniseCommand(command, scripts)?.name ?? null]).toEqual([command, name])
  })

  it('by what stands in its files, with the file', () => {
    const files = (path: string, text: string) => [{ path: `/p/m/${path}`, shown: `m/${path}`, text }]
    expect(recogniseFolder(files('1.sql', '-- migrate:up\nselect 1;'))).toEqual({
      name: 'dbmate',
      evidence: '-- migrate:up in m/1.sql',
    })
    expect(recogniseFolder(files('1.sql', '-- +goose Up\nselect 1;'))?.name).toBe('goose')
    expect(recogniseFolder(files('1.sql', '--liquibase formatted sql\n'))?.name).toBe('liquibase')
    expect(recogniseFolder(files('1_a.up.sql', ''))?.name).toBe('golang-migrate')
    expect(recogniseFolder(files('V1__a.sql', ''))?.name).toBe('flyway')
    expect(recogniseFolder(files('20240101000000_a.rb', ''))?.name).toBe('rails')
    expect(recogniseFolder(files('1_a.sql', `select '-- migrate:up'`))).toBeNull()
  })

  it('by the files of the project and by its only dependency', () => {
    expect(recogniseProject(['README.md', 'knexfile.ts'], null)).toEqual({ name: 'knex', evidence: 'knexfile.ts' })
    expect(recogniseProject(['sqitch.plan'], null)?.name).toBe('sqitch')
    expect(recogniseProject([], manifest({ up: 'sequelize db:migrate' }))?.evidence).toBe(
      'the script up in package.json',
    )
    expect(recogniseDependency(manifest({}, ['knex', 'pg']))?.name).toBe('knex')
    expect(recogniseDependency(manifest({}, ['knex', 'kysely']))).toBeNull()
  })
})
