/**
 * What the traffic of a release consists of: operations, written as scripts (old.sql, new.sql) or as code (old.ts,
 * new.ts). An operation is bound to fresh random values for each arrival and then run on one connection.
 */
import type { Sql } from 'postgres'
import type { Release } from '../recording.js'
import type { Random } from './random.js'

/** One statement ready to send: with `$1..` and parameters when prepared, with the values inside when not. */
export interface BoundStatement {
  text: string
  params: (string | null)[]
}

export type Step = { kind: 'statement'; bound: BoundStatement; line: number } | { kind: 'sleep'; ms: number }

/** Values that a script can read without setting them. */
export interface Variables {
  /** `:n`, the rows of the largest table. */
  rows: number
  /** `:client_id`, the connection's number within its release, from 0 as in pgbench. */
  clientId: number
  /** `:random_seed`; `:default_seed`, the seed of hash() and permute(), is derived from it. */
  seed: number
}

/** What every operation may have besides; what is left out is as in a declared operation that shares the release's rate. */
export interface OperationTraits {
  /** `declared` unless given. */
  source?: 'declared' | 'derived' | 'production' | 'program'
  /** Arrivals of its own, 1/s at full traffic, instead of a share by weight. */
  ratePerSecond?: number
  /** How long the application computes between two statements of it, in ms. */
  thinkMs?: number
  /** The table that a derived operation is about, as the recording names it. */
  table?: string
}

/** One section of a traffic script, or what was derived in the same form. */
export interface ScriptOperation extends OperationTraits {
  kind: 'script'
  release: Release
  name: string
  weight: number
  prepared: boolean
  file: string
  line: number
  /** The statements without comments and with every literal and variable replaced by a placeholder. */
  normalisedSql: string[]
  /**
   * The distinct statements that PREPARE accepts (SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES), with `$n` for each
   * variable. Statements of an operation with `prepared: no` are listed too where they can be written that way.
   */
  statementTexts: string[]
  /**
   * Draws the values of one run. Throws SCRIPT_INVALID with the line when an expression cannot be computed (division
   * by zero, empty range, number out of range).
   */
  bind(variables: Variables, random: Random): Step[]
}

/** One operation of `defineTraffic`. */
export interface CodeOperation extends OperationTraits {
  kind: 'code'
  release: Release
  name: string
  weight: number
  /** Whether its statements are prepared by the driver; what the code does in truth is its own affair. */
  prepared: boolean
  file: string
  line: number
  run(sql: Sql, random: Random, variables: Variables): Promise<unknown>
}

export type Operation = ScriptOperation | CodeOperation
