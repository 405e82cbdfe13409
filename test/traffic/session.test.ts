import type postgres from 'postgres'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { toPgError } from '../../src/pg/errors.js'
import type { Operation } from '../../src/traffic/operation.js'
import { Random } from '../../src/traffic/random.js'
import type { Ran } from '../../src/traffic/execution.js'
import { Session } from '../../src/traffic/session.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { code, executionOn, runOn, script } from './operations.js'

let server: TestServer
let admin: postgres.Sql
let session: Session

beforeAll(async () => {
  server = await startServer()
  admin = connect(server.admin)
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})
beforeEach(async () => {
  await admin.unsafe(`
    drop table if exists items;
    create table items (id int primary key, name text, done boolean, extra jsonb, at timestamptz);
    insert into items select i, 'item ' || i, false, '{}', now() from generate_series(1, 100) i;
    grant all on items to app`)
  session = new Session({ address: server.app, release: 'old', connection: 3, variables: { rows: 100, seed: 1 } })
  await session.open()
  return () => session.close()
})

const run = (operation: Operation): Promise<Ran> => runOn(session, operation, new Random(1))
const backend = async (): Promise<Record<string, unknown> | undefined> =>
  (
    await admin`select application_name, state, backend_xid, usename from pg_stat_activity where pid = ${session.pid}`
  )[0]

const readAll = script('read', () => [{ text: 'select * from items where id = $1', params: ['1'] }])

describe('a session', () => {
  it('is named, knows its backend and runs the statements in order', async () => {
    expect(await backend()).toMatchObject({ application_name: 'rehearse old #3', usename: 'app' })
    const ran = await run(
      script('write', () => [
        'begin',
        { text: 'update items set name = $1 where id = $2', params: ['changed', '1'] },
        'commit',
      ]),
    )
    expect(ran).toEqual({ ok: true, error: null, hidden: [] })
    expect(await admin`select name from items where id = 1`).toEqual([{ name: 'changed' }])
  })

  it('sends parameters of scripts as the text that they are', async () => {
    const text = 'update items set done = $1, extra = $2, at = $3, name = $4 where id = 1'
    for (const prepared of [true, false]) {
      const ran = await run(
        script('types', () => [{ text, params: ['true', '{"a": 1}', '2020-01-02 03:04:05+00', null] }], { prepared }),
      )
      expect(ran.error).toBeNull()
      const rows =
        await admin`select done, extra->>'a' as a, at = '2020-01-02 03:04:05+00' as at, name from items where id = 1`
      expect(rows).toEqual([{ done: true, a: '1', at: true, name: null }])
      await admin`update items set done = false, extra = '{}', at = null, name = 'x'`
    }
  })

  it("leaves operations written as code the driver's own conversions", async () => {
    const ran = await run(
      code('types', (sql) => sql`update items set done = ${true}, extra = ${sql.json({ a: 1 })} where id = 1`),
    )
    expect(ran.error).toBeNull()
    expect(await admin`select done, extra->>'a' as a from items where id = 1`).toEqual([{ done: true, a: '1' }])
  })

  it('prepares what is prepared, without parameters too, and nothing else', async () => {
    const prepared = async (): Promise<string[]> => {
      const texts: string[] = []
      await run(
        code('look', async (sql) => {
          const rows = await sql.unsafe<{ statement: string }[]>('select statement from pg_prepared_statements')
          texts.push(...rows.map((row) => row.statement))
        }),
      )
      return texts
    }
    await run(script('simple', () => ['select 1', 'select 2'], { prepared: false }))
    await run(script('unnamed', () => [{ text: 'select $1::int', params: ['1'] }], { prepared: false }))
    expect(await prepared()).toEqual([])
    await run(script('prepared', () => ['select 3', { text: 'select $1::int', params: ['1'] }]))
    expect((await prepared()).sort()).toEqual(['select $1::int', 'select 3'])
  })

  it('gives each connection its own client_id, from 0', async () => {
    const seen: unknown[] = []
    await run(
      code('look', (_, __, variables) => {
        seen.push(variables)
        return Promise.resolve()
      }),
    )
    expect(seen).toEqual([{ rows: 100, seed: 1, clientId: 2 }])
  })
})

describe('warming', () => {
  it('prepares without executing, so that the first run uses what was prepared before', async () => {
    const insert = { text: 'insert into items (id) values ($1)', params: ['900'] }
    const missing = script('missing', () => ['select gone from items', 'select 5'])
    await session.warm([missing, script('insert', () => ['begin', insert, 'commit']), readAll], new Random(1))
    expect(await admin`select id from items where id = 900`).toEqual([])
    await admin`alter table items add column later int`
    // Were it prepared only now, there would be nothing to retry.
    const ran = await run(readAll)
    expect(ran.ok).toBe(true)
    expect(ran.hidden.map((error) => toPgError(error).sqlstate)).toEqual(['0A000'])
    expect((await run(missing)).ok).toBe(false)
  })
})

