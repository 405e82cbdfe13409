/** A disturbance that is one session: how it is watched, how it ends. */
import { sleep, type Clock } from '../clock.js'
import { qualified } from '../pg/catalog.js'
import { connect, disconnect, type Address, type Sql } from '../pg/connect.js'
import { toPgError } from '../pg/errors.js'
import type { DisturbanceKind, PgError } from '../recording.js'
import { fromPgLocks, strength } from '../sql/lock-modes.js'
import type { DisturbedTable, DisturbOptions, Ending, HeldLock, RunningDisturbance } from './types.js'

/** What its session is called in pg_stat_activity, and in the recording wherever somebody waits for it. */
export const applicationName = (kind: DisturbanceKind): string => `rehearse disturbance ${kind}`

/** Between two looks whether its backend is still there. */
const LOOK_MS = 100
const SOON_MS = 5
/** A statement that was canceled may take so long to end; then its session is terminated. */
const CANCEL_MS = 2_000

export interface OpenSession {
  sql: Sql
  pid: number
  close(): Promise<void>
}

export async function openSession(address: Address, name: string): Promise<OpenSession> {
  const sql = connect(address, { applicationName: name })
  try {
    const [row] = await sql.unsafe<{ pid: number }[]>('select pg_catalog.pg_backend_pid() as pid')
    return { sql, pid: row?.pid ?? 0, close: () => disconnect(sql) }
  } catch (error) {
    await disconnect(sql)
    throw error
  }
}

/** Name of a table in SQL. */
export const inSql = ({ schema, bare }: Pick<DisturbedTable, 'schema' | 'bare'>): string =>
  [schema, bare].map((name) => `"${name.replaceAll('"', '""')}"`).join('.')

/** Those that the migrations touch; the largest one where they touch none, so that at least a snapshot is held. */
export function target(tables: readonly DisturbedTable[], writable = false): DisturbedTable[] {
  const usable = tables.filter((table) => table.writable || !writable)
  const touched = usable.filter((table) => table.touched)
  return touched.length > 0 ? touched : [...usable].sort((a, b) => b.bytes - a.bytes).slice(0, 1)
}

/** `orders and users`, `a, b, c and 4 more`. */
export function namesOf(tables: readonly Pick<DisturbedTable, 'name'>[]): string {
  const names = tables.map(({ name }) => name)
  if (names.length === 0) return 'no table'
  if (names.length > 4) return `${names.slice(0, 3).join(', ')} and ${names.length - 3} more`
  return names.length === 1 ? names.join() : `${names.slice(0, -1).join(', ')} and ${names.at(-1) ?? ''}`
}

/** Locks on tables of the one who is meant by `where` (a condition on pg_locks `l`), the strongest of each table. */
export async function readLocks(admin: Sql, where: string): Promise<HeldLock[]> {
  const rows = await admin.unsafe<{ schema: string; name: string; mode: string }[]>(`
    select n.nspname as schema, c.relname as name, l.mode
      from pg_catalog.pg_locks l
      join pg_catalog.pg_database d on d.oid = l.database and d.datname = pg_catalog.current_database()
      join pg_catalog.pg_class c on c.oid = l.relation and c.oid >= 16384 and c.relkind in ('r', 'p', 'm')
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where l.locktype = 'relation' and l.granted and ${where}
     order by 1, 2`)
  const strongest = new Map<string, HeldLock>()
  for (const row of rows) {
    const relation = qualified(row.schema, row.name)
    const mode = fromPgLocks(row.mode)
    const known = strongest.get(relation)
    if (mode && (!known || strength(mode) > strength(known.mode))) strongest.set(relation, { relation, mode })
  }
  return [...strongest.values()]
}

export interface Holding {
  kind: DisturbanceKind
  as: 'app' | 'migrate'
  options: DisturbOptions
  /** Takes the locks; says what it did. Throws what the server said. */
  take: (sql: Sql) => Promise<string>
  /** What it goes on with, in the same session; nothing for one that sits idle. `signal` asks it to end. */
  goOn?: (sql: Sql, signal: AbortSignal) => Promise<unknown>
  /** It sends to somebody who reads slowly: a server that waits for that hears no cancel, so its session is terminated. */
  sends?: boolean
  /** Its locks are only there once it goes on. */
  locksLater?: boolean
  /** Why its session may have been closed while it sat there; asked before it sits down. */
  reasons?: (sql: Sql) => Promise<(goneAfterMs: number) => PgError | null>
}

