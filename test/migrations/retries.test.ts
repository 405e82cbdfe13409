/** What lock_timeout ended is run again, as a whole, as often as was permitted; on a real server with a real blocker. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startClock } from '../../src/clock.js'
import { runMigration, type MigrationTrace, type RunOptions } from '../../src/migrations/runner.js'
import { openMigrationSession, type MigrationSession } from '../../src/migrations/session.js'
import type { TransactionMode } from '../../src/recording.js'
import { migrationFiles } from '../pass/build.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'

let server: TestServer
let admin: ReturnType<typeof connect>
let blocker: ReturnType<typeof connect>
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
  await admin.unsafe('drop table if exists log, t; create table log (name text); create table t (id int)')
  session = await openMigrationSession(server.migrate, startClock())
  blocker = connect(server.migrate)
  return async () => {
    await session.close()
    await blocker.end()
  }
})

const SOON = "set local lock_timeout = '20ms';\n"
const log = (name: string): string => `insert into log values ('${name}');\n`

/** Runs while somebody reads `t` in an open transaction, who ends it when `until` statements have failed. */
async function migrate(
  mode: TransactionMode,
  texts: string[],
  until: number,
  options: Partial<RunOptions> = {},
): Promise<MigrationTrace> {
  await blocker.unsafe('begin; select from t')
  let failed = 0
  return runMigration(session, await migrationFiles(texts, mode), {
    transaction: mode,
    retries: { tries: 3, delayMs: 150 },
    ...options,
    onStatement: (_, state) => {
      if (state === 'failed' && ++failed === until) void blocker.unsafe('commit').catch(() => undefined)
    },
  })
}

const ran = (trace: MigrationTrace): string[] =>
  trace.run.statements.map(
    (run) => `${run.transaction} ${run.statement}${run.outcome.ok ? '' : ` ${run.outcome.error.sqlstate}`}`,
  )
const rows = async (): Promise<string[]> =>
  (await admin<{ name: string }[]>`select name from log order by name`).map(({ name }) => name)
const ends = (trace: MigrationTrace): string[] => trace.run.transactions.map((one) => one.end)

describe('tried again from the beginning of', () => {
  it('a file', async () => {
    const texts = [log('one'), `${SOON}${log('two')}alter table t add column v int;`, log('three')]
    const trace = await migrate('file', texts, 2)
    const two = ['2.sql#1', '2.sql#2', '2.sql#3']
    const failing = (transaction: number) => two.map((id, i) => `${transaction} ${id}${i === 2 ? ' 55P03' : ''}`)
    expect(ran(trace)).toEqual(['1 1.sql#1', ...failing(2), ...failing(3), ...two.map((id) => `4 ${id}`), '5 3.sql#1'])
    expect(ends(trace)).toEqual(['committed', 'rolled back', 'rolled back', 'committed', 'committed'])
    expect(trace.run).toMatchObject({ outcome: { ok: true }, failedStatement: null, timedOut: false })
    expect(await rows()).toEqual(['one', 'three', 'two'])
    // The pause lies between two tries.
    const [, first, second] = trace.run.transactions
    expect((second?.startMs ?? 0) - (first?.endMs ?? Infinity)).toBeGreaterThanOrEqual(140)
  })

  it('all files that share a transaction', async () => {
    const trace = await migrate('all', [log('one'), `${SOON}alter table t add column v int;`, log('two')], 1)
    expect(ran(trace)).toEqual([
      ...['1 1.sql#1', '1 2.sql#1', '1 2.sql#2 55P03'],
      ...['2 1.sql#1', '2 2.sql#1', '2 2.sql#2', '2 3.sql#1'],
    ])
    expect(await rows()).toEqual(['one', 'two'])
  })

  it('a message', async () => {
    const trace = await migrate('batch', [`${SOON}${log('one')}alter table t add column v int;`], 1)
    expect(ends(trace)).toEqual(['rolled back', 'committed'])
    expect(ran(trace).filter((one) => one.endsWith('55P03'))).toEqual(['1 1.sql#3 55P03'])
    expect(await rows()).toEqual(['one'])
  })

  it('the statement that ran alone', async () => {
    const texts = [`${log('one')}set lock_timeout = '20ms';\nalter table t add column v int;\n${log('two')}`]
    const trace = await migrate('statement', texts, 2)
    expect(ran(trace).map((one) => one.slice(2))).toEqual([
      ...['1.sql#1', '1.sql#2', '1.sql#3 55P03', '1.sql#3 55P03', '1.sql#3', '1.sql#4'],
    ])
    expect(new Set(trace.run.statements.map((run) => run.transaction)).size).toBe(6)
    expect(await rows()).toEqual(['one', 'two'])
  })

  it('a transaction that the file opens itself', async () => {
    const texts = [
      `-- rehearse: no-transaction\n${log('one')}begin;\n${SOON}${log('two')}alter table t add column v int;\ncommit;`,
    ]
    const trace = await migrate('file', texts, 1)
    expect(ran(trace)).toEqual([
      '1 1.sql#1',
      ...['2 1.sql#2', '2 1.sql#3', '2 1.sql#4', '2 1.sql#5 55P03'],
      ...['3 1.sql#2', '3 1.sql#3', '3 1.sql#4', '3 1.sql#5', '3 1.sql#6'],
    ])
    expect(await rows()).toEqual(['one', 'two'])
  })
})

describe('not tried again', () => {
  it('more often than was permitted: the last try counts', async () => {
    const trace = await migrate('file', [`${SOON}${log('one')}alter table t add column v int;`], 99, {
      retries: { tries: 2, delayMs: 1 },
    })
    expect(ends(trace)).toEqual(['rolled back', 'rolled back', 'rolled back'])
    expect(trace.run).toMatchObject({
      outcome: { ok: false, error: { sqlstate: '55P03' } },
      failedStatement: '1.sql#3',
    })
    expect(await rows()).toEqual([])
  })
  it.each([{ retries: null }, { retries: { tries: 0, delayMs: 1 } }])(
    'unless it was asked for: %o',
    async (options) => {
      const trace = await migrate('file', [`${SOON}alter table t add column v int;`], 99, options)
      expect(trace.run.transactions).toHaveLength(1)
      expect(trace.run.outcome).toMatchObject({ ok: false })
    },
  )
  it('what had committed something already', async () => {
    const text = `${log('one')}commit;\nbegin;\n${SOON}alter table t add column v int;`
    const trace = await migrate('file', [text], 99)
    expect(ends(trace)).toEqual(['committed', 'rolled back'])
    expect(await rows()).toEqual(['one'])
  })
  it('after another error', async () => {
    const trace = await migrate('file', ['select 1 / 0;'], 99)
    expect(ran(trace)).toEqual(['1 1.sql#1 22012'])
  })
  it('after it was stopped during the pause', async () => {
    const stop = new AbortController()
    setTimeout(() => stop.abort(), 300)
    const trace = await migrate('file', [`${SOON}alter table t add column v int;`], 99, {
      retries: { tries: 3, delayMs: 60_000 },
      signal: stop.signal,
    })
    expect(trace.run).toMatchObject({ timedOut: true, outcome: { ok: false, error: { sqlstate: '55P03' } } })
  })
})
