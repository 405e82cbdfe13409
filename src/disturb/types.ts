/** What a disturbance is given, and what it looks like while it goes on. */
import type { Clock } from '../clock.js'
import type { Address } from '../pg/connect.js'
import type { LockMode, PgError } from '../recording.js'

/** A table or materialized view of the user's. */
export interface DisturbedTable {
  /** As recordings have it: `table`, or `schema.table` outside `public`. */
  name: string
  schema: string
  bare: string
  /** Rows can be changed: it is no materialized view. */
  writable: boolean
  bytes: number
  /** The pending migrations take locks on it. */
  touched: boolean
}

export interface DisturbOptions {
  /** A superuser, who looks and ends; it disturbs nobody. */
  admin: Address
  app: Address
  /** The tables' owner. */
  migrate: Address
  clock: Clock
  /** Those that the pending migrations touch come first. */
  tables: readonly DisturbedTable[]
  /** How long it is going to be needed after the migration has begun. */
  lastsMs: number
}

export interface HeldLock {
  relation: string
  mode: LockMode
}

/** `error` is what ended it before anybody told it to; null when it was told to, or was through with its work. */
export interface Ending {
  atMs: number
  /** `stop` was called before it ended. */
  told: boolean
  error: PgError | null
}

/** A disturbance that is up: its locks are held. */
export interface RunningDisturbance {
  /** Its backend; null for a prepared transaction, which has none. */
  readonly pid: number | null
  /** What it did, as `a transaction that read orders and stayed open`. */
  readonly text: string
  readonly startMs: number
  /** Locks on tables that it holds now, as pg_locks shows them; the strongest of each table. */
  locks(): Promise<HeldLock[]>
  /** Ends it and leaves nothing behind; resolves when its locks are gone. May be called twice, and after it has ended. */
  stop(): Promise<void>
  /** Resolves when its locks are gone, however that came; never rejects. */
  readonly ended: Promise<Ending>
}

export interface Disturbance {
  /** Settings that the server needs for it, for `Branch.fork`. */
  settings: Readonly<Record<string, string>>
  /** What must be there before any traffic runs. */
  prepare?(options: DisturbOptions): Promise<void>
  /** Resolves once it holds its locks. Throws what the server said when it cannot be made. */
  start(options: DisturbOptions): Promise<RunningDisturbance>
}
