/**
 * The runner in every mode, on a real server. What the runner says about transactions is compared with the server's own
 * truth: each `insert into log` leaves the id of the transaction that it ran in, and is gone when that was rolled back.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startClock } from '../../src/clock.js'
import { runMigration, type MigrationTrace, type RunOptions } from '../../src/migrations/runner.js'
import { openMigrationSession, type MigrationSession } from '../../src/migrations/session.js'
import type { MigrationFile, TransactionMode } from '../../src/recording.js'
import { splitSql } from '../../src/sql/split.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'

let server: TestServer
let admin: ReturnType<typeof connect>
let session: MigrationSession

beforeAll(async () => {
  server = await startServer()
  admin = connect(server.migrate)
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})
beforeEach(async () => {
  await admin.unsafe(`
    drop table if exists log, child, parent, t;
    create table log (name text, xid text default pg_current_xact_id()::text);
    create table t (id int, v int);
    insert into t select g, g from generate_series(1, 100) g;
    create table parent (id int primary key);
    create table child (parent_id int references parent (id) deferrable initially deferred);`)
  session = await openMigrationSession(server.migrate, startClock())
  return () => session.close()
})

const log = (name: string): string => `insert into log values ('${name}');`
const NONE = '-- rehearse: no-transaction\n'

const filesOf = async (mode: TransactionMode, texts: string[]): Promise<MigrationFile[]> =>
  Promise.all(
    texts.map(async (text, i) => ({
      file: `${i + 1}.sql`,
      sha256: '',
      transaction: text.startsWith(NONE) ? ('none' as const) : mode,
      name: null,
      kind: 'sql' as const,
      statements: await splitSql(text, `${i + 1}.sql`),
    })),
  )

interface Ran {
  trace: MigrationTrace
  files: MigrationFile[]
}

const migrate = async (mode: TransactionMode, texts: string[], options: Partial<RunOptions> = {}): Promise<Ran> => {
  const files = await filesOf(mode, texts)
  const trace = await runMigration(session, files, { transaction: mode, ...options })
  return { trace, files }
}

/** `1.sql#1 1.sql#2 | 2.sql#1 (rolled back)`, with the kind of transaction where it is not explicit. */
const shape = ({ trace }: Ran): string =>
  trace.run.transactions
    .map((t) => {
      const notes = [...(t.kind === 'explicit' ? [] : [t.kind]), ...(t.end === 'committed' ? [] : ['rolled back'])]
      return `${t.statements.map((s) => s.replace('.sql#', '.')).join(' ')}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`
    })
    .join(' | ')

/** Fails when the server saw other transactions than the runner. */
async function agrees({ trace, files }: Ran): Promise<void> {
  const rows = await admin<{ name: string; xid: string }[]>`select name, xid from log`
  const xids = new Map(rows.map((row) => [row.name, row.xid]))
  expect(xids.size, 'every name once').toBe(rows.length)
  const names = new Map(
    files.flatMap((f) =>
      f.statements.map((s) => [s.id, /^insert into log values \('(\w+)'\)/.exec(s.sql)?.[1]] as const),
    ),
  )
  const seen = new Map<string, number>()
  let expected = 0
  for (const transaction of trace.run.transactions) {
    const inside = transaction.statements.flatMap((id) => names.get(id) ?? [])
    if (transaction.end === 'rolled back') {
      for (const name of inside) expect(xids.get(name), `${name} was rolled back`).toBeUndefined()
      continue
    }
    expected += inside.length
    const ids = new Set(inside.map((name) => xids.get(name)))
    expect(ids.has(undefined), `${inside.join()} are committed`).toBe(false)
    expect(ids.size, `${inside.join()} share a transaction`).toBeLessThanOrEqual(1)
    for (const xid of ids) {
      expect(seen.get(xid ?? ''), 'two transactions of the runner are one of the server').toBeUndefined()
      seen.set(xid ?? '', transaction.ordinal)
    }
  }
  expect(rows).toHaveLength(expected)
  // The traces tell the same, statements belong to one transaction each, stamps are in order.
  expect(trace.transactions.map((t) => t.committed)).toEqual(trace.run.transactions.map((t) => t.end === 'committed'))
  expect(trace.run.statements.map((s) => [s.statement, s.transaction])).toEqual(
    trace.run.transactions.flatMap((t) => t.statements.map((s) => [s, t.ordinal])),
  )
  for (const t of trace.transactions) {
    expect(t.end.sentMs).toBeGreaterThanOrEqual(t.startMs)
    expect(t.end.readyMs).toBeGreaterThanOrEqual(t.end.sentMs)
    for (const run of trace.run.statements.filter((s) => s.transaction === t.ordinal)) {
      expect(run.startMs).toBeGreaterThanOrEqual(t.startMs)
      expect(run.endMs).toBeLessThanOrEqual(t.end.readyMs)
    }
  }
  // Nothing is left open, whatever happened.
  expect(session.tap.status).toBe('I')
  const [state] = await admin<{ state: string }[]>`select state from pg_stat_activity where pid = ${session.pid}`
  expect(state?.state).toBe('idle')
}

