/** Statements as pg_stat_statements has them, played on a real server: what is drawn must find, change or fit something. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NOT_EXPORTED, PROFILE_STATEMENTS_SQL, activityOf, readProfile } from '../../../src/profile/index.js'
import { Random } from '../../../src/traffic/random.js'
import type { ScriptOperation } from '../../../src/traffic/operation.js'
import type { ProductionTraffic } from '../../../src/traffic/production/index.js'
import { connect, startServer, type TestServer } from '../../support/postgres.js'
import { CANARY, fillShop, openShop, play, profileOf, runs, VARIABLES, type Shop } from './shop.js'

let server: TestServer
let shop: Shop

beforeAll(async () => {
  server = await startServer({
    settings: { shared_preload_libraries: 'pg_stat_statements' },
    fill: async (sql) => {
      await fillShop(sql)
      await sql.unsafe('create extension pg_stat_statements')
    },
  })
  shop = await openShop(server.app)
})

afterAll(async () => {
  await shop.sql.end()
  await server.stop()
})

/** A statement, the rows that every run must return or change (`some`: one or more), and its text when it is rewritten. */
type Construct = [sql: string, rows: number | 'some', rewritten?: string]

const LOOK_UPS: Construct[] = [
  ['select * from users where id = $1', 1],
  ['select * from users where id = $1 for update', 1],
  ['select * from users where id = $1::int', 1],
  ['select * from users where id::text = $1', 1],
  ['select id from users where lower(email) = lower($1)', 1],
  ['select id from users u where lower(u.email) = $1', 1],
  ['select * from stock.products where sku = $1', 1],
  ['select who from active_users where address = $1', 1],
  ['select * from users where ($1::text is null or email = $1)', 1],
  ['select * from users where id = $1 and email <> $2', 1],
  ['select * from users where id = $1 or email = $2', 2],
  ['select * from orders where status = $1 and user_id = $2 order by created_at desc limit $3', 1],
  ['select id from orders where status = $1 and total = $2 and placed_on = $3 and opens = $4', 1],
  ['select * from users where mood = $1 limit $2', 1],
]

const LISTS: Construct[] = [
  ['select * from users where id in ($1, $2, $3)', 3],
  [
    'select * from users where id in ($1 /*, ... */) and name <> $2',
    2,
    'select * from users where id in ($1 , $2) and name <> $3',
  ],
  ['select * from users where id = any($1)', 1],
  ['select * from users where id = any($1::bigint[])', 1],
  ['select * from users where email = any(array[$1, $2])', 2],
  [
    'select * from users where id = any(array[$1, $2])',
    2,
    'select * from users where id = any(array[$1::bigint, $2::bigint])',
  ],
  ['select * from users where (id, email) in (($1,$2),($3,$4))', 2],
  ['select * from unnest($1::bigint[]) as k(id) join users on users.id = k.id', 1],
  ['select * from users where id not in ($1, $2) and id = $3', 1],
]

const RANGES: Construct[] = [
  ['select * from orders where placed_on between $1 and $2', 'some'],
  ['select * from orders where created_at >= $1 and created_at < $2', 'some'],
  ['select id from orders where total > $1', 'some'],
  ['select * from orders where (created_at, id) < ($1, $2) order by created_at desc, id desc limit $3', 1],
  ['select id from users where created_at::date = $1', 'some'],
  ['select id from users where date(created_at) = $1', 'some'],
  ['select * from users where name like $1', 'some'],
  ['select * from users where name ilike $1 and deleted_at is null', 'some'],
  ['select id from users where name ~ $1', 'some'],
  ['select * from users where name similar to $1 escape $2', 'some'],
  ['select * from orders order by created_at limit $1 offset $2', 1],
]

const JOINS: Construct[] = [
  ['select o.id from orders o join users u on u.id = o.user_id where u.email = $1 and o.status = $2', 'some'],
  [
    'select p.* from stock.products p join order_items i using (sku) where i.order_id = $1 and p.sku = $2 and i.line = $3',
    1,
  ],
  ['select * from users u where exists (select $1 from orders o where o.user_id = u.id and o.id = $2)', 1],
  ['select * from users where id in (select user_id from orders where id = $1)', 1],
  [
    'with recent as (select user_id from orders where status = $1) select * from users u join recent r on r.user_id = u.id where u.id = $2',
    'some',
  ],
  ['select r.s from (select status as s, user_id as u from orders) r where r.s = $1 and r.u = $2', 'some'],
]