/** Starts a disturbance that is one session; see `Disturbance.start`. */
export async function hold(holding: Holding): Promise<RunningDisturbance> {
  const { options, kind, sends = false } = holding
  const admin = connect(options.admin, { applicationName: 'rehearse observer' })
  let session: OpenSession | null = null
  try {
    session = await openSession(options[holding.as], applicationName(kind))
    const startMs = options.clock.nowMs()
    const reason = (await holding.reasons?.(session.sql)) ?? (() => null)
    const text = await holding.take(session.sql)
    const running = new SessionDisturbance({ session, admin, clock: options.clock, startMs, text, reason, sends })
    running.begin(holding.goOn)
    if (holding.locksLater) await running.lockSeen()
    return running
  } catch (error) {
    await session?.close()
    await disconnect(admin)
    throw error
  }
}

interface Parts {
  session: OpenSession
  admin: Sql
  clock: Clock
  startMs: number
  text: string
  reason: (goneAfterMs: number) => PgError | null
  sends: boolean
}

class SessionDisturbance implements RunningDisturbance {
  readonly pid: number
  readonly text: string
  readonly startMs: number
  readonly ended: Promise<Ending>
  readonly #parts: Parts
  readonly #stop = new AbortController()
  #work: Promise<{ error: PgError | null }> | null = null
  #resolve: (ending: Ending) => void = () => undefined
  #over = false
  #terminated = false
  #stopping: Promise<void> | null = null

  constructor(parts: Parts) {
    this.#parts = parts
    this.pid = parts.session.pid
    this.text = parts.text
    this.startMs = parts.startMs
    this.ended = new Promise((resolve) => (this.#resolve = resolve))
  }

  begin(goOn: Holding['goOn']): void {
    if (goOn) {
      this.#work = goOn(this.#parts.session.sql, this.#stop.signal).then(
        () => ({ error: null }),
        (error: unknown) => ({ error: toPgError(error) }),
      )
      void this.#work.then(async ({ error }) => {
        if (!this.#stop.signal.aborted) await this.#end(error)
      })
    } else void this.#watch()
  }

  /** Waits for its first lock, or until it is over without any. */
  async lockSeen(): Promise<void> {
    while (!this.#over && (await this.locks()).length === 0) await sleep(2)
  }

  async locks(): Promise<HeldLock[]> {
    return this.#over ? [] : readLocks(this.#parts.admin, `l.pid = ${this.pid}`)
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#doStop()
    return this.#stopping
  }

  async #doStop(): Promise<void> {
    this.#stop.abort()
    if (this.#over) return
    if (this.#work && !(await this.#cancel(this.#work))) await this.#terminate()
    await this.#end(null)
  }

  /** Whether it let go. */
  async #cancel(work: Promise<unknown>): Promise<boolean> {
    const { admin, sends } = this.#parts
    if (sends) return false
    await admin.unsafe('select pg_catalog.pg_cancel_backend($1)', [this.pid]).catch(() => undefined)
    return (await within(work)) !== undefined
  }

  /** Its locks are gone before it is gone from the list. */
  async #terminate(): Promise<void> {
    await this.#parts.admin.unsafe('select pg_catalog.pg_terminate_backend($1)', [this.pid]).catch(() => undefined)
    for (let looks = 0; looks < CANCEL_MS / SOON_MS && (await this.#listed()); looks++) await sleep(SOON_MS)
    this.#terminated = true
  }

  async #listed(): Promise<boolean> {
    const rows = await this.#parts.admin
      .unsafe('select 1 from pg_catalog.pg_stat_activity where pid = $1', [this.pid])
      .catch(() => [])
    return rows.length > 0
  }

  /** An idle session gets no answer: only the list of backends shows that the server closed it. */
  async #watch(): Promise<void> {
    const { signal } = this.#stop
    for (;;) {
      await sleep(LOOK_MS, signal)
      if (signal.aborted) return
      if (await this.#listed()) continue
      await this.#end(this.#parts.reason(this.#parts.clock.nowMs() - this.startMs))
      return
    }
  }

  /** Lets go of everything; the locks are gone when this resolves. */
  async #end(error: PgError | null): Promise<void> {
    if (this.#over) return
    this.#over = true
    const { session, admin, clock } = this.#parts
    if (!this.#terminated) await within(session.sql.unsafe('rollback').catch(() => undefined))
    const atMs = clock.nowMs()
    if (this.#terminated) await session.sql.end({ timeout: 0 }).catch(() => undefined)
    else await session.close()
    await disconnect(admin)
    this.#resolve({ atMs, told: this.#stop.signal.aborted, error })
  }
}

/** What the promise gives; undefined when that takes too long. */
async function within<T>(promise: Promise<T>): Promise<T | undefined> {
  const timer = new AbortController()
  const result = await Promise.race([promise, sleep(CANCEL_MS, timer.signal).then(() => undefined)])
  timer.abort()
  return result
}