interface Case {
  name: string
  mode: TransactionMode
  files: string[]
  shape: string
  /** Failing statement and SQLSTATE, as `1.sql#2 23505`; null when it succeeds. */
  fails?: string
  /** The shape when it is taken apart, where that differs. */
  dissected?: string
  warns?: RegExp
}

const AB = [`${log('a')}${log('b')}`, log('c')]
const FAIL = 'select 1/0;'
const ORPHAN = 'insert into child values (7);'

const cases: Case[] = [
  { name: 'file', mode: 'file', files: AB, shape: '1.1 1.2 | 2.1' },
  { name: 'all', mode: 'all', files: AB, shape: '1.1 1.2 2.1' },
  {
    name: 'statement',
    mode: 'statement',
    files: AB,
    shape: '1.1 (autocommit) | 1.2 (autocommit) | 2.1 (autocommit)',
    dissected: '1.1 | 1.2 | 2.1',
  },
  {
    name: 'batch',
    mode: 'batch',
    files: AB,
    shape: '1.1 1.2 (message) | 2.1 (autocommit)',
    dissected: '1.1 1.2 | 2.1',
  },
  {
    name: 'no-transaction among file',
    mode: 'file',
    files: [log('x'), NONE + (AB[0] ?? ''), log('c')],
    shape: '1.1 | 2.1 (autocommit) | 2.2 (autocommit) | 3.1',
    dissected: '1.1 | 2.1 | 2.2 | 3.1',
  },
  {
    name: 'no-transaction among all: what was before is committed',
    mode: 'all',
    files: [log('x'), log('y'), NONE + (AB[0] ?? ''), log('c'), log('d')],
    shape: '1.1 2.1 | 3.1 (autocommit) | 3.2 (autocommit) | 4.1 5.1',
    dissected: '1.1 2.1 | 3.1 | 3.2 | 4.1 5.1',
  },
  {
    name: 'no-transaction last in all',
    mode: 'all',
    files: [log('x'), NONE + log('a')],
    shape: '1.1 | 2.1 (autocommit)',
    dissected: '1.1 | 2.1',
  },
  {
    name: 'BEGIN and COMMIT in the file: file',
    mode: 'file',
    files: [`begin;${log('a')}commit;${log('b')}`, log('c')],
    // BEGIN inside a transaction only warns; its COMMIT ends the tool's own, and what follows runs alone.
    shape: '1.1 1.2 1.3 | 1.4 (autocommit) | 2.1',
  },
  {
    name: 'BEGIN and COMMIT in the file: all',
    mode: 'all',
    files: [`begin;${log('a')}commit;`, `${log('b')}${log('c')}`],
    shape: '1.1 1.2 1.3 | 2.1 2.2',
  },
  {
    name: 'BEGIN and COMMIT in the file: statement',
    mode: 'statement',
    files: [`begin;${log('a')}${log('b')}commit;${log('c')}start transaction;${log('d')}end;`],
    shape: '1.1 1.2 1.3 1.4 | 1.5 (autocommit) | 1.6 1.7 1.8',
    dissected: '1.1 1.2 1.3 1.4 | 1.5 | 1.6 1.7 1.8',
  },
  {
    name: 'BEGIN and COMMIT in the file: batch',
    mode: 'batch',
    files: [`begin;${log('a')}${log('b')}commit;${log('c')}`],
    shape: '1.1 1.2 1.3 1.4 (message) | 1.5 (message)',
  },
  {
    name: 'COMMIT in the middle: file',
    mode: 'file',
    files: [`${log('a')}commit;${log('b')}${log('c')}`],
    shape: '1.1 1.2 | 1.3 (autocommit) | 1.4 (autocommit)',
  },
  {
    name: 'COMMIT in the middle: batch',
    mode: 'batch',
    files: [`${log('a')}commit;${log('b')}${log('c')}`],
    shape: '1.1 1.2 (message) | 1.3 1.4 (message)',
  },
  {
    name: 'COMMIT in the middle, failing after it: batch',
    mode: 'batch',
    files: [`${log('a')}commit;${log('b')}${FAIL}${log('c')}`],
    shape: '1.1 1.2 (message) | 1.3 1.4 (message, rolled back)',
    fails: '1.sql#4 22012',
  },
  {
    name: 'ROLLBACK in the file: file',
    mode: 'file',
    files: [`${log('a')}rollback;${log('b')}`],
    shape: '1.1 1.2 (rolled back) | 1.3 (autocommit)',
  },
  {
    name: 'ROLLBACK in the file: batch',
    mode: 'batch',
    files: [`begin;${log('a')}rollback;${log('b')}`],
    shape: '1.1 1.2 1.3 (message, rolled back) | 1.4 (message)',
  },
  {
    name: 'COMMIT AND CHAIN, ROLLBACK AND CHAIN',
    mode: 'file',
    files: [`${log('a')}commit and chain;${log('b')}rollback and chain;${log('c')}`],
    shape: '1.1 1.2 | 1.3 1.4 (rolled back) | 1.5',
  },
  {
    name: 'savepoints are no boundaries',
    mode: 'file',
    files: [`${log('a')}savepoint s;insert into t values (0);rollback to s;release s;${log('c')}`],
    shape: '1.1 1.2 1.3 1.4 1.5 1.6',
  },
  {
    name: 'fails: file',
    mode: 'file',
    files: [log('a'), `${log('b')}${FAIL}${log('c')}`, log('d')],
    shape: '1.1 | 2.1 2.2 (rolled back)',
    fails: '2.sql#2 22012',
  },
  {
    name: 'fails: all',
    mode: 'all',
    files: [log('a'), `${log('b')}${FAIL}${log('c')}`, log('d')],
    shape: '1.1 2.1 2.2 (rolled back)',
    fails: '2.sql#2 22012',
  },
  {
    name: 'fails: statement',
    mode: 'statement',
    files: [log('a'), `${log('b')}${FAIL}${log('c')}`, log('d')],
    shape: '1.1 (autocommit) | 2.1 (autocommit) | 2.2 (autocommit, rolled back)',
    dissected: '1.1 | 2.1 | 2.2 (rolled back)',
    fails: '2.sql#2 22012',
  },
  {
    name: 'fails: batch, third of four',
    mode: 'batch',
    files: [`${log('a')}${log('b')}${FAIL}${log('c')}`, log('d')],
    shape: '1.1 1.2 1.3 (message, rolled back)',
    dissected: '1.1 1.2 1.3 (rolled back)',
    fails: '1.sql#3 22012',
  },
  {
    name: 'fails: batch, the very first',
    mode: 'batch',
    files: [`${FAIL}${log('a')}`],
    shape: '1.1 (message, rolled back)',
    dissected: '1.1 (rolled back)',
    fails: '1.sql#1 22012',
  },
  {
    name: 'fails inside its own transaction: statement',
    mode: 'statement',
    files: [`${log('a')}begin;${log('b')}${FAIL}commit;${log('c')}`],
    shape: '1.1 (autocommit) | 1.2 1.3 1.4 (rolled back)',
    dissected: '1.1 | 1.2 1.3 1.4 (rolled back)',
    fails: '1.sql#4 22012',
  },
  {
    name: 'fails inside its own transaction: batch',
    mode: 'batch',
    files: [`${log('a')}commit;begin;${log('b')}${FAIL}commit;`],
    shape: '1.1 1.2 (message) | 1.3 1.4 1.5 (message, rolled back)',
    fails: '1.sql#5 22012',
  },
  {
    name: 'a deferred constraint fails at the COMMIT of the tool: file',
    mode: 'file',
    files: [log('x'), `${log('a')}${ORPHAN}${log('b')}`, log('c')],
    shape: '1.1 | 2.1 2.2 2.3 (rolled back)',
    // COMMIT is no statement of a file: the last one of the transaction stands for it.
    fails: '2.sql#3 23503',
  },
  {
    name: 'a deferred constraint fails at the COMMIT of the file: statement',
    mode: 'statement',
    files: [`begin;${log('a')}${ORPHAN}commit;${log('b')}`],
    shape: '1.1 1.2 1.3 1.4 (rolled back)',
    fails: '1.sql#4 23503',
  },
  {
    name: 'a deferred constraint fails alone: statement',
    mode: 'statement',
    files: [`${log('a')}${ORPHAN}${log('b')}`],
    shape: '1.1 (autocommit) | 1.2 (autocommit, rolled back)',
    dissected: '1.1 | 1.2 (rolled back)',
    fails: '1.sql#2 23503',
  },
  {
    name: 'a deferred constraint fails at the end of the message: batch',
    mode: 'batch',
    files: [`${log('a')}${ORPHAN}${log('b')}`],
    shape: '1.1 1.2 1.3 (message, rolled back)',
    dissected: '1.1 1.2 1.3 (rolled back)',
    fails: '1.sql#3 23503',
  },
  {
    name: 'ends inside its own transaction: statement',
    mode: 'statement',
    files: [`${log('a')}begin;${log('b')}`],
    shape: '1.1 (autocommit) | 1.2 1.3 (rolled back)',
    dissected: '1.1 | 1.2 1.3 (rolled back)',
    warns: /ended inside a transaction/,
  },
  {
    name: 'ends inside its own transaction: batch',
    mode: 'batch',
    files: [`${log('a')}begin;${log('b')}`],
    shape: '1.1 1.2 1.3 (message, rolled back)',
    warns: /ended inside a transaction/,
  },
  {
    name: 'goes on in the next file: statement',
    mode: 'statement',
    files: [`begin;${log('a')}`, `${log('b')}commit;${log('c')}`],
    shape: '1.1 1.2 2.1 2.2 | 2.3 (autocommit)',
    dissected: '1.1 1.2 2.1 2.2 | 2.3',
  },
  {
    name: 'CREATE INDEX CONCURRENTLY: file',
    mode: 'file',
    files: [`${log('a')}create index concurrently i on t (v);`],
    shape: '1.1 1.2 (rolled back)',
    fails: '1.sql#2 25001',
  },
  {
    name: 'CREATE INDEX CONCURRENTLY: all',
    mode: 'all',
    files: [log('a'), 'create index concurrently i on t (v);'],
    shape: '1.1 2.1 (rolled back)',
    fails: '2.sql#1 25001',
  },
  {
    name: 'CREATE INDEX CONCURRENTLY: statement',
    mode: 'statement',
    files: [`${log('a')}create index concurrently i on t (v);${log('b')}`],
    shape: '1.1 (autocommit) | 1.2 (autocommit) | 1.3 (autocommit)',
    dissected: '1.1 | 1.2 (autocommit) | 1.3',
  },
  {
    name: 'CREATE INDEX CONCURRENTLY with others: batch',
    mode: 'batch',
    files: [`${log('a')}create index concurrently i on t (v);`],
    shape: '1.1 1.2 (message, rolled back)',
    dissected: '1.1 1.2 (rolled back)',
    fails: '1.sql#2 25001',
  },
  {
    name: 'CREATE INDEX CONCURRENTLY alone in its message: batch',
    mode: 'batch',
    files: [log('a'), 'create index concurrently i on t (v);'],
    shape: '1.1 (autocommit) | 2.1 (autocommit)',
    dissected: '1.1 | 2.1 (autocommit)',
  },
  {
    name: 'CREATE INDEX CONCURRENTLY: no-transaction among all',
    mode: 'all',
    files: [log('a'), `${NONE}create index concurrently i on t (v);`, log('b')],
    shape: '1.1 | 2.1 (autocommit) | 3.1',
  },
  {
    name: 'REINDEX of a partitioned table refuses a transaction only when it sees the table',
    mode: 'statement',
    files: [`${log('a')}create table p (id int primary key) partition by range (id);reindex table p;drop table p;`],
    shape: '1.1 (autocommit) | 1.2 (autocommit) | 1.3 (autocommit) | 1.4 (autocommit)',
    dissected: '1.1 | 1.2 | 1.3 (autocommit) | 1.4',
  },
  {
    name: 'CALL that commits: statement and no-transaction',
    mode: 'statement',
    files: ['do $$ begin insert into t values (1); commit; insert into t values (2); end $$;' + log('a')],
    shape: '1.1 (autocommit) | 1.2 (autocommit)',
    dissected: '1.1 (autocommit) | 1.2',
  },
  {
    name: 'DO that commits inside a transaction: file',
    mode: 'file',
    files: [`${log('a')}do $$ begin commit; end $$;`],
    shape: '1.1 1.2 (rolled back)',
    fails: '1.sql#2 2D000',
  },
  {
    name: 'SET outside a transaction stays for what follows',
    mode: 'statement',
    files: [`set search_path = 'nowhere';${log('a')}`],
    shape: '1.1 (autocommit) | 1.2 (autocommit, rolled back)',
    dissected: '1.1 (autocommit) | 1.2 (rolled back)',
    fails: '1.sql#2 42P01',
  },
  { name: 'a file without statements', mode: 'file', files: ['-- nothing\n', log('a')], shape: ' | 2.1' },
]