const DOCUMENTS: Construct[] = [
  ['select id from users where data->>$1 = $2', 1],
  ['select id from users where data @> $1', 1],
  ['select id from users where data ? $1', 400],
  ['select id from users where data ?| $1', 400],
  ['select id from users where tags @> $1', 'some'],
  ['select id from users where tags && array[$1]', 'some'],
  ['select id from users where $1 = any(tags)', 'some'],
]

const CONSTANTS: Construct[] = [
  [
    'select date_trunc($1, created_at), count(*) from orders group by date_trunc($2, created_at) order by date_trunc($3, created_at)',
    1,
    'select date_trunc($1, created_at), count(*) from orders group by date_trunc($1, created_at) order by date_trunc($1, created_at)',
  ],
  // What the server itself leaves of: distinct on (date_trunc('day', ...)) ... order by date_trunc('day', ...).
  [
    "select distinct on (date_trunc('', created_at)) id from orders order by date_trunc($1, created_at), id",
    1,
    'select distinct on (date_trunc($1, created_at)) id from orders order by date_trunc($1, created_at), id',
  ],
  [
    'select extract($1 from created_at), count(*) from orders group by extract($2 from created_at)',
    1,
    'select extract(day from created_at), count(*) from orders group by extract(day from created_at)',
  ],
  [
    'select extract($1 from opens) from orders where id = $2',
    1,
    'select extract(epoch from opens) from orders where id = $1',
  ],
  ['select to_char(created_at, $1) from orders where id = $2', 1],
  [
    'select sum(case when status = $1 then $2 else $3 end) from orders where user_id = $4',
    1,
    'select sum(case when status = $1::text then $2::integer else $3::integer end) from orders where user_id = $4::bigint',
  ],
  [
    'select * from orders where placed_on >= date $1 order by id limit $2',
    1,
    'select * from orders where placed_on >= $1::date order by id limit $2',
  ],
  [
    'select id from orders where id = $1 and created_at < now() - interval $2 day to second',
    1,
    'select id from orders where id = $1 and created_at < now() - $2::interval day to second',
  ],
  ['select substring(name from $1 for $2) from users where id = $3', 1],
  ['select status, count(*) from orders group by $1', 2, 'select status, count(*) from orders group by 1'],
  ['select status from orders where id = $1 order by 1 desc', 1],
  ['select distinct coalesce(status, $1) from orders', 2],
  ['select count(*) filter (where status = $1), coalesce(sum(total), $2) from orders where user_id = $3', 1],
  ['select $1 as one', 1],
  ['select shout($1)', 1],
  ['select pg_notify($1, $2)', 1],
]

const WRITES: Construct[] = [
  ['insert into users (email, name, mood, data, tags) values ($1, $2, $3, $4, $5) returning id', 1],
  ['insert into order_items (order_id, line, sku, qty) values ($1, $2, $3, $4), ($5, $6, $7, $8)', 2],
  [
    'insert into orders (user_id, status, total, placed_on, created_at, opens, version) values ($1, $2, $3, $4, $5, $6, DEFAULT)',
    1,
  ],
  [
    'insert into settings (user_id, key, value) values ($1, $2, $3) on conflict (user_id, key) do update set value = excluded.value, key = $4',
    1,
  ],
  [
    'insert into users (email, name, mood, data, tags) select $1, $2, $3, $4, $5 where not exists (select $6 from users where email = $1)',
    1,
  ],
  ['insert into settings (user_id, key) select * from unnest($1::bigint[], $2::text[])', 1],
  [
    'merge into settings s using (values ($1::bigint, $2, $3::jsonb)) v(u, k, d) on s.user_id = v.u and s.key = v.k when matched then update set value = v.d when not matched then insert (user_id, key, value) values (v.u, v.k, v.d)',
    1,
  ],
  ['update users set logins = logins + $1 where id = $2', 1],
  ['update users set id = $1, name = $2, mood = $3 where id = $4 returning id', 1],
  ['update users set (name, mood) = ($1, $2) where id = $3', 1],
  ['update orders o set status = $1 from users u where u.id = o.user_id and u.email = $2', 'some'],
  ['update orders set status = $1, version = version + $2 where id = $3 and version = $4', 1],
  ['update users set name = case when id = $1 then $2 when id = $3 then $4 end where id in ($5, $6)', 2],
  ['update users set name = v.n from (values ($1::bigint, $2), ($3, $4)) v(id, n) where v.id = users.id', 2],
  ['update users set tags = array_append(tags, $1), data = data || $2 where id = $3', 1],
  ['update users set data = jsonb_set(data, $1, $2) where id = $3', 1],
  ['update order_items set qty = $1 where order_id = $2 and line = $3', 1],
  ['delete from settings where user_id = $1 and key = $2', 1],
  ['delete from orders where created_at < $1', 'some'],
]

