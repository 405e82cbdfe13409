import { describe, expect, it } from 'vitest'
import { saferWay } from '../../src/judge/safer-way.js'
import { parseSql } from '../../src/sql/parser.js'
import { splitSql } from '../../src/sql/split.js'
import { judged } from './build.js'

const advice = async (sql: string, table = 'orders') => {
  const [statement] = await splitSql(sql, 'a.sql')
  if (!statement) throw new Error('no statement')
  return saferWay(statement, table)
}
const kinds = (sql: string): string[] => parseSql(sql).map((s) => s.kind)

describe('the safer way', () => {
  it.each([
    'create index on orders (status)',
    'CREATE UNIQUE INDEX IF NOT EXISTS "Odd index" ON public.orders USING btree (lower(note)) WHERE note IS NOT NULL',
    "create /* index */ index i on orders ((data ->> 'create index'))",
    'drop index orders_idx',
    'drop index if exists a, b',
  ])('%s, CONCURRENTLY', async (sql) => {
    const { sql: safer } = await advice(sql)
    if (safer === null) throw new Error('no SQL')
    const [before] = parseSql(sql)
    const [after, ...rest] = parseSql(safer)
    expect(rest).toEqual([])
    // The same statement but for one flag.
    const flag = JSON.stringify(after?.node).replace(/"concurrent":true,?/, '')
    const strip = (text: string) => text.replace(/"(location|stmt_len|stmt_location)":\d+,?/g, '').replace(/,}/g, '}')
    expect(strip(flag)).toBe(strip(JSON.stringify(before?.node)))
    expect(JSON.stringify(after?.node)).toContain('"concurrent":true')
  })

  it.each([
    ['orders', 'note'],
    ['sales.orders', 'note'],
    ['orders', 'Odd "column"'],
    ['Odd Table', 'select'],
  ])('SET NOT NULL of %s.%s by a proved check, in four statements that parse', async (table, column) => {
    const quoted = `"${column.replaceAll('"', '""')}"`
    const { sql } = await advice(`alter table t alter column ${quoted} set not null`, table)
    if (sql === null) throw new Error('no SQL')
    const trees = parseSql(sql)
    expect(trees.map((s) => s.kind)).toEqual(['AlterTableStmt', 'AlterTableStmt', 'AlterTableStmt', 'AlterTableStmt'])
    const text = JSON.stringify(trees.map((t) => t.node))
    const relation = table.split('.').at(-1) ?? ''
    expect(text.split(`"relname":${JSON.stringify(relation)}`)).toHaveLength(5)
    expect(text).toContain('"skip_validation":true')
    expect(text).toContain(`"subtype":"AT_SetNotNull","name":${JSON.stringify(column)}`)
    // The constraint that is validated and dropped is the one that was made.
    const name = /"conname":("[^"]+")/.exec(text)?.[1] ?? ''
    expect(text.split(`"name":${name}`)).toHaveLength(3)
  })

  it.each([
    ['alter table orders add constraint c check (a > 0)', /NOT VALID/],
    ['alter table orders add foreign key (a) references users (id)', /NOT VALID/],
    ['alter table orders add constraint c check (a > 0) not valid', /short/],
    ['alter table orders add unique (a)', /USING INDEX/],
    ['alter table orders add primary key (a)', /USING INDEX/],
    ['alter table orders alter column a type bigint', /new column/],
    ['alter table orders add column a uuid default gen_random_uuid()', /default/],
    ['reindex table orders', /CONCURRENTLY/],
    ['refresh materialized view m', /CONCURRENTLY/],
    ['update orders set a = 1', /batches/],
    ['delete from orders', /batches/],
    ['insert into orders select 1', /batches/],
    ['do $$ begin end $$', /batches/],
    ['lock table orders', /short/],
    ['create index concurrently i on orders (a)', /short/],
  ])('%s', async (sql, expected) => {
    expect((await advice(sql)).text).toMatch(expected)
  })

  it.each(['orders_i', 'User_email_key', 'sales.User_email_key', 'order'])(
    '%s: advice on leftovers parses and names it',
    (name) => {
      const left = {
        invalidIndexes: [{ index: name, table: name }],
        notValidConstraints: [{ constraint: name, table: name }],
        halfApplied: [],
      }
      const sql = judged({ quiet: { leftovers: left } }).findings.map((f) => f.advice?.sql ?? '')
      expect(sql).toHaveLength(2)
      const trees = JSON.stringify(sql.map((text) => parseSql(text).map((s) => s.node)))
      for (const part of name.split('.')) expect(trees).toContain(JSON.stringify(part))
    },
  )

  it('is never the statement itself', async () => {
    for (const sql of ['drop table orders', 'drop index concurrently i', 'truncate orders', 'cluster orders'])
      expect(kinds((await advice(sql)).sql ?? '')).toEqual([])
  })
})
