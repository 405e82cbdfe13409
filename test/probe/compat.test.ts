import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { connect as open, disconnect, type Sql } from '../../src/pg/connect.js'
import { openCompatProbe, type CompatProbe } from '../../src/probe/compat.js'
import type { Outcome } from '../../src/recording.js'
import { codeOperations, type TrafficDefinition } from '../../src/traffic/define.js'
import type { Operation } from '../../src/traffic/operation.js'
import { parseScript } from '../../src/traffic/script.js'
import { startServer, type TestServer } from '../support/postgres.js'

let server: TestServer
let owner: Sql

beforeAll(async () => {
  server = await startServer()
  owner = open(server.migrate, { applicationName: 'owner' })
})
afterAll(async () => {
  await disconnect(owner)
  await server.stop()
})
beforeEach(async () => {
  await owner
    .unsafe(
      `drop table if exists child, users cascade;
       create table users (id int primary key, name text, active boolean not null default true, extra jsonb);
       insert into users select g, 'u' || g from generate_series(1, 100) g;
       create table child (id int generated always as identity primary key, user_id int references users (id) deferrable initially deferred);
       grant select, insert, update, delete on users, child to app;`,
    )
    .simple()
})

const variables = { rows: 100, clientId: 0, seed: 1 }
const OLD = (text: string): Operation[] => parseScript(text, 'old.sql', 'old')

/** Opens a probe on the state as it is, and closes it whatever happens. */
async function withProbe<T>(operations: Operation[], use: (probe: CompatProbe) => Promise<T>): Promise<T> {
  const probe = await openCompatProbe({ app: server.app, operations, variables, seed: 1 })
  try {
    return await use(probe)
  } finally {
    await probe.close()
  }
}

const word = (outcome: Outcome | null): string => (outcome === null ? '-' : outcome.ok ? 'ok' : outcome.error.sqlstate)
const cells = async (probe: CompatProbe): Promise<Record<string, string>> =>
  Object.fromEntries(
    (await probe.probe('s')).map((c) => [`${c.release} ${c.operation}`, `${word(c.fresh)} ${word(c.prepared)}`]),
  )

/** All that the tables hold. */
const contents = async (): Promise<unknown> =>
  owner.unsafe(
    `select (select json_agg(u order by id) from users u) as users, (select json_agg(c order by id) from child c) as child`,
  )

describe('fresh and prepared', () => {
  const operations = [
    ...OLD(`
-- name: all_columns; prepared: yes
\\set id random(1, :n)
select * from users where id = :id;
-- name: two_columns; prepared: yes
\\set id random(1, :n)
select id, name from users where id = :id;
-- name: unprepared; prepared: no
select name from users limit 1;
-- name: insert; prepared: yes
\\set id random(1000, 100000)
insert into users (id, name) values (:id, 'x');
-- name: wait; prepared: no
\\sleep 1 ms
select 1;
`),
    ...parseScript('-- name: by_display; prepared: yes\nselect display from users;\n', 'new.sql', 'new'),
  ]

  it('everything works before; what names nothing new works after', async () => {
    await withProbe(operations, async (probe) => {
      expect(await cells(probe)).toEqual({
        'old all_columns': 'ok ok',
        'old two_columns': 'ok ok',
        'old unprepared': 'ok -',
        'old insert': 'ok ok',
        'old wait': 'ok -',
        'new by_display': '42703 -',
      })
      await owner.unsafe('alter table users add column display text').simple()
      expect(await cells(probe)).toEqual({
        // The prepared one keeps its old result type.
        'old all_columns': 'ok 0A000',
        'old two_columns': 'ok ok',
        'old unprepared': 'ok -',
        'old insert': 'ok ok',
        'old wait': 'ok -',
        // It could not be prepared before.
        'new by_display': 'ok -',
      })
    })
  })

  it('a renamed column breaks both; a new NOT NULL only when it runs', async () => {
    await withProbe(operations, async (probe) => {
      await owner.unsafe('alter table users rename column name to title').simple()
      expect(await cells(probe)).toMatchObject({
        'old two_columns': '42703 42703',
        'old unprepared': '42703 -',
        'old insert': '42703 42703',
        'old all_columns': 'ok 0A000',
      })
      await owner
        .unsafe(
          `alter table users rename column title to name; alter table users add column n int; update users set n = 1; alter table users alter column n set not null`,
        )
        .simple()
      // EXPLAIN EXECUTE executes nothing: 23502 is the fresh column's.
      expect(await cells(probe)).toMatchObject({ 'old insert': '23502 ok' })
    })
  })

  it('code is parsed anew, too', async () => {
    const traffic: TrafficDefinition = {
      operations: {
        all_columns: { run: (sql) => sql`select * from users where id = ${1}` },
        unsafe: { run: (sql) => sql.unsafe('select * from users where id = $1', [1], { prepare: true }) },
      },
    }
    await withProbe(codeOperations(traffic, 'old', 'old.ts'), async (probe) => {
      expect(await cells(probe)).toEqual({ 'old all_columns': 'ok -', 'old unsafe': 'ok -' })
      await owner.unsafe('alter table users add column display text').simple()
      expect(await cells(probe)).toEqual({ 'old all_columns': 'ok -', 'old unsafe': 'ok -' })
    })
  })

  it('goes on after an error, on the same state and on the next, and says no data', async () => {
    await withProbe(operations, async (probe) => {
      await owner.unsafe('drop table child; alter table users rename to people').simple()
      const found = await probe.probe('renamed')
      expect(found.every((c) => c.state === 'renamed')).toBe(true)
      expect(found.filter((c) => !c.fresh.ok && c.fresh.error.sqlstate === '42P01')).toHaveLength(5)
      await owner.unsafe('alter table people rename to users').simple()
      expect(await cells(probe)).toMatchObject({ 'old two_columns': 'ok ok', 'old insert': 'ok ok' })
    })
  })

  it('missing rights show', async () => {
    await owner.unsafe('revoke all on child from app').simple()
    await withProbe(OLD('-- name: peek; prepared: yes\nselect * from child;\n'), async (probe) => {
      expect(await cells(probe)).toEqual({ 'old peek': '42501 42501' })
    })
  })
})