const ALL = [LOOK_UPS, LISTS, RANGES, JOINS, DOCUMENTS, CONSTANTS, WRITES].flat()

describe('parameters', () => {
  let byText: Map<string, ScriptOperation>
  let traffic: ProductionTraffic

  beforeAll(async () => {
    // Unlike calls tell which operation came of which statement; a row a call makes limits and lists short.
    const entries = ALL.map(([query], i) => ({ query, calls: 1000 + i, rows: 1000 + i }))
    traffic = await play(shop, profileOf(entries))
    const byCalls = new Map(traffic.operations.map((operation) => [operation.weight, operation]))
    byText = new Map(
      ALL.flatMap(([query], i) => {
        const operation = byCalls.get(1000 + i)
        return operation ? [[query, operation] as const] : []
      }),
    )
  })

  test.each(ALL)('%s', async (query, rows, rewritten) => {
    const operation = byText.get(query)
    if (operation === undefined) throw new Error(`left out: ${JSON.stringify(traffic.leftOut)}`)
    const found = await runs(shop, { ...traffic, operations: [operation] }, 3)
    if (rows === 'some' || (query.includes('group by') && rows === 1)) expect(Math.min(...found)).toBeGreaterThan(0)
    else if (query.includes('distinct on')) expect(Math.min(...found)).toBeGreaterThan(300)
    else expect(found).toEqual([rows, rows, rows])
    if (rewritten !== undefined) expect(operation.normalisedSql).toEqual([rewritten])
  })

  test('everything is played, and nothing that is shown has a value of a row in it', () => {
    expect(traffic.leftOut).toEqual([])
    expect(traffic.coverage).toEqual({
      calls: ALL.reduce((sum, _, i) => sum + 1000 + i, 0),
      callsPlayed: ALL.reduce((sum, _, i) => sum + 1000 + i, 0),
      statements: ALL.length,
      statementsPlayed: ALL.length,
    })
    expect(traffic.text).toBe(`100 % of production's calls, ${ALL.length} of ${ALL.length} statements; none left out`)
    expect(JSON.stringify(traffic)).not.toContain(CANARY)
    const bound = traffic.operations.map((operation) => operation.bind(VARIABLES, new Random(1)))
    expect(JSON.stringify(bound)).toContain(CANARY)
  })

  test('names are unique and could stand in a script', () => {
    const names = traffic.operations.map(({ name }) => name)
    expect(new Set(names).size).toBe(ALL.length)
    for (const name of names) expect(name).toMatch(/^[\p{L}\p{N}_][\p{L}\p{N}_ ./-]{0,62}$/u)
    expect(names).toContain('update orders join users by email')
    expect(names).toContain('select orders by status and total and placed_on and opens')
    expect(names).toContain('select stock.products by sku')
  })

  test('the same stream of random numbers gives the same values, another one others', async () => {
    const again = await play(
      shop,
      profileOf(ALL.map(([query], i) => ({ query, calls: 1000 + i, rows: 1000 + i })).reverse()),
    )
    const values = ({ operations }: ProductionTraffic, seed: number): unknown =>
      operations.map((operation) => [operation.name, operation.bind(VARIABLES, new Random(seed))])
    expect(JSON.stringify(values(again, 1)).replace(/"line":\d+/g, '')).toBe(
      JSON.stringify(values(traffic, 1)).replace(/"line":\d+/g, ''),
    )
    expect(values(traffic, 2)).not.toEqual(values(traffic, 1))
  })
})

