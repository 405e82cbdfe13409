/** Filling what has no seed: order, circles, what stands in the way, and that the same number gives the same rows. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type postgres from 'postgres'
import { RehearsalError } from '../../../src/errors.js'
import { syncSequences } from '../../../src/seeds/finish.js'
import { fillOrder, rowCounts } from '../../../src/seeds/generated/order.js'
import { fillFromSchema, type FillFromSchemaOptions } from '../../../src/seeds/index.js'
import { readShape } from '../../../src/values/index.js'
import { connect, startServer, type TestServer } from '../../support/postgres.js'

let server: TestServer
let admin: postgres.Sql
let owner: postgres.Sql

beforeAll(async () => {
  server = await startServer()
  admin = connect(server.admin, { fetch_types: false })
  owner = connect(server.migrate, { fetch_types: false })
})
afterAll(async () => {
  await owner.end()
  await admin.end()
  await server.stop()
})
beforeEach(async () => {
  await admin.unsafe('drop schema public cascade; create schema public; grant all on schema public to owner').simple()
})

async function fill(schema: string, options: Partial<FillFromSchemaOptions> = {}) {
  await owner.unsafe(schema).simple()
  return fillFromSchema({ owner, admin, shape: await readShape(admin), rows: 200, seedNumber: 1, ...options })
}
const one = async (query: string): Promise<unknown> => (await admin.unsafe(query).values())[0]?.[0]

describe('the order', () => {
  test('puts referred tables first, opens circles where NULL is permitted, and gives a tenth of the rows a level', async () => {
    await owner
      .unsafe(
        `create table a (id int primary key, c int);
         create table b (id int primary key, a int not null references a);
         create table c (id int primary key, b int not null references b, c int references c);
         alter table a add foreign key (c) references c;
         create table d (id int primary key, c int references c, x int);
         create table x (id int primary key, y int not null); create table y (id int primary key, x int not null references x);
         alter table x add foreign key (y) references y; create table z (x int not null references x);`,
      )
      .simple()
    const { tables } = await readShape(admin)
    const order = fillOrder(tables)
    const names = order.steps.map((step) => step.tables.map(({ name }) => name).join('+'))
    expect(names).toEqual(['x+y', 'z', 'a', 'b', 'c', 'd'])
    expect(order.later.map(({ foreignKey }) => foreignKey.name)).toEqual(['a_c_fkey'])
    expect(Object.fromEntries(rowCounts(tables, order, 1_000_000))).toEqual({
      ...{ d: 1_000_000, c: 100_000, b: 10_000, a: 1_000 },
      ...{ z: 1_000_000, x: 100_000, y: 1_000_000 },
    })
    expect(rowCounts(tables, order, 2000).get('a')).toBe(100)
    expect(rowCounts(tables, order, 10).get('a')).toBe(10)
  })
})

describe('filling', () => {
  const SHOP = `
    create table people (id bigint generated always as identity primary key, email text not null unique, boss bigint references people, name text);
    create table orders (id serial primary key, person bigint not null references people, state text not null check (state in ('new', 'old')),
      number text not null default 'N-' || nextval('people_id_seq'), note text);
    create table bills (order_id int primary key references orders, amount numeric(8,2) not null);`

  test('gives rows that refer to existing ones unevenly, with some NULLs, and leaves the sequences usable', async () => {
    const progress: string[] = []
    const result = await fill(SHOP, {
      onProgress: ({ table, rows, of }) => void progress.push(`${table} ${rows}/${of}`),
    })
    expect(result).toEqual({
      tables: [
        { name: 'people', rows: 100 },
        { name: 'orders', rows: 100 },
        { name: 'bills', rows: 100 },
      ],
      left: [],
      assumptions: ['bills has only 100 rows: no row of orders is left to refer to'],
    })
    expect(progress).toContain('people 100/100')
    expect(await one('select count(distinct lower(email))::int from people')).toBe(100)
    expect(Number(await one('select count(*) from orders where note is null'))).toBeGreaterThan(0)
    expect(Number(await one('select count(*) from orders where note is null'))).toBeLessThan(25)
    expect(Number(await one('select count(boss) from people'))).toBeGreaterThan(60)
    const most = await one('select max(n)::int from (select count(*) n from orders group by person) s')
    expect(most).toBeGreaterThan(1)
    expect(await one("select bool_and(number like 'N-%') from orders")).toBe(true)
    await syncSequences(admin)
    await admin.unsafe("insert into orders (person, state) values (1, 'new')")
  })

  test('gives the same rows for the same number, and others for another', async () => {
    const rows: unknown[] = []
    for (const seedNumber of [1, 1, 2]) {
      await admin
        .unsafe('drop schema public cascade; create schema public; grant all on schema public to owner')
        .simple()
      await fill(SHOP, { seedNumber })
      rows.push(await one('select md5(string_agg(p::text, $$$$ order by id)) from people p'))
    }
    expect(rows[1]).toBe(rows[0])
    expect(rows[2]).not.toBe(rows[0])
  })

  test('sets references of a circle afterwards, each once where it must be', async () => {
    const result = await fill(`
      create table teams (id serial primary key, captain int unique, tenant int not null);
      create table players (id serial primary key, team int not null references teams, tenant int not null, unique (tenant, id));
      alter table teams add foreign key (captain) references players;
      create table eggs (id int primary key, hen int not null); create table hens (id int primary key, egg int not null references eggs deferrable);
      alter table eggs add foreign key (hen) references hens deferrable;`)
    expect(result).toMatchObject({ left: [], assumptions: [] })
    expect(await one('select count(captain)::int from teams')).toBe(90)
    expect(await one('select count(*)::int from eggs join hens on hens.id = eggs.hen')).toBe(200)
  })

  test('leaves a table that cannot be filled, and what needs it, and nothing else', async () => {
    const result = await fill(`
      create function never(int) returns boolean immutable language sql as 'select false';
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'row % is refused', new; end $$;
      create table closed (id int primary key, n int not null check (never(n)));
      create table needs (closed int not null references closed);
      create table wants (id int primary key, closed int references closed);
      create table guarded (id int primary key, secret text not null);
      create trigger no before insert on guarded for each row execute function refuse();
      create table ring_a (id int primary key, b int not null); create table ring_b (id int primary key, a int not null references ring_a);
      alter table ring_a add foreign key (b) references ring_b;
      create table fine (id int primary key);
      create table nothing ();`)
    expect(result.left).toEqual([
      {
        table: 'closed',
        reason: 'check constraint "closed_n_check" of relation "closed" is violated (SQLSTATE 23514)',
      },
      { table: 'guarded', reason: expect.stringMatching(/^a function or trigger raised an exception/) as unknown },
      { table: 'needs', reason: 'no row of closed to refer to' },
      { table: 'ring_a', reason: expect.stringContaining('circle of required references') as unknown },
      { table: 'ring_b', reason: expect.stringContaining('circle of required references') as unknown },
    ])
    expect(result.tables.filter(({ name }) => name !== 'nothing')).toEqual([
      { name: 'fine', rows: 200 },
      { name: 'wants', rows: 200 },
    ])
    expect(await one('select count(closed)::int from wants')).toBe(0)
  })

  test('keeps what there is room for, and goes on without the rows that are refused', async () => {
    const result = await fill(
      `
      create function fussy() returns trigger language plpgsql as $$ begin if new.id = 700 then raise exception 'no'; end if; return new; end $$;
      create table flags (flag boolean primary key);
      create table codes (code char(1) primary key, small smallint not null check (small between 1 and 20) unique);
      create table pairs (flag boolean not null references flags, code char(1) not null references codes, primary key (flag, code));
      create table big (id serial primary key, v text);
      create trigger fussy before insert on big for each row execute function fussy();`,
      { rows: 2000 },
    )
    expect(result.left).toEqual([])
    const rows = Object.fromEntries(result.tables.map((table) => [table.name, table.rows]))
    expect(rows).toMatchObject({ flags: 2, codes: 20 })
    expect(rows['pairs']).toBeGreaterThan(30)
    expect(rows['big']).toBeGreaterThan(1000)
    expect(await one('select count(*)::int from big')).toBe(rows['big'])
  })

  test('leaves tables that have rows or are excluded, refers to them, and writes what only a superuser may', async () => {
    const result = await fill(
      `create table journal (id int); create table there (id int primary key); insert into there values (41), (42);
       create table refers (id int primary key, there int not null references there);
       create table locked (id int primary key); alter table locked enable row level security; alter table locked force row level security;
       create table log (id serial, what text);
       create function logs() returns trigger language plpgsql as $$ begin insert into log (what) values ('x'); return new; end $$;
       create trigger logs after insert on refers for each row execute function logs();`,
      { exclude: ({ name }) => name === 'journal' },
    )
    expect(result.tables.map(({ name }) => name).sort()).toEqual(['locked', 'log', 'refers'])
    expect(await one('select array_agg(distinct there)::text from refers')).toBe('{41,42}')
    expect(await one('select count(*)::int from journal')).toBe(0)
  })

  test('stops when it is told to', async () => {
    const control = new AbortController()
    const stopped = fill('create table t (id int primary key); create table u (id int primary key)', {
      rows: 50_000,
      signal: control.signal,
      onProgress: () => control.abort(),
    })
    await expect(stopped).rejects.toBeInstanceOf(RehearsalError)
    expect(await one('select count(*)::int from t')).toBe(0)
    expect(await one('select 1')).toBe(1)
  })
})
