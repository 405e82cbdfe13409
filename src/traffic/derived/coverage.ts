/** How much of a schema the operations touch. */
import type { SchemaShape, TableShape } from '../../values/types.js'
import { isServerMade } from './columns.js'
import type { Coverage, DerivedOperation } from './types.js'

/**
 * Tables in which migration tools keep what they have applied, by their own documentation. An application neither reads
 * nor writes them. `migrations` is left to the caller: it may be anything.
 */
const JOURNALS = new Set(
  (
    '__drizzle_migrations _prisma_migrations pgmigrations schema_migrations supabase_migrations ar_internal_metadata ' +
    'knex_migrations knex_migrations_lock flyway_schema_history databasechangelog databasechangeloglock alembic_version ' +
    'django_migrations goose_db_version atlas_schema_revisions __EFMigrationsHistory SequelizeMeta kysely_migration ' +
    'kysely_migration_lock mikro_orm_migrations __diesel_schema_migrations _sqlx_migrations refinery_schema_history ' +
    'gorp_migrations typeorm_metadata'
  ).split(' '),
)

export const isJournal = (table: TableShape): boolean => JOURNALS.has(table.bare)

/** Rows of a partition come and go through its root. */
export const isOwnTable = (table: TableShape): boolean => table.kind !== 'partition' && !isJournal(table)

/** Counts what the operations do to the schema's tables; for those that are left when some were found not to work. */
export function coverage(shape: SchemaShape, operations: readonly DerivedOperation[]): Coverage {
  const tables = shape.tables.filter(isOwnTable)
  const seen = { read: new Set<string>(), inserted: new Set<string>(), updated: new Set<string>() }
  const touched = { reads: new Set<string>(), writes: new Set<string>() }
  for (const operation of operations) {
    const { does, table } = operation
    if (does === 'insert' || does === 'upsert') seen.inserted.add(table)
    if (does === 'update' || does === 'upsert') seen.updated.add(table)
    if (!['insert', 'update', 'upsert', 'delete'].includes(does)) seen.read.add(table)
    for (const side of ['reads', 'writes'] as const)
      for (const { table: of, columns } of operation[side])
        for (const column of columns) touched[side].add(JSON.stringify([of, column]))
  }
  const columns = tables.flatMap((table) => table.columns.map((column) => ({ table, column })))
  const count = (names: ReadonlySet<string>): number => tables.filter(({ name }) => names.has(name)).length
  return {
    tables: {
      all: tables.length,
      read: count(seen.read),
      inserted: count(seen.inserted),
      updated: count(seen.updated),
    },
    columns: {
      all: columns.length,
      touched: columns.filter(({ table, column }) =>
        touched[isServerMade(column) ? 'reads' : 'writes'].has(JSON.stringify([table.name, column.name])),
      ).length,
    },
  }
}