test('inserts stay unique, and an upsert meets rows that are there about every other time', async () => {
  const { operations } = await play(
    shop,
    profileOf([
      'insert into users (email, name, mood, data, tags) values ($1, $2, $3, $4, $5)',
      'insert into settings (user_id, key, value) values ($1, $2, $3) on conflict (user_id, key) do update set value = $3 returning xmin::text = xmax::text as there',
    ]),
  )
  const [upsert, insert] = [...operations].sort((a, b) => (a.name > b.name ? -1 : 1))
  const random = new Random('many')
  let there = 0
  await shop.sql.unsafe('begin')
  for (let i = 0; i < 40; i++)
    for (const operation of [insert, upsert]) {
      const [step] = operation?.bind(VARIABLES, random.fork(i)) ?? []
      if (step?.kind !== 'statement') throw new Error('no statement')
      const rows = await shop.sql.unsafe<{ there: boolean }[]>(step.bound.text, step.bound.params)
      if (rows[0]?.there === true) there++
    }
  await shop.sql.unsafe('rollback')
  expect(there).toBeGreaterThan(8)
  expect(there).toBeLessThan(36)
})

describe('what is left out', () => {
  const PLAYED = 'select * from users where id = $1'

  test.each<[query: string, what: string, reason: RegExp]>([
    ['BEGIN', 'BEGIN', /utility/],
    ['start transaction isolation level serializable', 'BEGIN', /utility/],
    ['COMMIT', 'COMMIT', /utility/],
    ['SET app.tenant TO $1', 'SET', /utility/],
    [`SET app.tenant = '${CANARY}'`, 'SET', /utility/],
    ['SAVEPOINT s1', 'SAVEPOINT', /utility/],
    [`COPY users FROM '/tmp/${CANARY}'`, 'COPY', /utility/],
    ['COPY', 'COPY', /utility/],
    ['VACUUM (ANALYZE) users', 'VACUUM', /utility/],
    ['DECLARE c CURSOR FOR SELECT * FROM users WHERE id > $1', 'DECLARE', /utility/],
    ['FETCH $1 IN c', 'FETCH', /utility/],
    ['EXPLAIN SELECT $1', 'EXPLAIN', /utility/],
    ['CREATE INDEX CONCURRENTLY i ON users (name)', 'CREATE', /utility/],
    ['CALL do_it($1)', 'CALL', /code/],
    ['DO $1', 'DO', /code/],
    ['<insufficient privilege>', '(text not in the profile)', /not readable/],
    [NOT_EXPORTED, '(text not in the profile)', /constants/],
    ['select id, name from users where na', 'select id, name from users where na', /42703: column "na" does not exist/],
    ['select id from users where (id = $1 and', 'select id from users where (id = $1 and', /does not parse/],
    [`select 1; select '${CANARY}'`, 'select $1; select $2', /several/],
    ['select * into copied from users', 'select * into copied from users', /makes a table/],
    ['select * from pg_temp.work', 'select * from pg_temp.work', /temporary/],
    [
      'select relname from pg_catalog.pg_class where oid = $1',
      'select relname from pg_catalog.pg_class where oid = $1',
      /catalog/,
    ],
    ['select count(*) from pg_stat_activity', 'select count(*) from pg_stat_activity', /catalog/],
    ['select pg_is_in_recovery()', 'select pg_is_in_recovery()', /own state/],
    ['select pg_sleep($1) from users', 'select pg_sleep($1) from users', /pg_sleep/],
    ['select lo_unlink($1)', 'select lo_unlink($1)', /lo_unlink/],
    ['select * from dblink($1, $2) as t(a int)', 'select * from dblink($1, $2) as t(a int)', /dblink/],
    ['select pg_advisory_lock($1)', 'select pg_advisory_lock($1)', /outlives/],
    ['select set_config($1, $2, $3)', 'select set_config($1, $2, $3)', /session/],
    ['select nextval($1)', 'select nextval($1)', /name of an object/],
    [
      'select gone from users where id = $1',
      'select gone from users where id = $1',
      /42703: column "gone" does not exist/,
    ],
    [
      'select * from nowhere where id = $1',
      'select * from nowhere where id = $1',
      /42P01: relation "nowhere" does not exist/,
    ],
    ['delete from users where id = $1', 'delete from users where id = $1', /3 of 3 times .*23503/],
  ])('%s', async (query, what, reason) => {
    const { operations, leftOut, coverage } = await play(
      shop,
      profileOf([
        { query, calls: 7 },
        { query: PLAYED, calls: 3 },
      ]),
    )
    expect(operations.map(({ statementTexts }) => statementTexts)).toEqual([[PLAYED]])
    expect(leftOut).toEqual([{ what, calls: 7, reason: expect.stringMatching(reason) as string }])
    expect(coverage).toEqual({ calls: 10, callsPlayed: 3, statements: 2, statementsPlayed: 1 })
    expect(JSON.stringify(leftOut)).not.toContain(CANARY)
  })

  test('is counted by calls; what runs inside functions is not, and other roles are somebody else', async () => {
    const traffic = await play(
      shop,
      profileOf(
        [
          { query: `${PLAYED} -- ${CANARY}`, calls: 60 },
          { query: `/* ${CANARY} */ ${PLAYED}`, calls: 30, user: 'other' },
          { query: 'select name from users where id = $1', calls: 5, toplevel: false },
          { query: 'select email from users where id = $1', calls: 40, user: 'rdsadmin' },
          { query: 'select mood from users where id = $1', calls: 20, user: 'reports' },
          { query: `SET a = '${CANARY}'`, calls: 30 },
          { query: 'SET b TO $1', calls: 15 },
          { query: `select ${'name, '.repeat(60)} gone from users`, calls: 5 },
        ],
        { deallocated: 3 },
      ),
      { isOurs: ({ user }) => user !== 'reports', factor: 2 },
    )
    expect(traffic.operations).toHaveLength(1)
    expect(traffic.operations[0]).toMatchObject({
      name: 'select users by id',
      weight: 90,
      source: 'production',
      prepared: true,
    })
    expect(traffic.coverage).toEqual({ calls: 200, callsPlayed: 90, statements: 6, statementsPlayed: 1 })
    expect(traffic.ratePerSecond).toBeCloseTo((90 / 3600) * 2)
    expect(traffic.leftOut.map(({ what, calls }) => [what.slice(0, 20), calls])).toEqual([
      ['SET', 45],
      ['select email from us', 40],
      ['select mood from use', 20],
      ['select name, name, n', 5],
    ])
    expect(traffic.leftOut.at(-1)?.what).toHaveLength(120)
    expect(traffic.text).toBe(
      "45 % of production's calls, 1 of 6 statements; 5 left out; BEGIN, COMMIT, SET and the like are 22 % of the calls; " +
        'production has thrown out statements that are called rarely, so there are more',
    )
    expect(JSON.stringify(traffic)).not.toContain(CANARY)
  })

  test('statements beyond the number that is played are those that are called least', async () => {
    const entries = ['id', 'name', 'email'].map((column, i) => ({
      query: `select ${column} from users limit $1`,
      calls: 10 - i,
    }))
    const { operations, leftOut } = await play(shop, profileOf(entries, { since: null }), { most: 2 })
    expect(operations.map(({ weight }) => weight)).toEqual([10, 9])
    expect(leftOut).toEqual([
      {
        what: 'select email from users limit $1',
        calls: 8,
        reason: 'is not among the 2 statements that are called most',
      },
    ])
  })

  test('a profile without a time span has no rate', async () => {
    expect((await play(shop, profileOf([PLAYED], { since: null }))).ratePerSecond).toBeNull()
  })
})

