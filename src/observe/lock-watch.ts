/**
 * Quiet pass only: which relation locks one session takes while a statement runs that commits by itself. A loop inside
 * the server looks at pg_locks without a pause, some ten thousand times a second, because DROP INDEX CONCURRENTLY or a DO
 * block is over before a client has looked twice. Nothing is timed then, so one busy core does no harm; a statement that
 * takes long is looked at every millisecond after a while.
 *
 * To be seen, a lock must also be held for a moment: each commit of the session pauses for a few milliseconds before it
 * flushes its log (commit_delay), with all its locks still held. Without it a busy machine let one statement in ten slip.
 *
 * The loop is one long transaction with a snapshot. CREATE INDEX CONCURRENTLY waits for every older snapshot in its own
 * database and would wait for ever, so the watch lives in another database, from where pg_locks shows the same.
 */
import type { LockMode } from '../recording.js'
import { connect, disconnect, type Address, type Asked, type Sql } from '../pg/connect.js'
import { fromPgLocks } from '../sql/lock-modes.js'

export interface WatchedLock {
  oid: number
  mode: LockMode
}

export interface LockWatch {
  /** Asks the watched session to pause at commits. Before the session is measured, because it uses the session. */
  prepare(): Promise<void>
  /** The session no longer pauses. */
  release(): Promise<void>
  /** Resolves once the server looks. */
  start(): Promise<void>
  /** Ends the looking: every relation lock that the session held or waited for, in order of appearance. */
  stop(): Promise<WatchedLock[]>
  close(): Promise<void>
}

/** Every cluster has it: initdb makes it for exactly this, tools that need to connect to some database. */
const ELSEWHERE = 'postgres'
/** The loop does not pause for so long. */
const BUSY_SECONDS = 5
const READY = 'rehearse: watching'

/** Long enough for the loop to get its turn on a busy core; a thousand batches that commit cost 5 s. */
const PAUSE_US = 5_000

/**
 * @param session the session to watch
 * @param observer a session in the migration's database; it must be the same role as `address`, to be allowed to cancel.
 * Returns null where the other database cannot be used: then only the sampler is left.
 */
export async function openLockWatch(
  address: Address,
  session: Asked & { pid: number },
  observer: Sql,
): Promise<LockWatch | null> {
  if (address.database === ELSEWHERE) return null
  let seen: WatchedLock[] = []
  let ready: (() => void) | null = null
  const sql = connect(
    { ...address, database: ELSEWHERE },
    {
      applicationName: 'rehearse lock watch',
      // Should this process die, the loop must not go on without it.
      settings: { client_connection_check_interval: '1s', client_min_messages: 'notice', statement_timeout: '0' },
      onNotice: (notice) => {
        const message = notice['message'] ?? ''
        if (message === READY) ready?.()
        const [oid, name] = message.split(' ')
        const mode = fromPgLocks(name ?? '')
        if (mode) seen.push({ oid: Number(oid), mode })
      },
    },
  )
  let watcher: number
  let database: string
  try {
    const [mine] = await sql.unsafe<{ pid: number }[]>('select pg_catalog.pg_backend_pid() as pid')
    const [here] = await observer.unsafe<{ oid: string }[]>(
      'select oid::text as oid from pg_catalog.pg_database where datname = pg_catalog.current_database()',
    )
    watcher = mine?.pid ?? 0
    database = here?.oid ?? '0'
  } catch {
    await disconnect(sql)
    return null
  }
  const loop = `
    do $watch$
    declare
      known text[] := '{}';
      found text;
      began boolean := false;
      busy_until timestamptz := pg_catalog.clock_timestamp() + interval '${BUSY_SECONDS} s';
    begin
      loop
        for found in
          select l.relation::bigint || ' ' || l.mode from pg_catalog.pg_locks l
           where l.pid = ${session.pid} and l.locktype = 'relation' and l.database = ${database} and l.relation >= 16384
        loop
          if found <> all (known) then
            known := known || found;
            raise notice '%', found;
          end if;
        end loop;
        -- Only now: the first look is the slowest by far, because it is planned.
        if not began then began := true; raise notice '${READY}'; end if;
        if pg_catalog.clock_timestamp() > busy_until then perform pg_catalog.pg_sleep(0.001); end if;
      end loop;
    end $watch$`
  // Without the right to it (a managed server) there is no pause, only the looking.
  const pausing = await session
    .ask<{ role: string }>('select session_user::text as role')
    .then(([row]) => observer`grant set on parameter commit_delay to ${observer(row?.role ?? '')}`)
    .then(
      () => true,
      () => false,
    )
  const set = async (...texts: string[]): Promise<void> => {
    if (pausing) for (const text of texts) await session.ask(text).catch(() => undefined)
  }
  let looking: Promise<unknown> | null = null
  return {
    prepare: () => set('set commit_siblings = 0', `set commit_delay = ${PAUSE_US}`),
    async start() {
      seen = []
      const begun = new Promise<void>((resolve) => (ready = resolve))
      // It ends by being cancelled (57014); should it fail to begin, the statement is merely not watched.
      looking = sql
        .unsafe(loop)
        .simple()
        .catch(() => undefined)
      await Promise.race([begun, looking])
      ready = null
    },
    async stop() {
      if (!looking) return []
      await observer.unsafe('select pg_catalog.pg_cancel_backend($1)', [watcher])
      await looking
      looking = null
      return seen
    },
    release: () => set('reset commit_siblings', 'reset commit_delay'),
    close: () => disconnect(sql),
  }
}
