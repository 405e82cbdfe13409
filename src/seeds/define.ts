/** What a seed.ts says: which tables to fill, how many rows each gets and how one row looks. */
import type { Random } from '../traffic/random.js'
import type { Pools } from './faker-pools.js'

/**
 * A value of one column. A string is sent as written, so it can be any type's text form (a range, a composite, ready
 * JSON). Objects and arrays become JSON in json and jsonb columns; an array becomes an array literal in array columns;
 * a Uint8Array becomes bytea; a Date becomes an ISO instant in UTC.
 */
export type SeedValue = string | number | boolean | bigint | null | Date | Uint8Array | readonly unknown[] | object

/** The size of this run. */
export interface SeedSize {
  /** Rows of the largest table: `--rows`. */
  n: number
}

/** What a row can know besides its own number. */
export interface SeedContext extends SeedSize {
  seedNumber: number
  /** Rows that another table of this seed gets, for foreign keys. Throws for a table that the seed does not have. */
  rowsOf(table: string): number
  /** Realistic values, drawn per row. */
  pools: Pools
  /** A fixed "now" (milliseconds since 1970): rows that ask the clock would differ from run to run. */
  epochMs: number
}

export interface TableSeed<Columns extends readonly string[] = readonly string[]> {
  /** Whole number of rows. */
  rows: number | ((size: SeedSize) => number)
  columns: Columns
  /**
   * The row with number `i`, from 1. `random` belongs to this row alone: the row depends on the seed number, the table
   * and `i`, and on nothing that was drawn for another row.
   */
  row(i: number, random: Random, context: SeedContext): Record<Columns[number], SeedValue>
}

export interface Seed {
  /** Filled in the order given: a table comes after those that it refers to. `schema.table` outside the search path. */
  tables: Record<string, TableSeed>
}

/** Gives a seed its types: every column that is listed must be in the row, and no other. */
export function defineSeed<const Tables extends Record<string, readonly string[]>>(seed: {
  tables: { [Table in keyof Tables]: TableSeed<Tables[Table]> }
}): Seed {
  return seed
}