describe('values', () => {
  it('boolean, JSON, NULL and number parameters are sent as the text that they are', async () => {
    const operations = OLD(`
-- name: flags; prepared: yes
\\set yes true
\\set json 5
update users set active = :yes, extra = :json where id = 1;
-- false or text where true and a number were meant would divide by zero
select 1 / (:yes::boolean)::int, 1 / (jsonb_typeof(:json::jsonb) = 'number')::int;
-- name: literal; prepared: yes
\\set id random(1, :n)
update users set extra = '{"a": true}', active = false where id = :id;
`)
    await withProbe(operations, async (probe) =>
      expect(await cells(probe)).toEqual({ 'old flags': 'ok ok', 'old literal': 'ok ok' }),
    )
  })

  it('are the same on every state', async () => {
    // Half of the values fail: the seed decides, not the state.
    const operations = OLD(
      Array.from({ length: 20 }, (_, i) => `-- name: op${i}\n\\set v random(0, 1)\nselect 1 / :v;\n`).join(''),
    )
    await withProbe(operations, async (probe) => {
      const first = await cells(probe)
      expect(new Set(Object.values(first)).size).toBeGreaterThan(1)
      expect(await cells(probe)).toEqual(first)
    })
    await withProbe(operations, async (probe) =>
      expect(new Set(Object.values(await cells(probe))).size).toBeGreaterThan(1),
    )
  })
})

