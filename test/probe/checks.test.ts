import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { connect as open, disconnect, type Sql } from '../../src/pg/connect.js'
import { dataChecks, runChecks, type Check } from '../../src/probe/checks.js'
import { newlyUnfinished, readUnfinished } from '../../src/probe/leftovers.js'
import { startServer, type TestServer } from '../support/postgres.js'

let server: TestServer
let admin: Sql
let owner: Sql

beforeAll(async () => {
  server = await startServer()
  admin = open(server.admin, { applicationName: 'observer' })
  owner = open(server.migrate, { applicationName: 'owner' })
})
afterAll(async () => {
  await disconnect(admin)
  await disconnect(owner)
  await server.stop()
})
beforeEach(async () => {
  await owner
    .unsafe(
      `drop schema if exists sales cascade; drop table if exists t, part cascade; drop domain if exists positive;
       create table t (id int, v int); insert into t select g, g % 10 from generate_series(1, 1000) g;`,
    )
    .simple()
})

const check = (name: string, sql: string, line = 1): Check => ({ name, line, file: 'checks.sql', sql })

describe('data checks', () => {
  it('count the rows that come back; an error has no count and no data', async () => {
    const results = await runChecks(admin, [
      check('none', 'select 1 from t where v > 10'),
      check('some', 'select id from t where v = 3 -- a comment at the end'),
      check('cte', 'with x as (select 1 as a) select * from x'),
      check('values', 'values (1), (2)'),
      check('same column twice', 'select id, id from t where id = 1'),
      check('broken', "select nope from t where v = 'secret'::int"),
      check('divides', 'select 1 from t where 1 / (v - v) > 0'),
      check('after an error', 'select 1'),
    ])
    expect(results.map((r) => r.rows)).toEqual([0, 100, 1, 2, 1, null, null, 1])
    expect(results.map((r) => r.error?.sqlstate ?? null)).toEqual([
      null,
      null,
      null,
      null,
      null,
      '42703',
      '22012',
      null,
    ])
    expect(JSON.stringify(results)).not.toContain('secret')
  })

  it('stop counting at a million', async () => {
    const [result] = await runChecks(admin, [check('many', 'select 1 from generate_series(1, 1000005)')])
    expect(result?.rows).toBe(1_000_000)
  })

  it('cannot write, and leave no transaction open', async () => {
    await owner
      .unsafe(
        'create function sneak() returns setof int language sql as $$ insert into t values (0, 0) returning id $$',
      )
      .simple()
    const [result] = await runChecks(admin, [check('writes', 'select * from sneak()')])
    expect(result?.error?.sqlstate).toBe('25006')
    await owner.unsafe('drop function sneak').simple()
    expect(
      await admin.unsafe('select pg_current_xact_id_if_assigned() as x, now() = statement_timestamp() as fresh'),
    ).toMatchObject([{ x: null, fresh: true }])
  })

  it('before and after side by side', () => {
    const error = { sqlstate: '42703', condition: 'undefined_column', message: '', objects: [] }
    expect(
      dataChecks(
        [check('a', '', 3), check('b', '', 7), check('c', '', 9)],
        [
          { rows: 1, error: null },
          { rows: null, error },
        ],
        [
          { rows: 2, error: null },
          { rows: 0, error: null },
          { rows: null, error },
        ],
      ),
    ).toEqual([
      { name: 'a', line: 3, rowsBefore: 1, rowsAfter: 2, error: null },
      { name: 'b', line: 7, rowsBefore: null, rowsAfter: 0, error: null },
      { name: 'c', line: 9, rowsBefore: null, rowsAfter: null, error },
    ])
  })
})

describe('leftovers', () => {
  it('INVALID indexes and NOT VALID constraints, of other schemas and domains too, and only new ones', async () => {
    await owner
      .unsafe(
        `
      create schema sales; create table sales.t (id int, v int); insert into sales.t values (1, 1), (1, 2);
      alter table t add constraint old_check check (v < 100) not valid;`,
      )
      .simple()
    await expect(owner.unsafe('create unique index concurrently t_v_idx on t (v)').simple()).rejects.toMatchObject({
      code: '23505',
    })
    const before = await readUnfinished(admin)
    expect(before).toEqual({
      invalidIndexes: [{ index: 't_v_idx', table: 't' }],
      notValidConstraints: [{ constraint: 'old_check', table: 't' }],
    })
    expect(newlyUnfinished(before, before)).toEqual({ invalidIndexes: [], notValidConstraints: [] })

    await expect(
      owner.unsafe('create unique index concurrently t_id_idx on sales.t (id)').simple(),
    ).rejects.toMatchObject({ code: '23505' })
    await owner
      .unsafe(
        `
      alter table t add constraint new_check check (v > -1) not valid;
      alter table sales.t add constraint old_check check (v > -1) not valid;
      create domain positive as int; alter domain positive add constraint above check (value > 0) not valid;`,
      )
      .simple()
    expect(newlyUnfinished(before, await readUnfinished(admin))).toEqual({
      invalidIndexes: [{ index: 'sales.t_id_idx', table: 'sales.t' }],
      notValidConstraints: expect.arrayContaining([
        { constraint: 'new_check', table: 't' },
        { constraint: 'old_check', table: 'sales.t' },
        { constraint: 'above', table: '(domain)' },
      ]) as unknown,
    })

    await owner
      .unsafe('drop index t_v_idx; drop index sales.t_id_idx; alter table t validate constraint new_check')
      .simple()
    const after = newlyUnfinished(before, await readUnfinished(admin))
    expect(after.invalidIndexes).toEqual([])
    expect(after.notValidConstraints.map((c) => c.constraint).sort()).toEqual(['above', 'old_check'])
  })

  it("a partitioned table's index that waits for its partitions is none", async () => {
    await owner
      .unsafe(
        `
      create table part (id int) partition by range (id);
      create table part_1 partition of part for values from (0) to (10);
      create index part_id_idx on only part (id);`,
      )
      .simple()
    expect((await readUnfinished(admin)).invalidIndexes).toEqual([])
  })
})