test('the statement for psql brings what a real server has counted, and no constant', async () => {
  const admin = connect(server.admin)
  await admin`select pg_stat_statements_reset()`
  const app = connect(server.app, { fetch_types: false })
  const texts = [
    `select * from users where email = '${CANARY}'`,
    `/* ${CANARY} */ select id from users where id in (1, 2, 3, 77777) -- ${CANARY}`,
    "select date_trunc('day', created_at), count(*) from orders group by date_trunc('day', created_at)",
    "select distinct on (date_trunc('day', created_at)) id from orders order by date_trunc('day', created_at), id limit 3",
    `select count(*) from orders where created_at > now() - interval '1' day and status = '${CANARY}'`,
    `set application_name = '${CANARY}'`,
    `do $$ begin perform '${CANARY}'; end $$`,
  ]
  for (const text of texts) await app.unsafe(text)
  await app.end()
  const [row] = await admin.unsafe<{ jsonb_pretty: string }[]>(PROFILE_STATEMENTS_SQL)
  await admin.end()
  const text = row?.jsonb_pretty ?? ''
  expect(text).not.toContain(CANARY)
  expect(text).not.toContain('77777')
  const profile = readProfile(text, 'profile.json')
  expect(Date.parse(profile.statements?.since ?? '')).toBeLessThan(Date.parse(profile.statements?.takenAt ?? ''))
  const entries = (profile.statements?.entries ?? []).filter(({ user }) => user === 'app')
  expect(entries.map(({ query }) => query).sort()).toEqual([
    'DO',
    'SET',
    'select * from users where email = $1',
    'select count(*) from orders where created_at > now() - interval $1 day and status = $2',
    "select date_trunc($1, created_at), count(*) from orders group by date_trunc('', created_at)",
    "select distinct on (date_trunc('', created_at)) id from orders order by date_trunc($1, created_at), id limit $2",
    'select id from users where id in ($1 /*, ... */)',
  ])
  expect(text.split('\n')[(entries[0]?.line ?? 0) - 1]).toContain('"query"')
  // What was rolled back is counted, too.
  expect(activityOf(profile).get('users')?.inserted).toBeGreaterThanOrEqual(400)
  expect(activityOf(profile).get('stock.products')?.inserted).toBe(50)
  const traffic = await play(shop, profile)
  expect(traffic.leftOut.map(({ what }) => what)).toEqual(expect.arrayContaining(['DO', 'SET']))
  expect(traffic.operations).toHaveLength(5)
})