describe('everything is rolled back', () => {
  it('a deferred constraint fails as it would at COMMIT', async () => {
    await withProbe(
      OLD('-- name: orphan; prepared: yes\ninsert into child (user_id) values (5000);\n'),
      async (probe) => {
        expect(await cells(probe)).toEqual({ 'old orphan': '23503 ok' })
      },
    )
  })

  it('scripts with a transaction of their own', async () => {
    const before = await contents()
    const operations = OLD(`
-- name: commits
begin;
insert into child (user_id) values (1);
delete from users where id = 50;
commit;
-- name: savepoints
begin;
savepoint a;
update users set name = 'changed';
rollback to savepoint a;
insert into child (user_id) values (2);
end;
-- name: fails_inside
begin;
insert into child (user_id) values (3);
select 1/0;
commit;
-- name: leaves_it_open
start transaction;
insert into child (user_id) values (4);
-- name: alone
insert into child (user_id) values (5);
`)
    await withProbe(operations, async (probe) => {
      for (let i = 0; i < 2; i++)
        expect(await cells(probe)).toEqual({
          'old commits': 'ok ok',
          'old savepoints': 'ok ok',
          // The planner computes constants.
          'old fails_inside': '22012 22012',
          'old leaves_it_open': 'ok ok',
          'old alone': 'ok ok',
        })
      await probe.operationLocks()
    })
    expect(await contents()).toEqual(before)
  })

  it('operations written as code, with a transaction of their own or without', async () => {
    const before = await contents()
    const traffic: TrafficDefinition = {
      operations: {
        plain: { run: (sql) => sql`insert into child (user_id) values (1)` },
        begin: {
          run: (sql) =>
            sql.begin(async (tx) => {
              await tx`insert into child (user_id) values (2)`
              return tx`select id from child where user_id = 2`
            }),
        },
        options: {
          run: (sql) => sql.begin('isolation level serializable', (tx) => [tx`insert into child (user_id) values (3)`]),
        },
        nested: {
          run: (sql) =>
            sql.begin(async (tx) => {
              await tx.savepoint((inner) => inner`insert into child (user_id) values (4)`)
              await tx
                .savepoint(async (inner) => {
                  await inner`select 1/0`
                })
                .catch(() => undefined)
              await tx`insert into child (user_id) values (5)`
            }),
        },
        throws: {
          run: (sql) =>
            sql.begin(async (tx) => {
              await tx`insert into child (user_id) values (6)`
              await tx`select nope from users`
            }),
        },
        caught: {
          run: async (sql) => {
            await sql.begin((tx) => tx`select 1/0`).catch(() => undefined)
            await sql`insert into child (user_id) values (7)`
          },
        },
        by_hand: {
          run: async (sql) => {
            await sql.unsafe('begin')
            await sql`insert into child (user_id) values (8)`
            await sql.unsafe('commit')
          },
        },
        tagged: {
          run: async (sql) => {
            await sql`begin`
            await sql`insert into child (user_id) values (9)`
            await sql`commit`
          },
        },
        orphan: { run: (sql) => sql.begin((tx) => tx`insert into child (user_id) values (5000)`) },
      },
    }
    await withProbe(codeOperations(traffic, 'old', 'old.ts'), async (probe) => {
      expect(await cells(probe)).toEqual({
        'old plain': 'ok -',
        'old begin': 'ok -',
        'old options': 'ok -',
        'old nested': 'ok -',
        'old throws': '42703 -',
        'old caught': 'ok -',
        'old by_hand': 'ok -',
        'old tagged': 'ok -',
        'old orphan': '23503 -',
      })
      expect(await contents()).toEqual(before)
      const locks = await probe.operationLocks()
      expect(locks.filter((l) => l.relation === 'child' && l.mode === 'ROW EXCLUSIVE').map((l) => l.operation)).toEqual(
        expect.arrayContaining(['plain', 'begin', 'by_hand', 'tagged']),
      )
    })
    expect(await contents()).toEqual(before)
  })
})

describe('operation locks', () => {
  it('the strongest mode on each relation while the operation runs, indexes included, of operations that work', async () => {
    const operations = OLD(`
-- name: read
\\set id random(1, :n)
select name from users where id = :id;
-- name: write
\\set id random(1, :n)
begin;
select * from users where id = :id for update;
update users set name = 'x' where id = :id;
commit;
-- name: reference
insert into child (user_id) values (1);
-- name: broken
select nope from users;
-- name: nothing
select 1;
`)
    const locks = await withProbe(operations, (probe) => probe.operationLocks())
    const found = locks.map((l) => `${l.operation}: ${l.mode} on ${l.kind} ${l.relation} of ${l.table}`).sort()
    expect(found).toEqual(
      [
        'read: ACCESS SHARE on index users_pkey of users',
        'read: ACCESS SHARE on table users of users',
        // INSERT lets go of the indexes of its table before its transaction ends.
        'reference: ROW SHARE on index users_pkey of users',
        'reference: ROW EXCLUSIVE on sequence child_id_seq of child_id_seq',
        'reference: ROW EXCLUSIVE on table child of child',
        'reference: ROW SHARE on table users of users',
        'write: ROW EXCLUSIVE on table users of users',
        'write: ROW EXCLUSIVE on index users_pkey of users',
      ].sort(),
    )
  })
})
