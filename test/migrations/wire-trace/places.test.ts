/** What a statement is to the tool that sent it, and at which line of a program it stands. */
import { describe, expect, it } from 'vitest'
import { lineOfStatement } from '../../../src/migrations/wire-trace/lines.js'
import { roleOf, type Role } from '../../../src/migrations/wire-trace/roles.js'
import { piecesOf } from '../../../src/migrations/wire-trace/steps.js'
import type { Ledger } from '../../../src/migrations/tools/types.js'

const ledger: Ledger = {
  table: 'drizzle.__drizzle_migrations',
  tables: [
    { schema: 'drizzle', name: '__drizzle_migrations' },
    { schema: 'public', name: 'migrations_lock' },
  ],
  query: '',
  pending: () => ({ pending: [], applied: [], notes: [], refuses: null }),
  written: 'after',
  recordedBy: () => null,
}

describe('roles', () => {
  it.each<[string, Role]>([
    ['create schema if not exists drizzle', 'journal'],
    ['create table if not exists "drizzle"."__drizzle_migrations" (id serial primary key)', 'journal'],
    ['insert into drizzle.__drizzle_migrations (hash) values ($1)', 'journal'],
    ['insert into __drizzle_migrations (hash) values ($1)', 'journal'],
    ['select * from drizzle.__drizzle_migrations', 'journal'],
    ['update migrations_lock set is_locked = 1', 'journal'],
    ['drop table migrations_lock', 'journal'],
    ['select pg_advisory_lock(1)', 'lock'],
    ['select pg_try_advisory_lock(1)', 'lock'],
    ['select pg_catalog.pg_advisory_xact_lock(1, 2)', 'lock'],
    ['select pg_advisory_unlock(1)', 'lock'],
    ["with a as (select set_config('lock_timeout', '1', true)) select pg_advisory_lock(1) from a", 'lock'],
    ['begin', 'transaction'],
    ['commit and chain', 'transaction'],
    ['savepoint s', 'transaction'],
    ["prepare transaction 'x'", 'transaction'],
    ['select 1', 'other'],
    ["set lock_timeout = '1s'", 'other'],
    ['set transaction isolation level serializable', 'other'],
    ['show server_version', 'other'],
    ['discard all', 'other'],
    ['deallocate all', 'other'],
    ['selec 1', 'other'],
    // A migration's own, also where the name is only like the journal's.
    ['insert into other.__drizzle_migrations (hash) values ($1)', 'migration'],
    ['create schema audit', 'migration'],
    ['create table t ()', 'migration'],
    ['update t set a = 1', 'migration'],
    ['with gone as (delete from t returning *) select * from gone', 'migration'],
    ['do $$begin perform pg_advisory_lock(1); end$$', 'migration'],
    ['lock table t', 'migration'],
    ['call p()', 'migration'],
    ['create table copy as select 1', 'migration'],
    ['vacuum t', 'migration'],
  ])('%s', (sql, role) => {
    const [piece] = piecesOf(sql)
    expect(piece && roleOf(piece, ledger)).toBe(role)
  })

  it('without a journal nothing is bookkeeping', () => {
    const [piece] = piecesOf('insert into drizzle.__drizzle_migrations (hash) values ($1)')
    expect(piece && roleOf(piece, null)).toBe('migration')
  })
})

describe('lines', () => {
  const text = `export const up = async (k) => {
  await k.schema.alterTable('orders', (t) => {
    t.string('status')
  })
  await k.raw(\`
    create index orders_status
      on orders (status)
  \`)
  await k('users').update({ seen: true })
  await k.schema.alterTable('orders', (t) => {
    t.dropColumn('note')
  })
}
`
  it.each<[string, string, string[], number, number, boolean]>([
    ['its own text, over several lines', 'create index orders_status on orders (status)', ['orders'], 1, 6, true],
    [
      'the relation and a column near it',
      'alter table "orders" add column "status" varchar',
      ['orders', 'status'],
      1,
      2,
      false,
    ],
    [
      'the same relation with another column',
      'alter table "orders" drop column "note"',
      ['orders', 'note'],
      9,
      10,
      false,
    ],
    ['behind the statement before', 'update "users" set "seen" = $1', ['users', 'seen'], 5, 9, false],
    ['before it, where it is nowhere behind', 'update "users" set "seen" = $1', ['users'], 12, 9, false],
    ['a column that is nowhere', 'alter table "orders" add column "x" int', ['orders', 'x'], 1, 2, false],
    ['a relation that is nowhere', 'drop table "gone"', ['gone'], 4, 4, false],
    ['no name at all', 'vacuum', [], 7, 7, false],
    ['part of a word is no name', 'drop table "order"', ['order'], 3, 3, false],
  ])('%s', (_, sql, names, from, line, exact) => {
    expect(lineOfStatement(text, sql, names, from)).toEqual({ line, exact })
  })

  it('a text that is long or full of signs of regular expressions', () => {
    const odd = `select '(.*)+$' || "a[b]" from t where x ~ '^\\d{3}$'`
    expect(lineOfStatement(`//\n\n${odd}`, odd, [], 1)).toEqual({ line: 3, exact: true })
    const long = `insert into t values ${'(1), '.repeat(10_000)}(1)`
    expect(lineOfStatement(`// t\n${long}`, long, ['t'], 1)).toEqual({ line: 1, exact: false })
  })

  it('one word is too little to be sure of', () => {
    expect(lineOfStatement('// checkpoint\ncheckpoint', 'checkpoint', [], 1).exact).toBe(false)
  })
})
