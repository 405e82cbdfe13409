/**
 * What a schema looks like to somebody who makes values for it: tables with their columns, keys, references and checks,
 * read from the catalog; and values that keep to them. Values are texts as PostgreSQL reads them, null for NULL.
 * They are data: they are sent to the rehearsal database and nowhere else.
 */
import type { Random } from './random.js'

/** A type, domains resolved. */
export interface TypeShape {
  /** As format_type writes it, modifiers included: `numeric(10,2)`, `character varying(20)`, `mood[]`. */
  sql: string
  /** Name of the base type in pg_type without modifiers (`numeric`, `varchar`, `uuid`); of an enum or composite its own. */
  base: string
  /** pg_type.typtype of the base type: b(ase), c(omposite), e(num), r(ange), m(ultirange), p(seudo). */
  kind: 'b' | 'c' | 'e' | 'r' | 'm' | 'p'
  /** pg_type.typcategory of the base type, as in "System Catalogs: pg_type". */
  category: string
  /** atttypmod, of the domain where the column itself has none; -1 when none. */
  modifier: number
  /** Labels in their order; null unless an enum. */
  labels: readonly string[] | null
  /** Of the elements; null unless an array. */
  element: TypeShape | null
  /** Of the bounds; null unless a range or multirange. */
  subtype: TypeShape | null
  /** Of the attributes; null unless a composite. */
  attributes: readonly { name: string; type: TypeShape }[] | null
  /** CHECK expressions of the domains on the way, with VALUE for the value. */
  domainChecks: readonly string[]
  domainNotNull: boolean
}

export interface ColumnShape {
  name: string
  /** pg_attribute.attnum. */
  number: number
  type: TypeShape
  notNull: boolean
  /** The default's expression; null without one. */
  defaultSql: string | null
  /** Takes its values from a sequence: serial, identity, or nextval() in the default. */
  sequence: boolean
  identity: 'always' | 'by default' | null
  generated: 'stored' | 'virtual' | null
  /** pg_stats.n_distinct, null_frac and avg_width where ANALYZE has been there; null otherwise. */
  statistics: { distinct: number; nullFraction: number; width: number } | null
}

/** PRIMARY KEY, UNIQUE, a unique index (partial ones and ones on expressions included), or EXCLUDE. */
export interface KeyShape {
  name: string
  kind: 'primary' | 'unique' | 'exclude'
  /** In the order of the key; null stands for an expression. */
  columns: readonly (string | null)[]
  /** What the nulls in `columns` stand for, in their order, as pg_get_indexdef writes it. */
  expressions: readonly string[]
  /** Columns that the key's expressions name, as `email` in lower(email); empty without an expression. */
  expressionColumns: readonly string[]
  /** The predicate of a partial index. */
  where: string | null
  nullsNotDistinct: boolean
  deferrable: boolean
}

export interface ForeignKeyShape {
  name: string
  columns: readonly string[]
  /** As in `TableShape.name`. */
  target: string
  targetColumns: readonly string[]
  deferrable: boolean
  matchFull: boolean
}

/** A valid index that is no key, by its leading columns; null stands for an expression. */
export interface IndexShape {
  name: string
  method: string
  columns: readonly (string | null)[]
  where: string | null
}

export interface CheckShape {
  name: string
  /** As pg_get_expr writes it. */
  expression: string
  /** Columns that it names. */
  columns: readonly string[]
}

export interface TableShape {
  oid: number
  schema: string
  bare: string
  /** `table`, or `schema.table` outside `public`: the recording's name for it. */
  name: string
  /** Quoted and qualified, ready for SQL. */
  sql: string
  kind: 'table' | 'partitioned' | 'partition' | 'foreign'
  /** Root of the partition tree; null unless a partition. */
  partitionOf: string | null
  /** Partition key columns and bounds are only needed to make rows that fit: expression text, null unless partitioned. */
  partitionKey: string | null
  /**
   * What a row of each leaf partition must fulfil, as pg_get_partition_constraintdef writes it (levels above included);
   * empty unless partitioned. The default partition is only there when it is the only one, as `true`.
   */
  partitionBounds: readonly string[]
  columns: readonly ColumnShape[]
  keys: readonly KeyShape[]
  foreignKeys: readonly ForeignKeyShape[]
  indexes: readonly IndexShape[]
  checks: readonly CheckShape[]
  /** Names of user triggers that fire on rows, because they may refuse or change what is written. */
  triggers: readonly string[]
  rowSecurity: boolean
  /** What the application's role may do; all true for a schema read without one. */
  may: { select: boolean; insert: boolean; update: boolean; delete: boolean }
  /** Rows as counted or estimated (reltuples); -1 when not known. */
  rows: number
  bytes: number
}

export interface SchemaShape {
  tables: readonly TableShape[]
}

export type Row = Readonly<Record<string, string | null>>

/** Whole rows that are in the database: what keys, references and filters are drawn from. */
export interface Pools {
  /** By table name. A table without rows has an empty list or none. Only columns whose text is at most 1,000 characters long. */
  rows: ReadonlyMap<string, readonly Row[]>
  /**
   * Keys that are made of references and few other values, as memberships have: which combinations of sampled rows are
   * there already. By `table/key`, as `keyTuple` writes them.
   */
  taken?: ReadonlyMap<string, ReadonlySet<string>>
  /** For foreign keys that may refer to a row once only: some rows that nobody refers to. By `table/foreign key`. */
  unreferred?: ReadonlyMap<string, readonly Row[]>
}

/** Makes values for one schema. The same random stream gives the same values. */
export interface ValueMaker {
  /**
   * A new row: values for every column that can be given one (not generated, not identity always, not from a sequence
   * unless `sequences`). Keeps to types, lengths, checks, enums, references (drawn from the pools) and, as far as a random value can, keys.
   * Throws CannotMake when it knows of no such value.
   */
  row(table: TableShape, random: Random, options?: { sequences?: boolean }): Row
  /** A new value for one column; unique with overwhelming probability where `unique`. `row` is what the others have. */
  value(
    table: TableShape,
    column: ColumnShape,
    random: Random,
    options?: { unique?: boolean; row?: Row },
  ): string | null
  /** A value of the type alone, for parameters that belong to no column. */
  ofType(type: TypeShape, random: Random): string
  /** An existing row, the first ones of the pool oftener (Zipf with the given parameter, 0 for evenly); null without rows. */
  existing(table: TableShape, random: Random, skew?: number): Row | null
}

/** No value is known that the table would take. `reason` is a phrase without any value, as `no value is known that CHECK total_ok accepts`. */
export class CannotMake extends Error {
  readonly reason: string

  constructor(reason: string) {
    super(reason)
    this.reason = reason
  }
}
