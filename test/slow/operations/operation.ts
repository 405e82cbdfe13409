import type { LockMode, TransactionMode } from '../../../src/recording.js'

/** One statement (or a few) with everything that it does on PostgreSQL 18. What is left out must not happen. */
export interface Expected {
  id: string
  sql: string
  /** Done before the migration, by its role. */
  setup?: string
  /** `file` unless stated; `none` for what refuses a transaction. */
  mode?: TransactionMode | 'none'
  /** SQLSTATE; the other fields are not looked at then. */
  error?: string
  /** Strongest mode per table, sequence and view that existed before. */
  locks?: Record<string, LockMode>
  /** Index locks stronger than ROW EXCLUSIVE, of indexes that existed before. */
  indexes?: Record<string, LockMode>
  rewrites?: string[]
  builds?: string[]
  truncated?: string[]
  /** `table:rows` in all, `x2` when read twice. */
  scans?: string[]
  /** `table:+inserted~updated-deleted` */
  rows?: string[]
  /** Which of the tables a SELECT (R) and a write (W) of another session wait for. */
  blocks?: Record<string, 'RW' | 'W'>
  /** Where the second session knows better than the lock modes of the relation itself; says why. */
  blocksDiffer?: { measured: Record<string, 'RW' | 'W'>; why: string }
  transactions?: number
}