describe.each([false, true])('dissect: %s', (dissect) => {
  it.each(cases)('$name', async (one) => {
    const ran = await migrate(one.mode, one.files, { dissect })
    const { run, warnings } = ran.trace
    expect(shape(ran)).toBe(dissect ? (one.dissected ?? one.shape) : one.shape)
    await agrees(ran)
    const failure = run.outcome.ok ? undefined : `${run.failedStatement} ${run.outcome.error.sqlstate}`
    expect(failure).toBe(one.fails)
    expect(run.timedOut).toBe(false)
    expect(run.statements.filter((s) => !s.outcome.ok).map((s) => s.statement)).toEqual(
      // A COMMIT of the tool fails after all statements were answered.
      one.fails === undefined ||
        one.name.includes('COMMIT of the tool') ||
        (dissect && one.name.includes('deferred constraint') && !one.name.includes('of the file'))
        ? []
        : [run.failedStatement],
    )
    if (one.warns) expect(warnings.join()).toMatch(one.warns)
    else expect(warnings.filter((w) => !/one message/.test(w))).toEqual([])
  })
})

describe('hooks', () => {
  it('tell of each statement and of each commit, in order, while the session is idle', async () => {
    const events: string[] = []
    await migrate('file', [`${log('a')}${log('b')}`, `${NONE}${log('c')}`, `${log('d')}${FAIL}`], {
      onStatement: (s, state, sqlstate) => events.push(`${state} ${s.id}${sqlstate === null ? '' : ` ${sqlstate}`}`),
      hooks: {
        beforeStatement: (s, inTransaction) => Promise.resolve(void events.push(`before ${s.id} ${inTransaction}`)),
        afterStatement: (s, state) => {
          events.push(`after ${s.id} ${state.inTransaction} ${state.aborted}`)
          return Promise.resolve(null)
        },
        afterCommit: async (t) => {
          const [row] = await admin<{ state: string }[]>`select state from pg_stat_activity where pid = ${session.pid}`
          events.push(`commit ${t.ordinal} ${row?.state ?? ''}`)
        },
      },
    })
    expect(events).toEqual([
      ...['before 1.sql#1 true', 'started 1.sql#1', 'ok 1.sql#1', 'after 1.sql#1 true false'],
      ...['before 1.sql#2 true', 'started 1.sql#2', 'ok 1.sql#2', 'after 1.sql#2 true false', 'commit 1 idle'],
      ...['before 2.sql#1 false', 'started 2.sql#1', 'ok 2.sql#1', 'after 2.sql#1 false false', 'commit 2 idle'],
      ...['before 3.sql#1 true', 'started 3.sql#1', 'ok 3.sql#1', 'after 3.sql#1 true false'],
      ...['before 3.sql#2 true', 'started 3.sql#2', 'failed 3.sql#2 22012', 'after 3.sql#2 true true'],
    ])
  })

  it('a message with several commits is one state', async () => {
    const commits: string[][] = []
    await migrate('batch', [`${log('a')}commit;${log('b')}${FAIL}`], {
      hooks: { afterCommit: (t) => Promise.resolve(void commits.push(t.statements)) },
    })
    expect(commits).toEqual([['1.sql#1', '1.sql#2']])
  })
})

