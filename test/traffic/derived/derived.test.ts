import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connect as connectTo, disconnect, sendTextAsItIs, type Sql } from '../../../src/pg/connect.js'
import { parseSql } from '../../../src/sql/parser.js'
import type { Release } from '../../../src/recording.js'
import {
  coverage,
  deriveOperations,
  verifyOperations,
  type Activity,
  type Derived,
  type DerivedOperation,
} from '../../../src/traffic/derived/index.js'
import { parseHeader } from '../../../src/traffic/script-header.js'
import { Random } from '../../../src/traffic/random.js'
import { readShape, samplePools, valueMaker, type Pools, type SchemaShape } from '../../../src/values/index.js'
import { startServer, type TestServer } from '../../support/postgres.js'
import { ROWS, SHOP } from './schema.js'

const VARIABLES = { rows: 200, clientId: 0, seed: 1 }

let server: TestServer
let app: Sql
let admin: Sql
let shape: SchemaShape
let pools: Pools

beforeAll(async () => {
  server = await startServer({
    fill: async (sql) => {
      await sql.unsafe(SHOP + ROWS).simple()
      await sql
        .unsafe(
          `grant usage on schema public, app to app; grant all on all tables in schema public, app to app;
           grant all on all sequences in schema public, app to app; revoke insert on customers from app; analyze`,
        )
        .simple()
    },
  })
  app = connectTo(server.app, { applicationName: 'derived app' })
  admin = connectTo(server.admin, { applicationName: 'derived admin' })
  sendTextAsItIs(app, () => true)
  shape = await readShape(app, { role: 'app' })
  pools = await samplePools(app, shape, { seedNumber: 1 })
})

afterAll(async () => {
  await disconnect(app)
  await disconnect(admin)
  await server.stop()
})

interface Wanted {
  of?: SchemaShape
  release?: Release
  touched?: string[]
  exclude?: string[]
  activity?: ReadonlyMap<string, Activity>
  most?: number
}
const derive = ({ of = shape, release = 'old', touched = [], exclude = [], activity, most }: Wanted = {}): Derived =>
  deriveOperations({
    shape: of,
    pools,
    maker: valueMaker(of, pools, { seedNumber: 1 }),
    release,
    touched: new Set(touched),
    exclude: new Set(exclude),
    ...(activity ? { activity } : {}),
    ...(most === undefined ? {} : { most }),
  })
const named = (operations: readonly DerivedOperation[], name: string): DerivedOperation => {
  const found = operations.find((operation) => operation.name === name)
  if (!found) throw new Error(`no ${name} among ${operations.map((one) => one.name).join(', ')}`)
  return found
}
const sqlOf = (operations: readonly DerivedOperation[], name: string): string =>
  named(operations, name).statementTexts.join('; ')
const weightOf = (operations: readonly DerivedOperation[], which: (one: DerivedOperation) => boolean): number =>
  operations.filter(which).reduce((sum, { weight }) => sum + weight, 0)
const isWrite = ({ does }: DerivedOperation): boolean => ['insert', 'update', 'upsert', 'delete'].includes(does)