describe('0A000, which the driver retries silently', () => {
  it('is reported for a script, once per connection and change', async () => {
    expect((await run(readAll)).hidden).toEqual([])
    await admin`alter table items add column a int`
    const ran = await run(readAll)
    expect(ran).toMatchObject({ ok: true, error: null })
    expect(ran.hidden.map((error) => toPgError(error))).toEqual([
      {
        sqlstate: '0A000',
        condition: 'feature_not_supported',
        message: 'cached plan must not change result type',
        objects: [],
      },
    ])
    expect((await run(readAll)).hidden).toEqual([])
  })

  it('is reported for code, whichever way the query was made', async () => {
    const tagged = code('tagged', (sql) => sql`select * from items where id = ${1}`)
    const text = code('text', (sql) => sql.unsafe('select * from items where id >= $1', [1], { prepare: true }))
    const fragment = code('fragment', (sql) => sql`select * from items ${sql`where id = ${1}`} order by ${sql('id')}`)
    for (const operation of [tagged, text, fragment]) expect((await run(operation)).hidden).toEqual([])
    await admin`alter table items add column a int`
    for (const operation of [tagged, text, fragment]) {
      const ran = await run(operation)
      expect(ran.ok).toBe(true)
      expect(ran.hidden.map((error) => toPgError(error).sqlstate)).toEqual(['0A000'])
    }
  })

  it('is an error inside a transaction, and the next run is clean', async () => {
    const transaction = script('transaction', () => ['begin', 'select * from items', 'commit'])
    await run(transaction)
    await admin`alter table items add column a int`
    const ran = await run(transaction)
    expect(ran.ok).toBe(false)
    expect(toPgError(ran.error).sqlstate).toBe('0A000')
    expect(ran.hidden).toEqual([])
    expect(await run(transaction)).toEqual({ ok: true, error: null, hidden: [] })
  })
})

describe('after an operation the session is clean', () => {
  it.each([
    [
      'a script that fails in its transaction',
      script('x', () => ['begin', 'update items set done = true', 'select 1/0']),
    ],
    ['an unprepared one', script('x', () => ['start transaction', 'select 1/0'], { prepared: false })],
    ['a script that does not end its transaction', script('x', () => ['begin', 'update items set done = true'])],
    [
      'a transaction that goes on after a savepoint',
      script('x', () => ['begin', 'savepoint s', 'update items set done = true', 'rollback to s', 'lock table items']),
    ],
    [
      'code that throws in its transaction',
      code('x', async (sql) => {
        await sql`begin`
        await sql`update items set done = true`
        throw new TypeError('mine')
      }),
    ],
  ])('%s', async (_, operation) => {
    await run(operation)
    expect(await backend()).toMatchObject({ state: 'idle', backend_xid: null })
    expect(await admin`select count(*)::int as n from items where done`).toEqual([{ n: 0 }])
    expect((await run(readAll)).ok).toBe(true)
  })

  it('ends before the transaction is rolled back', async () => {
    const order: string[] = []
    const operation = script('x', () => ['begin', 'select 1/0'])
    await executionOn(session, operation, new Random(1)).run(() => order.push('end'))
    order.push('ready')
    expect(order).toEqual(['end', 'ready'])
  })

  it('code may use sql.begin', async () => {
    const ran = await run(code('x', (sql) => sql.begin((tx) => tx`update items set done = true where id = 1`)))
    expect(ran.error).toBeNull()
    expect(await admin`select id from items where done`).toEqual([{ id: 1 }])
  })

  it('a query that code does not wait for cannot end the process', async () => {
    const ran = await run(
      code('x', async (sql) => {
        void sql`select 1/0`.execute()
        await sql`select 1`
      }),
    )
    expect(ran.ok).toBe(true)
  })
})

describe('a lost connection', () => {
  const kill = async (): Promise<void> => {
    const before = session.pid
    await admin`select pg_terminate_backend(${before}, 5000)`
  }

  it('fails the operation that runs, and the next one has a new backend', async () => {
    const before = session.pid
    const running = run(script('slow', () => ['select pg_sleep(30)']))
    await kill()
    expect(toPgError((await running).error)).toMatchObject({ sqlstate: '08006', condition: 'CONNECTION_CLOSED' })
    expect(session.pid).not.toBe(before)
    expect(await backend()).toMatchObject({ application_name: 'rehearse old #3' })
    expect(await run(readAll)).toEqual({ ok: true, error: null, hidden: [] })
  })

  it('is replaced before the next operation when the session was idle', async () => {
    const before = session.pid
    await kill()
    while (session.pid !== null) await new Promise((resolve) => setTimeout(resolve, 5))
    expect((await run(readAll)).ok).toBe(true)
    expect(session.pid).not.toBe(before)
    expect(await backend()).toMatchObject({ application_name: 'rehearse old #3' })
  })

  it('that cannot be made again fails each operation', async () => {
    const address = { ...server.app, port: 1 }
    const lost = new Session({ address, release: 'new', connection: 1, variables: { rows: 1, seed: 1 } })
    await expect(lost.open()).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    for (let i = 0; i < 2; i++) {
      const ran = await runOn(lost, readAll, new Random(1))
      expect(toPgError(ran.error)).toMatchObject({ sqlstate: '08006', condition: 'ECONNREFUSED' })
    }
    await lost.close()
  })
})

describe('what is abandoned', () => {
  it('does not sleep on, and sends nothing more', async () => {
    const operation = script('x', () => [30_000, 'update items set done = true'])
    const execution = executionOn(session, operation, new Random(1))
    const outcomes: boolean[] = []
    const over = execution.run(({ ok }) => outcomes.push(ok))
    execution.abandon()
    await over
    expect(outcomes).toEqual([false])
    expect(await admin`select id from items where done`).toEqual([])
  })

  it.each([
    ['a statement', script('x', () => ['select pg_sleep(30)'])],
    ['code', code('x', (sql) => sql.begin((tx) => tx`select pg_sleep(30)`))],
  ])('%s ends at the latest with its connection', async (_, operation) => {
    const running = run(operation)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await session.close()
    expect((await running).ok).toBe(false)
  })
})