describe('stopping', () => {
  it.each(['file', 'statement'] as const)(
    'between two statements: rolled back and not a success (%s)',
    async (mode) => {
      const stop = new AbortController()
      const ran = await migrate(mode, [`${log('a')}${log('b')}`], {
        signal: stop.signal,
        onStatement: (_, state) => {
          if (state === 'ok') stop.abort()
        },
      })
      expect(ran.trace.run).toMatchObject({ timedOut: true, outcome: { ok: false, error: { sqlstate: '57014' } } })
      expect(ran.trace.run.statements).toHaveLength(1)
      expect(shape(ran)).toBe(mode === 'file' ? '1.1 (rolled back)' : '1.1 (autocommit)')
      await agrees(ran)
    },
  )

  it('inside a statement that is cancelled', async () => {
    const stop = new AbortController()
    const ran = await migrate('file', [`${log('a')}select pg_sleep(30);`, log('b')], {
      signal: stop.signal,
      onStatement: (s, state) => {
        if (s.ordinal !== 2 || state !== 'started') return
        setTimeout(() => {
          stop.abort()
          void admin`select pg_cancel_backend(${session.pid})`.execute()
        }, 50)
      },
    })
    expect(ran.trace.run).toMatchObject({
      timedOut: true,
      failedStatement: '1.sql#2',
      outcome: { ok: false, error: { sqlstate: '57014' } },
    })
    await agrees(ran)
  })

  it('a lost connection is a failure of the statement, not of the runner', async () => {
    const ran = await migrate('file', [`${log('a')}select pg_terminate_backend(pg_backend_pid());`])
    expect(ran.trace.run.outcome.ok).toBe(false)
    expect(ran.trace.run.failedStatement).toBe('1.sql#2')
    expect(await admin`select 1 from log`).toHaveLength(0)
  })
})

describe('session', () => {
  it('stamps notices, keeps the detail of a failure apart, and announces with client_min_messages', async () => {
    const own = await openMigrationSession(server.migrate, startClock(), { client_min_messages: 'debug1' })
    const done = await own.execute('alter table t alter column v type bigint')
    expect(done).toMatchObject({ failed: false, status: 'I', error: null })
    const notice = own.notices.find((n) => n.message === 'rewriting table "t"')
    expect(notice?.atMs).toBeGreaterThanOrEqual(done.sentMs)
    expect(notice?.atMs).toBeLessThanOrEqual(done.readyMs)
    expect(own.lastErrorDetail()).toBeNull()
    const failed = await own.execute('insert into child values (1); set constraints all immediate')
    expect(failed).toMatchObject({ failed: true, completed: 1 })
    expect(own.lastErrorDetail()).toContain('parent_id')
    await own.close()
  })
})
