/**
 * Journals of tools that are run by a command of the team's only: where they are, what a row means, and which migrations
 * their owner takes for pending. One table; the rules are in journals-rules.ts, the recognition in journals-recognise.ts.
 */
import { basename } from 'node:path'
import { quoteName } from '../../sql/identifiers.js'
import { journalRow } from './ledger-row.js'
import { byChangeset, byFlywayVersion, byName, byWatermark, compareVersions, type Rule } from './journals-rules.js'
import type { Ledger, LedgerRow, MigrationSource } from './types.js'

export type JournalName =
  | 'knex'
  | 'dbmate'
  | 'goose'
  | 'golang-migrate'
  | 'typeorm'
  | 'sequelize'
  | 'kysely'
  | 'flyway'
  | 'liquibase'
  | 'rails'
  | 'sqitch'

export interface Journal {
  /** For people: `Knex`. */
  title: string
  schema: string
  table: string
  /** Further tables of its bookkeeping, in the same schema. */
  others: readonly string[]
  /** What is read of it, in this order, as text. Texts of errors and of statements are never read. */
  columns: readonly string[]
  orderBy: string
  written: Ledger['written']
  /** What identifies a migration: by its file, and in a row as it is read or as it is written. null: not a migration. */
  keyOfFile: (path: string) => string | null
  keyOfRow: (row: LedgerRow) => string | null
  rule: Rule
  /** How the tool sorts its files. */
  order: 'name' | 'number' | 'version'
  /** Advice on running it through the rehearsal. */
  urlParameters?: Readonly<Record<string, string>>
  advice?: string
}

const fileName = (path: string): string => basename(path)
/** A program may be written in TypeScript and recorded as what it was compiled to. */
const withoutCodeEnding = (name: string): string => name.replace(/\.(?:[cm]?[jt]s)$/, '')
const withoutEnding = (name: string): string => name.replace(/\.(?:sql|[cm]?[jt]s)$/, '')
/** Leading digits, without zeros in front of them: tools compare them as numbers. */
const digits = (text: string): string | null => /^0*(\d+)/.exec(text)?.[1] ?? null
const column =
  (name: string) =>
  (row: LedgerRow): string | null =>
    row[name] ?? null
const number =
  (name: string) =>
  (row: LedgerRow): string | null =>
    digits(row[name] ?? '')

/** `V2_1__add_users.sql` -> `2.1`; `R__views.sql` -> `R:views`. Zeros in front of a part do not count. */
export function flywayKey(name: string): string | null {
  const versioned = /^V([0-9][0-9._]*)__.+\.sql$/.exec(name)
  if (versioned) return flywayVersion(versioned[1] ?? '')
  const repeatable = /^R__(.+)\.sql$/.exec(name)
  return repeatable ? `R:${(repeatable[1] ?? '').replaceAll('_', ' ')}` : null
}
const flywayVersion = (version: string): string =>
  version
    .split(/[._]/)
    .filter((part) => part !== '')
    .map((part) => BigInt(part).toString())
    .join('.')
    .replace(/(?:\.0)+$/, '')