test('a text that the server has stored with its constants stays there', async () => {
  const admin = connect(server.admin)
  const held = [
    `select * from users where email = '${CANARY}'`,
    'select * from users where id = 4711',
    'select * from users where id in ($1, 4711)',
    `insert into t values (1, '${CANARY}', 4711)`,
    `select * from users where id = $1 and name = E'a\\'${CANARY}'`,
    `select $x$${CANARY}$x$, $1`,
  ]
  const blanked = `select coalesce(name, $1), count(*) from users where id > 4711 and x = $2 group by coalesce(name, '${CANARY}')`
  await admin.begin(async (sql) => {
    await sql.unsafe(`create schema fake; set local search_path = fake, public;
      create table pg_stat_statements (userid oid, dbid oid, toplevel bool, query text, calls bigint, rows bigint, total_exec_time float8)`)
    for (const query of [...held, blanked])
      await sql`insert into fake.pg_stat_statements
                select 10, oid, true, ${query}, 1, 1, 1 from pg_database where datname = current_database()`
    const [row] = await sql.unsafe<{ jsonb_pretty: string }[]>(PROFILE_STATEMENTS_SQL)
    const entries = readProfile(row?.jsonb_pretty ?? '', 'profile.json').statements?.entries ?? []
    expect(entries.map(({ query, calls }) => [query, calls])).toEqual([
      [NOT_EXPORTED, held.length],
      ["select coalesce(name, $1), count(*) from users where id > 0 and x = $2 group by coalesce(name, '')", 1],
    ])
    await sql.unsafe('drop schema fake cascade')
  })
  await admin.end()
})

test('of the new release, what its schema accepts is played under the same names', async () => {
  const entries = [
    { query: 'select logins from users where id = $1', calls: 5 },
    { query: 'select name from users where id = $1', calls: 4 },
    { query: 'insert into settings (user_id, key, value) values ($1, $2, $3)', calls: 3 },
  ]
  const old = await play(shop, profileOf(entries))
  const admin = connect(server.admin)
  await admin.unsafe('alter table users drop column logins')
  await admin.end()
  const after = await openShop(server.app)
  const next = await play(after, profileOf(entries), { release: 'new' })
  await after.sql.end()
  expect(old.operations.map(({ weight }) => weight)).toEqual([5, 4, 3])
  expect(next.operations.map(({ release, name }) => [release, name])).toEqual(
    old.operations.slice(1).map(({ name }) => ['new', name]),
  )
  expect(next.leftOut).toEqual([
    {
      what: 'select logins from users where id = $1',
      calls: 5,
      reason: 'after the migration the server does not accept it (42703: column "logins" does not exist)',
    },
  ])
  expect(next.text).toBe(
    "58 % of production's calls, 2 of 3 statements; 1 left out; they are the old release's statements, those that the schema after the migration accepts",
  )
})
