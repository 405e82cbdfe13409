/** Each disturbance by itself on a real server: what it holds, how it ends, what it leaves behind. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startClock } from '../../src/clock.js'
import { disturbances, type DisturbedTable, type DisturbOptions } from '../../src/disturb/index.js'
import { DisturbanceKind } from '../../src/recording.js'
import { delayFor, pagesFor } from '../../src/disturb/vacuum.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'

let server: TestServer
let admin: ReturnType<typeof connect>

beforeAll(async () => {
  server = await startServer({ settings: { max_prepared_transactions: '10' } })
  admin = connect(server.admin)
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})
beforeEach(async () => {
  await admin.unsafe('alter role app reset all')
  const owner = connect(server.migrate)
  await owner.unsafe(`
    drop table if exists a, "Odd ""name" cascade; drop schema if exists s cascade; create schema s;
    create table a (id int generated always as identity primary key, v int, twice int generated always as (v * 2) stored);
    insert into a (v) select g from generate_series(1, 50) g;
    create table "Odd ""name" ("Col ""x" int);
    create table s.b (id int primary key, v text); insert into s.b select g, 'x' from generate_series(1, 50) g;
    grant usage on schema s to app; grant all on a, "Odd ""name", s.b to app;`)
  await owner.end()
})

const table = (name: string, over: Partial<DisturbedTable> = {}): DisturbedTable => ({
  name,
  schema: 'public',
  bare: name,
  writable: true,
  bytes: 8192,
  touched: false,
  ...over,
})

const options = (over: Partial<DisturbOptions> = {}): DisturbOptions => ({
  admin: server.admin,
  app: server.app,
  migrate: server.migrate,
  clock: startClock(),
  tables: [
    table('a', { touched: true }),
    table('Odd "name', { touched: true }),
    table('s.b', { schema: 's', bare: 'b' }),
  ],
  lastsMs: 600,
  ...over,
})

/** Everything that a disturbance could leave. */
async function left(): Promise<unknown[]> {
  return admin.unsafe(`
    select 'session ' || application_name from pg_stat_activity where application_name like 'rehearse%'
    union all select 'prepared ' || gid from pg_prepared_xacts
    union all select 'lock ' || relation::regclass || ' ' || mode from pg_locks where relation >= 16384 and pid <> pg_backend_pid()`)
}

const HELD = {
  'long-read': { a: 'ACCESS SHARE', 'Odd "name': 'ACCESS SHARE' },
  'idle-in-transaction': { a: 'ROW EXCLUSIVE', 'Odd "name': 'ROW EXCLUSIVE' },
  dump: { a: 'ACCESS SHARE', 'Odd "name': 'ACCESS SHARE', 's.b': 'ACCESS SHARE' },
  // One table at a time.
  vacuum: { a: 'SHARE UPDATE EXCLUSIVE' },
  'prepared-transaction': { a: 'ROW EXCLUSIVE', 'Odd "name': 'ROW EXCLUSIVE' },
} satisfies Record<DisturbanceKind, Record<string, string>>

it.each(DisturbanceKind.options)('%s holds its locks until it is told to stop, and leaves nothing', async (kind) => {
  const given = options()
  await disturbances[kind].prepare?.(given)
  const running = await disturbances[kind].start(given)
  const locks = await running.locks()
  expect(Object.fromEntries(locks.map(({ relation, mode }) => [relation, mode]))).toEqual(HELD[kind])
  const [session] = await admin<{ name: string; state: string }[]>`
    select application_name as name, state from pg_stat_activity where pid = ${running.pid ?? 0}`
  if (kind === 'prepared-transaction') expect(running.pid).toBeNull()
  else expect(session?.name).toBe(`rehearse disturbance ${kind}`)
  if (kind === 'idle-in-transaction') expect(session?.state).toBe('idle in transaction')
  await running.stop()
  expect(await running.ended).toMatchObject({ told: true, error: null })
  expect(await running.locks()).toEqual([])
  await running.stop()
  expect(await left()).toEqual([])
})

it('says what it did, and what it could not do', async () => {
  const text = async (kind: DisturbanceKind, over: Partial<DisturbOptions> = {}) => {
    const running = await disturbances[kind].start(options(over))
    await running.stop()
    return running.text
  }
  expect(await text('long-read')).toBe('a transaction that read a and Odd "name and stayed open')
  // The second table has no row.
  expect(await text('idle-in-transaction')).toBe(
    'a transaction that updated one row of a and locked Odd "name as a write does (no row could be updated) and then sat idle',
  )
  // Nothing is touched: the largest table stands in.
  const other = [table('a'), table('s.b', { schema: 's', bare: 'b', bytes: 99_999 })]
  expect(await text('long-read', { tables: other })).toBe('a transaction that read s.b and stayed open')
})

describe('what ends one before its time', () => {
  it.each([
    ['idle-in-transaction', "idle_in_transaction_session_timeout = '300ms'", '25P03'],
    ['idle-in-transaction', "transaction_timeout = '300ms'", '25P04'],
    ['long-read', "statement_timeout = '300ms'", '57014'],
  ] as const)('%s, %s', async (kind, setting, sqlstate) => {
    await admin.unsafe(`alter role app set ${setting}`)
    const given = options()
    const running = await disturbances[kind].start(given)
    const ending = await running.ended
    expect(ending).toMatchObject({ told: false, error: { sqlstate } })
    expect(ending.atMs - running.startMs).toBeGreaterThanOrEqual(280)
    await running.stop()
    expect(await left()).toEqual([])
  })

  it('a VACUUM that is through with its work', async () => {
    const running = await disturbances.vacuum.start(options({ tables: [table('Odd "name', { touched: true })] }))
    expect(await running.ended).toMatchObject({ told: false, error: null })
    await running.stop()
    expect(await left()).toEqual([])
  })
})

it('a VACUUM of a small table lasts once its pages were filled', async () => {
  const given = options({ lastsMs: 1_000 })
  await disturbances.vacuum.prepare?.(given)
  const [size] = await admin<{ pages: number }[]>`select (pg_relation_size('a') / 8192)::int as pages`
  expect(size?.pages).toBeGreaterThanOrEqual(pagesFor(1_000))
  const [rows] = await admin<
    { rows: number; sum: number }[]
  >`select count(*)::int as rows, sum(twice)::int as sum from a`
  expect(rows).toEqual({ rows: 50, sum: 2_550 })
  const running = await disturbances.vacuum.start(given)
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  expect(await running.locks()).toEqual([{ relation: 'a', mode: 'SHARE UPDATE EXCLUSIVE' }])
  await running.stop()
  expect(delayFor(2_000, 10)).toBe(100)
  expect(delayFor(2_000, 1_000_000)).toBe(1)
})

it('fails where it cannot be made, and leaves nothing', async () => {
  await admin.unsafe('revoke all on a from app')
  await expect(disturbances['long-read'].start(options())).rejects.toMatchObject({ code: '42501' })
  await expect(disturbances['prepared-transaction'].start(options())).rejects.toMatchObject({ code: '42501' })
  expect(await left()).toEqual([])
})