export const JOURNALS: Readonly<Record<JournalName, Journal | null>> = {
  knex: {
    title: 'Knex',
    schema: 'public',
    table: 'knex_migrations',
    others: ['knex_migrations_lock'],
    columns: ['id', 'name', 'batch'],
    orderBy: 'id',
    written: 'after',
    keyOfFile: (path) => withoutCodeEnding(fileName(path)),
    keyOfRow: (row) => (row['name'] == null ? null : withoutCodeEnding(row['name'])),
    rule: byName({
      earlier: 'noted',
      missing: (names) => `The migration directory is corrupt, the following files are missing: ${names.join(', ')}`,
    }),
    order: 'name',
  },
  dbmate: {
    title: 'dbmate',
    schema: 'public',
    table: 'schema_migrations',
    others: [],
    columns: ['version'],
    orderBy: 'version',
    written: 'after',
    keyOfFile: (path) => digits(fileName(path)),
    keyOfRow: number('version'),
    rule: byName({ earlier: 'noted', missing: null }),
    order: 'name',
    urlParameters: { sslmode: 'disable' },
    advice:
      'dbmate writes a schema dump after migrating, with pg_dump on a connection of its own: add --no-dump-schema to the command',
  },
  goose: {
    title: 'goose',
    schema: 'public',
    table: 'goose_db_version',
    others: [],
    columns: ['id', 'version_id', 'is_applied'],
    orderBy: 'id',
    written: 'after',
    keyOfFile: (path) => digits(fileName(path)),
    // The row of version 0 only says that the table exists; a later row of a version replaces an earlier one.
    keyOfRow: (row) => (digits(row['version_id'] ?? '') === '0' ? null : digits(row['version_id'] ?? '')),
    rule: byName({
      earlier: (names) => `found ${names.length} missing migrations before the current version: ${names.join(', ')}`,
      missing: null,
      isApplied: (row) => row['is_applied'] === null || /^t/i.test(row['is_applied'] ?? 't'),
    }),
    order: 'number',
    urlParameters: { sslmode: 'disable' },
  },
  'golang-migrate': {
    title: 'golang-migrate',
    schema: 'public',
    table: 'schema_migrations',
    others: [],
    columns: ['version', 'dirty'],
    orderBy: 'version',
    // The row is written dirty before the file and clean after it.
    written: 'before',
    keyOfFile: (path) => digits(fileName(path)),
    keyOfRow: number('version'),
    rule: byWatermark(),
    order: 'number',
    urlParameters: { sslmode: 'disable' },
  },
  typeorm: {
    title: 'TypeORM',
    schema: 'public',
    table: 'migrations',
    others: [],
    columns: ['id', 'timestamp', 'name'],
    orderBy: 'id',
    written: 'after',
    // The class is named after the file's stamp; its name ends in it.
    keyOfFile: (path) => digits(fileName(path)),
    keyOfRow: (row) => digits(row['timestamp'] ?? '') ?? digits(/\d{13}$/.exec(row['name'] ?? '')?.[0] ?? ''),
    rule: byName({ earlier: 'noted', missing: null }),
    order: 'number',
  },
  sequelize: {
    title: 'Sequelize',
    schema: 'public',
    table: 'SequelizeMeta',
    others: [],
    columns: ['name'],
    orderBy: 'name',
    written: 'after',
    keyOfFile: (path) => withoutCodeEnding(fileName(path)),
    keyOfRow: (row) => (row['name'] == null ? null : withoutCodeEnding(row['name'])),
    rule: byName({ earlier: 'noted', missing: null }),
    order: 'name',
  },
  kysely: {
    title: 'Kysely',
    schema: 'public',
    table: 'kysely_migration',
    others: ['kysely_migration_lock'],
    columns: ['name', 'timestamp'],
    orderBy: 'timestamp',
    written: 'after',
    keyOfFile: (path) => withoutEnding(fileName(path)),
    keyOfRow: column('name'),
    rule: byName({
      earlier: (names) => `corrupted migrations: ${names.join(', ')} would run before one that is already applied`,
      missing: (names) => `corrupted migrations: previously executed migration ${names.join(', ')} is missing`,
    }),
    order: 'name',
  },
  flyway: {
    title: 'Flyway',
    schema: 'public',
    table: 'flyway_schema_history',
    others: [],
    columns: ['installed_rank', 'version', 'description', 'type', 'script', 'checksum', 'success'],
    orderBy: 'installed_rank',
    written: 'after',
    keyOfFile: (path) => flywayKey(fileName(path)),
    keyOfRow: (row) =>
      row['version'] == null
        ? row['description'] == null
          ? null
          : `R:${row['description']}`
        : flywayVersion(row['version']),
    rule: byFlywayVersion(),
    order: 'version',
  },
  liquibase: {
    title: 'Liquibase',
    schema: 'public',
    table: 'databasechangelog',
    others: ['databasechangeloglock'],
    columns: ['id', 'author', 'filename', 'orderexecuted'],
    orderBy: 'orderexecuted',
    written: 'after',
    keyOfFile: (path) => fileName(path),
    keyOfRow: (row) => (row['filename'] == null ? null : basename(row['filename'])),
    rule: byChangeset(),
    order: 'name',
  },
  rails: {
    title: 'Rails',
    schema: 'public',
    table: 'schema_migrations',
    others: ['ar_internal_metadata'],
    columns: ['version'],
    orderBy: 'version',
    written: 'after',
    keyOfFile: (path) => digits(fileName(path)),
    keyOfRow: number('version'),
    rule: byName({ earlier: 'noted', missing: null }),
    order: 'number',
  },
  // Its registry names changes, not files, and its plan decides: nothing here would be certain.
  sqitch: null,
}

/** The journal in another table or schema than usual, as the tool's configuration says. */
export const journalIn = (journal: Journal, place: { schema?: string; table?: string }): Journal => ({
  ...journal,
  schema: place.schema ?? journal.schema,
  table: place.table ?? journal.table,
  others:
    place.table === undefined ? journal.others : journal.others.map((o) => o.replace(journal.table, place.table ?? '')),
})

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** What the rehearsal asks of a journal. */
export function ledgerOf(journal: Journal): Ledger {
  const { schema, table } = journal
  const columns = journal.columns.map((name) => `${quoted(name)}::text`).join(', ')
  return {
    table: `${quoteName(schema)}.${quoteName(table)}`,
    tables: [table, ...journal.others].map((name) => ({ schema, name })),
    query: `SELECT ${columns} FROM ${quoted(schema)}.${quoted(table)} ORDER BY ${quoted(journal.orderBy)}`,
    pending: (files, rows) => journal.rule(journal, files, rows),
    written: journal.written,
    recordedBy(sql, parameters, files) {
      const row = journalRow(sql, parameters, { schema, name: table })
      const key = row === null ? null : journal.keyOfRow(row)
      return key === null ? null : (files.find((file) => journal.keyOfFile(file.path) === key)?.name ?? null)
    },
  }
}

/** In the order in which the tool runs them. */
export function inOrder(journal: Journal | null, files: readonly MigrationSource[]): MigrationSource[] {
  const name = (file: MigrationSource): string => basename(file.path)
  const key = (file: MigrationSource): string => journal?.keyOfFile(file.path) ?? ''
  const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)
  return [...files].sort((a, b) => {
    if (journal?.order === 'number' || journal?.order === 'version')
      return compareVersions(key(a), key(b)) || byText(name(a), name(b))
    return byText(name(a), name(b))
  })
}
