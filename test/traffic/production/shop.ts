/** A small shop with most kinds of columns, and helpers to play statements on it. */
import type postgres from 'postgres'
import { readProfile, type Profile } from '../../../src/profile/index.js'
import { connect as open, sendTextAsItIs, type Sql } from '../../../src/pg/connect.js'
import type { Address } from '../../../src/pg/connect.js'
import { productionOperations, type ProductionTraffic } from '../../../src/traffic/production/index.js'
import { Random } from '../../../src/traffic/random.js'
import {
  readShape,
  samplePools,
  valueMaker,
  type Pools,
  type SchemaShape,
  type ValueMaker,
} from '../../../src/values/index.js'

/** Stands in every row; nothing that is written down may hold it. */
export const CANARY = 'CANARY7'

const SCHEMA = `
  create type mood as enum ('calm', 'angry');
  create schema stock;
  create table users (
    id bigserial primary key, email text not null unique, name varchar(60) not null, mood mood not null,
    created_at timestamptz not null default now(), deleted_at timestamptz, data jsonb not null, tags text[] not null,
    logins integer not null default 0);
  create unique index on users (lower(email));
  create table stock.products (sku text primary key, price numeric(10,2) not null check (price > 0), name text not null);
  create table orders (
    id uuid primary key default gen_random_uuid(), user_id bigint not null references users, status text not null,
    total numeric(10,2) not null, placed_on date not null, created_at timestamp not null, opens time, version int not null default 1);
  create table order_items (
    order_id uuid not null references orders on delete cascade, line int not null, sku text not null references stock.products,
    qty int not null check (qty between 1 and 999), primary key (order_id, line));
  create table settings (user_id bigint not null references users, key text not null, value jsonb, primary key (user_id, key));
  create view active_users as select u.id as who, u.email as address from users u where u.deleted_at is null;
  create function shout(text) returns text language sql as 'select upper($1)';
  grant usage on schema stock to app;
  grant all on all tables in schema public to app;
  grant all on all tables in schema stock to app;
  grant all on all sequences in schema public to app;
`

const ROWS = `
  insert into users (email, name, mood, created_at, deleted_at, data, tags, logins)
    select 'User' || i || '.${CANARY}@example.com', '${CANARY} name ' || i, case when i % 3 = 0 then 'angry' else 'calm' end::mood,
           timestamptz '2024-01-01' + i * interval '1 hour', case when i % 4 = 0 then now() end,
           jsonb_build_object('city', '${CANARY} city ' || i, 'age', i), array['${CANARY}' || i, 'common'], i
      from generate_series(1, 400) i;
  insert into stock.products select '${CANARY}-' || i, 1 + i / 10.0, '${CANARY} product ' || i from generate_series(1, 50) i;
  insert into orders (user_id, status, total, placed_on, created_at, opens)
    select 1 + i % 400, case when i % 5 = 0 then '${CANARY} open' else '${CANARY} paid' end, i, date '2024-01-01' + i % 365,
           timestamp '2024-01-01' + i * interval '7 hours', time '08:00' + i * interval '1 second'
      from generate_series(1, 1200) i;
  insert into order_items select o.id, l, '${CANARY}-' || (1 + (row_number() over ()) % 50), 1 + l from orders o, generate_series(1, 2) l;
  insert into settings select i, '${CANARY} key', '{"a": 1}' from generate_series(1, 300) i;
  analyze;
`

export async function fillShop(sql: postgres.Sql): Promise<void> {
  await sql.unsafe(SCHEMA).simple()
  await sql.unsafe(ROWS).simple()
}

export interface Shop {
  sql: Sql
  shape: SchemaShape
  pools: Pools
  maker: ValueMaker
}

export async function openShop(address: Address): Promise<Shop> {
  const sql = open(address, { applicationName: 'test' })
  sendTextAsItIs(sql, () => true)
  const shape = await readShape(sql, { role: 'app' })
  const pools = await samplePools(sql, shape, { seedNumber: 1 })
  return { sql, shape, pools, maker: valueMaker(shape, pools, { seedNumber: 1 }) }
}

export type EntryGiven = string | { query: string; calls?: number; rows?: number; user?: string; toplevel?: boolean }

/** A profile of these statements, an hour of calls. */
export function profileOf(entries: readonly EntryGiven[], more: Record<string, unknown> = {}): Profile {
  const given = entries.map((entry) => (typeof entry === 'string' ? { query: entry } : entry))
  return readProfile(
    JSON.stringify({
      statements: {
        since: '2026-01-01T00:00:00Z',
        takenAt: '2026-01-01T01:00:00Z',
        entries: given.map((entry) => ({ calls: 10, rows: 10, meanMs: 1, ...entry })),
        ...more,
      },
    }),
    'profile.json',
  )
}

export const play = (
  shop: Shop,
  profile: Profile,
  more: Partial<Parameters<typeof productionOperations>[0]> = {},
): Promise<ProductionTraffic> => productionOperations({ profile, ...shop, release: 'old', factor: 1, ...more })

export const VARIABLES = { rows: 1000, clientId: 0, seed: 1 }

/** Runs the only operation of the traffic with drawn values and rolls back; rows returned or changed, run by run. */
export async function runs(shop: Shop, traffic: ProductionTraffic, count = 5): Promise<number[]> {
  const [operation] = traffic.operations
  if (operation === undefined) throw new Error(`not played: ${JSON.stringify(traffic.leftOut)}`)
  const rows: number[] = []
  for (let i = 0; i < count; i++) {
    const [step] = operation.bind(VARIABLES, new Random(`run ${i}`))
    if (step?.kind !== 'statement') throw new Error('no statement')
    await shop.sql.unsafe('begin')
    try {
      const { count: found } = await shop.sql.unsafe(step.bound.text, step.bound.params, { prepare: true })
      rows.push(found)
    } finally {
      await shop.sql.unsafe('rollback')
    }
  }
  return rows
}