describe('what is derived', () => {
  test('an operation of each kind, as an ORM writes it', () => {
    const { operations } = derive()
    expect(sqlOf(operations, 'orders/read by id')).toBe(
      'select id, customer_id, parent_id, status, total, note, tags, created_at, "group", total_with_tax from public.orders where id = $1',
    )
    expect(sqlOf(operations, 'customers/read by email')).toMatch(/ where email = \$1$/)
    expect(sqlOf(operations, 'orders/read by customer_id')).toMatch(/ where customer_id = \$1 order by id limit 20$/)
    expect(sqlOf(operations, 'orders/read by status from created_at')).toMatch(
      / where status = \$1 and created_at >= \$2 order by created_at, id limit 20$/,
    )
    expect(sqlOf(operations, 'orders/search tags')).toMatch(/ where tags @> \$1 order by id limit 20$/)
    expect(sqlOf(operations, 'orders/read from created_at')).toMatch(
      / where \(status = 'new'::(?:public\.)?order_status\) and created_at >= \$1 order by created_at, id limit 20$/,
    )
    expect(sqlOf(operations, 'orders/list')).toMatch(/ from public.orders order by id limit 50$/)
    expect(sqlOf(operations, 'orders/insert')).toBe(
      'insert into public.orders (id, customer_id, parent_id, status, total, note, tags, created_at, "group", total_with_tax) ' +
        'values (default, $1, $2, $3, $4, $5, $6, $7, $8, default) ' +
        'returning id, customer_id, parent_id, status, total, note, tags, created_at, "group", total_with_tax',
    )
    expect(sqlOf(operations, 'orders/update status')).toBe('update public.orders set status = $1 where id = $2')
    expect(sqlOf(operations, 'orders/update numbers')).toBe(
      'update public.orders set total = $1, "group" = $2 where id = $3',
    )
    expect(sqlOf(operations, 'app.Odd Names/update texts')).toBe(
      'update app."Odd Names" set "select" = $1 where "Id" = $2',
    )
    expect(sqlOf(operations, 'app.Odd Names/upsert by Id')).toMatch(
      / on conflict \("Id"\) do update set "select" = excluded\."select" returning /,
    )
    expect(sqlOf(operations, 'order_items/with orders by order_id')).toMatch(
      /^select c\.order_id, .* from public\.order_items c join public\.orders p on p\.id = c\.order_id where c\.order_id = \$1 and c\.line = \$2$/,
    )
    expect(sqlOf(operations, 'orders/with order_items by order_id')).toMatch(
      / from public\.orders p left join public\.order_items c on p\.id = c\.order_id where p\.id = \$1 order by c\.order_id, c\.line limit 20$/,
    )
    // NULL in the column must not hide the row.
    expect(sqlOf(operations, 'orders/with orders by parent_id')).toContain(' c left join ')
  })

  test('a row that others refer to is not deleted; one that is comes back', () => {
    const { operations } = derive()
    expect(named(operations, 'notes/delete and insert again').normalisedSql).toEqual([
      'begin',
      'delete from public.notes where id = $1',
      expect.stringMatching(
        /^insert into public\.notes \(id, .* values \(\$1, \$2, \$3, \$4, \$5\) on conflict do nothing$/,
      ),
      'commit',
    ])
    expect(named(operations, 'orders/insert and delete').statementTexts).toEqual([
      expect.stringContaining(' overriding system value values ($1,'),
      'delete from public.orders where id = $1',
    ])
    expect(operations.some(({ name }) => name === 'orders/delete and insert again')).toBe(false)
  })

  test('where every row has its one child already, both are made in one transaction', () => {
    const { operations } = derive()
    expect(named(operations, 'invoices/insert').statementTexts).toEqual([
      expect.stringMatching(/^insert into public\.orders \(id, .*\) overriding system value values \(\$1, /),
      expect.stringMatching(/^insert into public\.invoices \(order_id, number, words\) values \(\$1, \$2, default\) /),
    ])
    expect(named(operations, 'invoices/insert').normalisedSql.at(0)).toBe('begin')
  })

  test('tables without a primary key, and of keys alone', () => {
    const { operations } = derive()
    expect(sqlOf(operations, 'log_lines/list')).toMatch(/ from public\.log_lines limit 50$/)
    expect(sqlOf(operations, 'log_lines/update json')).toBe(
      'update public.log_lines set body = $1 where at = $2 and level = $3',
    )
    expect(sqlOf(operations, 'readings/update numbers')).toBe(
      'update public.readings set value = $1 where at = $2 and odd_id = $3',
    )
    // Its reference is known from its partition alone.
    expect(sqlOf(operations, 'readings/read by odd_id')).toContain(' where odd_id = $1 limit 20')
    expect(sqlOf(operations, 'labels/update keys')).toBe(
      'update public.labels set customer_id = $1, order_id = $2 where customer_id = $3 and order_id = $4',
    )
    expect(sqlOf(operations, 'labels/insert')).toContain(' on conflict do nothing returning ')
    expect(sqlOf(operations, 'notes/insert')).not.toContain('on conflict')
  })

  test('what the role may not do and what nobody asked for is left out and named', () => {
    const { operations, leftOut, tables } = derive({ exclude: ['log_lines'] })
    expect(operations.some(({ table, does }) => table === 'customers' && does === 'insert')).toBe(false)
    expect(operations.some(({ table }) => table === 'log_lines' || table === 'app.schema_migrations')).toBe(false)
    expect(leftOut).toEqual(
      expect.arrayContaining([
        { what: 'log_lines', calls: null, reason: 'excluded by traffic.exclude' },
        { what: 'parts/insert', calls: null, reason: 'it has no partition that would take a row' },
        { what: 'app.schema_migrations', calls: null, reason: 'a migration tool keeps its journal in it' },
        {
          what: 'customers/insert',
          calls: null,
          reason: "the application's role has no INSERT privilege",
        },
      ]),
    )
    expect(tables).toEqual({ all: 10, read: 9, inserted: 7, updated: 9 })
  })

  test('names are those of script headers, each once, and every statement parses', () => {
    const { operations } = derive()
    for (const { name, statementTexts } of operations) {
      expect(parseHeader(`-- name: ${name}`, 'x', 1).name).toBe(name)
      for (const text of statementTexts) expect(parseSql(text)).toHaveLength(1)
    }
    expect(new Set(operations.map(({ name }) => name)).size).toBe(operations.length)
  })

  test('every column is written, or read where the server alone writes it', () => {
    const { columns, operations } = derive()
    // customers may not be inserted into: its key is in no statement that writes.
    expect(columns.all - columns.touched).toBe(1)
    const reads = operations.filter((one) => !isWrite(one))
    expect(coverage(shape, reads).columns.touched).toBe(
      shape.tables.flatMap((t) => t.columns.filter((c) => c.sequence || c.generated !== null)).length,
    )
  })
})

describe('weights', () => {
  test('eighty to twenty, larger tables oftener', () => {
    const { operations } = derive()
    const all = weightOf(operations, () => true)
    expect(weightOf(operations, (one) => !isWrite(one)) / all).toBeCloseTo(0.8, 2)
    const table = (name: string): number => weightOf(operations, (one) => one.table === name)
    expect(table('order_items')).toBeGreaterThan(table('customers'))
    expect(table('order_items')).toBeLessThan(3 * table('customers'))
  })

  test('tables that the migrations name get half of the arrivals', () => {
    const share = (touched: string[]): number => {
      const { operations } = derive({ touched })
      return weightOf(operations, ({ table }) => touched.includes(table)) / weightOf(operations, () => true)
    }
    expect(share(['notes'])).toBeCloseTo(0.5, 2)
    expect(share(['notes', 'orders', 'customers', 'order_items', 'labels'])).toBeGreaterThan(0.6)
  })

  test("production's counters decide where there are any", () => {
    const counted = { seqScan: 0, idxScan: 0, inserted: 0, updated: 0, deleted: 0 }
    const { operations } = derive({
      activity: new Map([
        ['orders', { ...counted, idxScan: 300, updated: 600 }],
        ['notes', { ...counted, idxScan: 90, inserted: 10 }],
      ]),
    })
    const all = weightOf(operations, () => true)
    const share = (table: string, does?: string): number =>
      weightOf(operations, (one) => one.table === table && (does === undefined || one.does === does)) / all
    expect(share('orders')).toBeCloseTo(0.9, 1)
    expect(share('orders', 'update')).toBeGreaterThan(0.5)
    expect(share('notes', 'insert')).toBeGreaterThan(share('notes', 'update'))
    expect(share('customers')).toBeGreaterThan(0)
  })

  test('a large schema keeps all operations for what the migrations name, and few for the rest', () => {
    const { operations, leftOut } = derive({ touched: ['orders'], most: 30 })
    const whole = derive().operations
    const of = (list: readonly DerivedOperation[], table: string): string[] =>
      list.filter((one) => one.table === table).map(({ name }) => name)
    expect(of(operations, 'orders')).toEqual(of(whole, 'orders'))
    expect(of(operations, 'notes')).toEqual(['notes/read by id', 'notes/update status', 'notes/insert'])
    expect(leftOut.at(-1)?.what).toBe(`${whole.length - operations.length} operations on 9 tables`)
  })
})

describe('values', () => {
  test('depend on the stream alone', () => {
    const bound = (seed: number): unknown[] =>
      derive().operations.map((one) => one.bind(VARIABLES, new Random(seed).fork(one.name)))
    expect(bound(1)).toEqual(bound(1))
    expect(bound(1)).not.toEqual(bound(2))
  })

  test('every operation is prepared and runs, again and again; nothing is left behind', async () => {
    const count = async (): Promise<unknown> => [
      ...(await admin.unsafe('select (select count(*) from orders), (select count(*) from notes) as notes')),
    ]
    const before = await count()
    const { operations } = derive()
    for (const [i, text] of operations.flatMap(({ statementTexts }) => statementTexts).entries())
      await app.unsafe(`prepare d${i} as ${text}`).simple()
    const { operations: kept, leftOut } = await verifyOperations(app, operations, { seed: 7, variables: VARIABLES })
    expect(leftOut).toEqual([])
    expect(kept).toEqual(operations)
    expect(await count()).toEqual(before)
  })

  test('reads find rows, updates change one, deletes leave what was there', async () => {
    const { operations } = derive()
    const run = async (name: string): Promise<number[]> => {
      const counts: number[] = []
      for (const step of named(operations, name).bind(VARIABLES, new Random(3)))
        if (step.kind === 'statement') counts.push((await app.unsafe(step.bound.text, step.bound.params)).count)
      return counts
    }
    expect(await run('orders/read by id')).toEqual([1])
    expect(await run('customers/read by email')).toEqual([1])
    expect((await run('orders/search tags'))[0]).toBeGreaterThan(0)
    expect((await run('invoices/search words'))[0]).toBeGreaterThan(0)
    expect((await run('invoices/insert')).slice(1, 3)).toEqual([1, 1])
    expect(await run('orders/update status')).toEqual([1])
    expect(await run('log_lines/update json')).toEqual([1])
    const notes = async (): Promise<unknown> => [...(await admin.unsafe('select * from notes order by id'))]
    const before = await notes()
    expect((await run('notes/delete and insert again')).slice(1, 3)).toEqual([1, 1])
    expect(await notes()).toEqual(before)
  })

  test('what fails too often is left out, with the reason in words of its own', async () => {
    await admin
      .unsafe(
        `
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'secret %', new; end $$;
      create trigger refuse before update on notes for each row execute function refuse()`,
      )
      .simple()
    try {
      const { operations } = derive()
      const { operations: kept, leftOut } = await verifyOperations(app, operations, { seed: 7, variables: VARIABLES })
      expect(kept.filter((one) => one.table === 'notes' && one.does === 'update')).toEqual([])
      expect(kept.filter((one) => one.table === 'notes' && !isWrite(one)).length).toBeGreaterThan(0)
      expect(leftOut.length).toBe(operations.length - kept.length)
      expect(leftOut[0]).toEqual({
        what: 'notes/update status',
        calls: null,
        reason: 'failed in 3 of 3 tries: P0001 a function or trigger raised an exception',
      })
    } finally {
      await admin.unsafe('drop function refuse() cascade').simple()
    }
  })
})

describe('old code on a new schema', () => {
  /** Names of the operations that the change breaks, of those that list `column` and of all others. */
  async function broken(change: string, column: string): Promise<{ listing: string[]; others: string[] }> {
    const { operations } = derive()
    const listing: string[] = []
    const others: string[] = []
    await admin.unsafe(change).simple()
    for (const operation of operations) {
      const texts = operation.statementTexts.map((text, i) => ({ text, name: `b_${i}` }))
      const failed = await Promise.all(
        texts.map(({ text, name }) =>
          app
            .unsafe(`prepare ${name} as ${text}`)
            .simple()
            .then(
              () =>
                app
                  .unsafe(`deallocate ${name}`)
                  .simple()
                  .then(() => false),
              () => true,
            ),
        ),
      )
      const lists = operation.statementTexts.some((text) => new RegExp(`\\b${column}\\b`).test(text))
      if (failed.includes(true)) (lists ? listing : others).push(operation.name)
      else if (lists) others.push(`${operation.name} still works`)
    }
    return { listing, others }
  }

  test('a column that is renamed or dropped breaks what lists it, and the new code works', async () => {
    const renamed = await broken('alter table notes rename column seen to was_seen', 'seen')
    expect(renamed.others).toEqual([])
    expect(renamed.listing).toContain('notes/read by id')
    expect(renamed.listing).toContain('notes/update status')
    expect(renamed.listing).not.toContain('notes/update texts')
    const after = derive({ of: await readShape(app, { role: 'app' }), release: 'new' })
    expect(after.operations.map(({ name }) => name)).toEqual(derive().operations.map(({ name }) => name))
    const { leftOut } = await verifyOperations(app, after.operations, { seed: 7, variables: VARIABLES })
    expect(leftOut).toEqual([])
    await admin.unsafe('alter table notes rename column was_seen to seen').simple()

    const dropped = await broken('alter table notes drop column seen', 'seen')
    expect(dropped).toEqual(renamed)
    await admin.unsafe('alter table notes add column seen boolean').simple()
  })

  test('a new NOT NULL column breaks the inserts, and nothing else', async () => {
    const { operations } = derive()
    await admin.unsafe('begin; alter table log_lines add host text; update log_lines set host = at::text').simple()
    await admin.unsafe('alter table log_lines alter host set not null; commit').simple()
    const { leftOut } = await verifyOperations(app, operations, { seed: 7, variables: VARIABLES, tries: 3 })
    expect(leftOut).toEqual([
      {
        what: 'log_lines/insert',
        calls: null,
        reason:
          'failed in 3 of 3 tries: 23502 null value in column "host" of relation "log_lines" violates not-null constraint',
      },
    ])
    await admin.unsafe('alter table log_lines drop column host').simple()
  })
})
