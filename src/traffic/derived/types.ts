/** What is derived from a schema: the operations of an application that lists its columns, as code on top of an ORM does. */
import type { Pools, SchemaShape, TableShape, ValueMaker } from '../../values/types.js'
import type { Release } from '../../recording.js'
import type { ScriptOperation } from '../operation.js'
import type { Random } from '../random.js'
import type { Drawn, Statement } from './statement.js'

/** What an operation is for; decides how often it comes. */
export type Kind = 'key' | 'unique' | 'filter' | 'list' | 'join' | 'update' | 'insert' | 'upsert' | 'delete'

/** Columns of one table, by the name that the recording has for it. */
export interface TouchedColumns {
  table: string
  columns: readonly string[]
}

export interface DerivedOperation extends ScriptOperation {
  source: 'derived'
  table: string
  does: Kind
  reads: readonly TouchedColumns[]
  writes: readonly TouchedColumns[]
}

/** Counters of pg_stat_user_tables, all since the same moment. */
export interface Activity {
  seqScan: number
  idxScan: number
  inserted: number
  updated: number
  deleted: number
}

export interface DeriveOptions {
  shape: SchemaShape
  pools: Pools
  maker: ValueMaker
  release: Release
  /** Tables that the pending migrations name: together they get at least half of the arrivals. */
  touched: ReadonlySet<string>
  /** Tables to leave alone. */
  exclude: ReadonlySet<string>
  /** Production's counters by table; null or without it the sizes decide. */
  activity?: ReadonlyMap<string, Activity> | null
  /**
   * Operations from which on tables that the migrations do not name get only a read, an insert and an update; 400
   * unless given. Preparing and probing thousands would cost minutes and say nothing more.
   */
  most?: number
}

export interface LeftOut {
  what: string
  calls: null
  reason: string
}

export interface Coverage {
  /** Partitions and journals of migration tools are not counted. */
  tables: { all: number; read: number; inserted: number; updated: number }
  /** Touched: written by an insert or update; a column that the server alone fills must be read. */
  columns: { all: number; touched: number }
}

export interface Derived extends Coverage {
  operations: DerivedOperation[]
  leftOut: LeftOut[]
}

/** An operation before it has a weight and a name that is its own. */
export interface Draft {
  table: TableShape
  does: Kind
  /** Without the table: `read by id`. The same for the same purpose in any version of the schema. */
  name: string
  statements: readonly Statement[]
  /** Whether the statements are one transaction. */
  transaction: boolean
  reads: readonly TouchedColumns[]
  writes: readonly TouchedColumns[]
  /** Throws CannotMake. */
  draw(random: Random): Drawn
}

/** What to make of one table: drafts, and what could not be. */
export interface Drafts {
  drafts: Draft[]
  leftOut: { name: string; reason: string }[]
}
