import { describe, expect, test } from 'vitest'
import { Operations, OTHER } from '../../src/apps/operations.js'
import { describeStatement } from '../../src/apps/statements.js'
import { SampleRecorder } from '../../src/traffic/samples.js'

describe('the name of a statement', () => {
  test.each([
    ['select id from users where id = $1', 'select_users', true],
    ['select * from a join "B x" on true, app.c where exists (select from d)', 'select_a_B_x_c', true],
    ['with recent as (select * from orders) select * from recent', 'select_orders', true],
    ['insert into users (email) values ($1) returning id', 'insert_users', true],
    [
      "update orders o set total = 1 from users u where u.id = o.user_id and u.email = 'x'",
      'update_orders_users',
      true,
    ],
    ['delete from users', 'delete_users', true],
    ['merge into a using b on a.id = b.id when matched then delete', 'merge_a_b', true],
    ['copy users (id) from stdin', 'copy_users', true],
    ['refresh materialized view totals', 'refresh_mat_view_totals', true],
    ['select next_invoice($1)', 'select', true],
    ["select nextval('s')", 'select', true],
    ['commit', 'commit', true],
    ['begin isolation level serializable', 'begin', false],
    ['rollback', 'rollback', false],
    ['savepoint a', 'transaction', false],
    ["set application_name = 'x'", 'variable_set', false],
    ['select 1', 'select', false],
    ['select pg_catalog.version(), now()', 'select', false],
    ["select set_config('a', $1, false)", 'select', false],
    ['-- ping', 'empty', false],
    ['select oid, typname from pg_catalog.pg_type t join pg_range r on true', 'select_pg_type_pg_range', false],
    ['select from pg_class, users', 'select_pg_class_users', true],
    ['begin; update users set a = 1; commit', 'update_users_and_2_more', true],
    ['selec 1 from users', 'unreadable_statement', true],
    ['update users set where', 'unreadable_update', true],
  ])('%s', (text, base, counts) => {
    expect(describeStatement(text)).toMatchObject({ base, counts })
  })

  test('does not depend on values, lengths of lists and numbers of rows, but on everything else', () => {
    const key = (text: string): string => describeStatement(text).key
    const one = key('insert into users (id, email) values ($1, $2)')
    expect(key("insert into users (id, email) values (1, 'a@example.com'), (2, 'b'), (3, null)")).not.toBe(one)
    expect(key("insert into users (id, email) values (1, 'a@example.com'), (2, 'b')")).toBe(one)
    expect(key('insert into users (id, email) values (default, $1), (default, $2)')).toBe(
      key('insert into users (id, email) values (default, $1)'),
    )
    expect(key('select * from a where id in ($1, $2, $3) and b = $4')).toBe(
      key('select *\n from a -- x\n where id in ($1) and b = 5'),
    )
    expect(key('select f((1), (1))')).toBe(key('select f((1))'))
    expect(key('select a from t')).not.toBe(key('select b from t'))
  })

  test('and its text hold no value', () => {
    const secret = 'c4n4ry'
    const texts = [
      `select '${secret}' from users where a = '${secret}' -- ${secret}`,
      `selec '${secret}`,
      `insert into a values ('${`${secret} `.repeat(20_000)}')`,
    ]
    for (const text of texts) {
      const { base, sql } = describeStatement(text)
      expect(`${base} ${sql}`).not.toContain(secret)
    }
  })
})

describe('operations', () => {
  test('are the same in every order and release, and told apart on the same tables', () => {
    const [old, next] = (['old', 'new'] as const).map((release) => new Operations(release, 'x', new SampleRecorder()))
    const texts = ['select a from t', 'select b from t where id = 1', 'select b from t where id = 2', 'commit']
    const names = texts.map((text) => old?.use(text, false).name ?? '')
    expect([...texts].reverse().map((text) => next?.use(text, false).name)).toEqual([...names].reverse())
    expect(new Set(names).size).toBe(3)
    expect(names[0]).toMatch(/^select_t_[\da-f]{4}$/)
    expect(names[3]).toBe('commit')
    expect(old?.list().map(({ weight, sql }) => [weight, ...sql])).toEqual([
      [1, 'select a from t'],
      [2, 'select b from t where id = $1'],
      [1, 'commit'],
    ])
  })

  test('have names of at most 63 characters, and are at most 500 and the others', () => {
    const samples = new SampleRecorder()
    const operations = new Operations('old', 'x', samples)
    const long = operations.use(`select 1 from ${'a'.repeat(60)}, ${'b'.repeat(60)}`, true).name
    expect(long).toMatch(/^select_a{51}_[\da-f]{4}$/)
    expect(long).toHaveLength(63)
    const names = Array.from({ length: 700 }, (_, i) => operations.use(`select a${i} from t`, false).name)
    expect(names.filter((name) => name === OTHER)).toHaveLength(201)
    expect(samples.operations).toHaveLength(501)
    expect(operations.use('select a0 from t', false).name).toBe(names[0])
    expect(operations.list().at(-1)).toMatchObject({ name: OTHER, weight: 201, sql: [], source: 'program' })
  })
})
