import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dropped, takenAway } from '../../src/supply/taken-away.js'
import { withClaims } from '../../src/values/claimed.js'
import { touchedTables } from '../../src/values/touched.js'
import { readShape } from '../../src/values/read-shape.js'
import type { SchemaShape } from '../../src/values/types.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'

let server: TestServer
let before: SchemaShape
let after: SchemaShape

beforeAll(async () => {
  server = await startServer({
    fill: async (sql) => {
      await sql.unsafe(`
        create table orders (id int primary key, note text, total int, status text);
        create index orders_status_idx on orders (status);
        create table "Customer" ("lastSeen" timestamptz, id int primary key);
        create table log (id int, at timestamptz) partition by range (at);
        create table log_2026 partition of log for values from ('2026-01-01') to ('2027-01-01');
        create table made_anew (id int, legacy text);
        create schema shop; create table shop.orders (id int primary key)`)
    },
  })
  const sql = connect(server.admin)
  before = await readShape(sql)
  await sql.unsafe(`
    alter table orders drop column note; alter table orders rename column total to amount;
    alter table orders rename to purchases;
    drop table "Customer", log_2026;
    drop table made_anew; create table made_anew (id int, fresh text)`)
  after = await readShape(sql)
  await sql.end()
})
afterAll(() => server.stop())

it('what a migration drops: neither what it renames nor partitions', () => {
  expect(dropped(before, after).sort((a, b) => a.table.localeCompare(b.table))).toEqual([
    { table: 'Customer', column: null },
    { table: 'made_anew', column: 'legacy' },
    { table: 'orders', column: 'note' },
  ])
  expect(dropped(before, before)).toEqual([])
})

describe('tables that a migration names', () => {
  it.each([
    ['alter table orders add column a int', ['orders']],
    ['create index on public.orders (note)', ['orders']],
    ['drop index orders_status_idx', ['orders']],
    ['alter index orders_status_idx rename to i', ['orders']],
    ['drop table "Customer", orders', ['Customer', 'orders']],
    ['alter table shop.orders add column a int', ['shop.orders']],
    ['update orders set total = c.id from "Customer" c', ['Customer', 'orders']],
    ['create table payments (order_id int references orders (id))', ['orders']],
    ['alter table customer add column a int', []],
    ['do $$begin end$$; alter table orders add column b int', ['orders']],
    ['this is not SQL', []],
  ])('%s', (text, names) => {
    expect([...touchedTables([text], before)].sort()).toEqual(names)
  })
})

it('made-up rows are to keep to what the pending statements take for granted', () => {
  const claimed = withClaims(before, [
    'alter table orders alter column note set not null',
    'alter table orders add constraint c check (total > 0 and status is not null)',
    'create unique index on orders (status)',
    'alter table shop.orders add foreign key (id) references orders',
    'alter table nowhere alter column a set not null',
  ])
  const orders = claimed.tables.find(({ name }) => name === 'orders')
  expect(orders?.columns.filter(({ notNull }) => notNull).map(({ name }) => name)).toEqual(['id', 'note'])
  expect(orders?.checks.map(({ expression, columns }) => [expression, columns])).toEqual([
    ['total > 0 and status is not null', ['total', 'status']],
  ])
  expect(orders?.keys.map(({ kind, columns }) => [kind, columns])).toEqual([
    ['primary', ['id']],
    ['unique', ['status']],
  ])
  expect(claimed.tables.find(({ name }) => name === 'shop.orders')?.foreignKeys).toMatchObject([
    { columns: ['id'], target: 'orders', targetColumns: ['id'] },
  ])
  expect(withClaims(before, ['alter table orders add column a int'])).toBe(before)
})

describe('whether the running release names it', () => {
  let folder: string
  const git = (...args: string[]): void => {
    const who = ['-c', 'user.name=t', '-c', 'user.email=t@example.org', '-c', 'commit.gpgsign=false']
    execFileSync('git', [...who, ...args], { cwd: folder, stdio: 'ignore' })
  }
  const write = async (files: Record<string, string>): Promise<void> => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true })
      await writeFile(join(folder, name), text)
    }
  }
  const look = (object: { table: string; column: string | null }, ref: string | null = null) =>
    takenAway({ objects: [object], folder, ref, without: ['drizzle'] })

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'rehearse-taken-'))
    git('init', '-q', '-b', 'main')
    await write({
      'src/schema.ts': "export const orders = pgTable('orders', {\n  id: integer('id'),\n  lastNote: text(),\n})\n",
      'src/model.prisma': 'model Customer {\n  id Int\n  lastSeen DateTime\n}\n',
      'app/[id]/page.ts': 'export default orders.lastNote + orders.onlyHere\n',
      'src/elsewhere.ts': "const status = 'of something else'\n",
      'drizzle/0001.ts': 'sql`alter table orders add column in_a_migration`\n',
      'docs/notes.md': 'orders in_a_document\n',
    })
    git('add', '-A')
    git('commit', '-q', '-m', 'the running release')
    git('switch', '-q', '-c', 'feature')
    await write({
      'src/schema.ts': "export const orders = pgTable('orders', {\n  id: integer('id'),\n})\n",
      'app/[id]/page.ts': 'export default orders.id\n',
    })
    git('commit', '-q', '-a', '-m', 'the next one')
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it.each([
    ['in the way that an ORM spells it', 'orders', 'last_note', 'src/schema.ts:3'],
    ['in a file whose name git would take for a pattern', 'orders', 'only_here', 'app/[id]/page.ts:1'],
    ['of a model that is named after one row', 'customers', 'lastSeen', 'src/model.prisma:3'],
    ['in a file that does not name the table', 'orders', 'status', null],
    ['in a migration', 'orders', 'in_a_migration', null],
    ['in a document', 'orders', 'in_a_document', null],
    ['as a part of a word', 'orders', 'last', null],
  ])('%s', async (_, table, column, place) => {
    expect((await look({ table, column }))?.objects).toEqual([{ table, column, place }])
  })

  it('a whole table', async () => {
    expect((await look({ table: 'public_things.orders', column: null }))?.objects[0]?.place).toBe('src/schema.ts:1')
    expect((await look({ table: 'payments', column: null }))?.objects[0]?.place).toBeNull()
  })

  it('a ref that the user names wins', async () => {
    expect(await look({ table: 'orders', column: 'last_note' }, 'feature')).toEqual({
      ref: 'feature',
      objects: [{ table: 'orders', column: 'last_note', place: null }],
    })
  })

  it('on the default branch the running release is not what is checked out', async () => {
    git('switch', '-q', 'main')
    expect((await look({ table: 'orders', column: 'last_note' }))?.ref).toBeNull()
    await write({ 'src/schema.ts': 'changed, not committed yet\n' })
    expect((await look({ table: 'orders', column: 'last_note' }))?.objects[0]?.place).toBe('src/schema.ts:3')
    git('checkout', '-q', '--', '.')
    git('switch', '-q', 'feature')
  })

  it('nothing is asked when nothing is dropped', async () => {
    expect(await takenAway({ objects: [], folder, ref: null, without: [] })).toBeNull()
  })
})
