/**
 * What the server tells by itself of each statement inside one message, against what asking between the statements
 * tells: the same statements, on two equal databases.
 */
import { describe, expect, it } from 'vitest'
import { installLooks, LookReader, removeLooks } from '../../src/observe/looks.js'
import { lookKind, tellsApart } from '../../src/pass/message-shape.js'
import { piecesOf } from '../../src/migrations/wire-trace/steps.js'
import { connect as observe, disconnect } from '../../src/pg/connect.js'
import type { Work } from '../../src/recording.js'
import { connect } from '../support/postgres.js'
import { CASES, comparable, inCopy, measured, serverOf } from './looks-build.js'

const started = serverOf(18)
const server = (): NonNullable<ReturnType<typeof started>> => {
  const found = started()
  if (!found) throw new Error('PostgreSQL 18 is not installed')
  return found
}

const locks = (work: Work | null | undefined): string[] =>
  (work?.locks ?? []).flatMap((l) => (l.existedBefore && l.kind === 'table' ? [`${l.mode} ${l.relation}`] : [])).sort()

/** Event triggers and schemas of ours in a database. */
async function leftIn(at: Parameters<Parameters<typeof inCopy>[1]>[0]): Promise<string[]> {
  const admin = connect(at.admin)
  const rows = await admin<{ name: string }[]>`
    select evtname as name from pg_event_trigger union all
    select nspname from pg_namespace where nspname ~ 'rehearse' union all
    select proname from pg_proc where proname ~ 'rehearse' or pronamespace::regnamespace::text ~ 'rehearse'`
  await admin.end()
  return rows.map(({ name }) => name)
}

/** All of them, on both majors and sent in every way: test/slow/tool-looks.test.ts. */
const FAST = /^(?:rewrites|rows written|LOCK and|settings|things|a partition|CREATE TABLE AS)/

it.each(CASES.filter(([name]) => FAST.test(name)))('%s', async (_, text) => {
  const asked = await inCopy(server(), (at) => measured(at, text, null))
  expect(asked.trace.run.outcome).toEqual({ ok: true })
  await inCopy(server(), async (at) => {
    const told = await measured(at, text, [text])
    expect(told.trace.run.outcome).toEqual({ ok: true })
    // Among them would be that the message was taken apart.
    expect(told.warnings).toEqual([])
    expect(told.works).toHaveLength(asked.works.length)
    // SET does nothing that could be seen.
    expect(told.works.map(comparable)).toEqual(asked.works.map((work, i) => told.works[i] && comparable(work)))
    expect(told.works.filter((work) => work === null)).toHaveLength(
      text.match(/\bset (?:local )?\w+_timeout/g)?.length ?? 0,
    )
    expect(await leftIn(at)).toEqual([])
  })
})

describe('messages that are no plain list of statements', () => {
  it('one that fails in the middle: what came before it, and its own locks', async () => {
    const text =
      'alter table child add column a int; alter table users add constraint c check (age < 0); alter table loose add column b int'
    await inCopy(server(), async (at) => {
      const { works, trace, warnings } = await measured(at, text, [text])
      expect(trace.run).toMatchObject({
        outcome: { ok: false, error: { sqlstate: '23514' } },
        failedStatement: '1.sql#2',
      })
      expect(works).toHaveLength(2)
      expect(works[0]).toMatchObject({ locksFrom: 'transaction' })
      expect(locks(works[0])).toEqual(['ACCESS EXCLUSIVE child'])
      expect(works[1]).toMatchObject({ locksFrom: 'sampled', rewrites: [], scans: [] })
      expect(locks(works[1])).not.toContain('ACCESS EXCLUSIVE child')
      expect(warnings).toEqual([])
      expect(await leftIn(at)).toEqual([])
    })
  })

  it('with its own BEGIN and COMMIT', async () => {
    const text =
      "set lock_timeout = '3s'; begin; alter table child add column a int; alter table users add column b int; commit; alter table child add column c int"
    await inCopy(server(), async (at) => {
      const { works, trace, warnings } = await measured(at, text, [text])
      expect(trace.run.transactions.map(({ kind, statements }) => [kind, statements.length])).toEqual([
        ['explicit', 5],
        ['autocommit', 1],
      ])
      expect(works.map(locks)).toEqual([
        [],
        [],
        ['ACCESS EXCLUSIVE child'],
        ['ACCESS EXCLUSIVE users'],
        [],
        // Another transaction: it takes the lock anew.
        ['ACCESS EXCLUSIVE child'],
      ])
      expect(works[2]).toMatchObject({ lockTimeoutMs: 3_000 })
      expect(warnings).toEqual([])
    })
  })

  it('in a database of many relations, whose look is longer than one notice may be', async () => {
    const text = 'alter table child add column a int; create index i on users (age)'
    await inCopy(server(), async (at) => {
      const admin = observe(at.admin, { applicationName: 'test' })
      await admin
        .unsafe(
          `do $$begin for i in 1..600 loop execute 'create table crowd_of_tables_' || i || ' (id int)'; end loop; end$$`,
        )
        .simple()
      await disconnect(admin)
      const { works, warnings } = await measured(at, text, [text])
      expect(works.map(locks)).toEqual([['ACCESS EXCLUSIVE child'], ['SHARE users']])
      expect(warnings).toEqual([])
    })
  })

  it('CREATE INDEX CONCURRENTLY alone is watched from outside', async () => {
    const text = 'create index concurrently i on users (age)'
    await inCopy(server(), async (at) => {
      const { works, trace } = await measured(at, text, [text])
      expect(trace.run.outcome).toEqual({ ok: true })
      expect(works[0]).toMatchObject({ locksFrom: 'sampled', indexBuilds: [{ relation: 'i' }] })
      // A look may fall into the moment in which the session is asked for the sizes of the tables.
      const its = locks(works[0]).filter((lock) => !lock.startsWith('ACCESS SHARE'))
      expect(its).toEqual(['SHARE UPDATE EXCLUSIVE users'])
      expect(works[0]?.transactions).toBeGreaterThan(1)
      expect(await leftIn(at)).toEqual([])
    })
  })

  it('a pipeline', async () => {
    const parts = [
      'alter table child add column a int',
      'create index on users (age)',
      'alter table users add column b int',
    ]
    await inCopy(server(), async (at) => {
      const { works, trace, warnings } = await measured(at, parts.join(';'), [parts])
      expect(trace.run.outcome).toEqual({ ok: true })
      expect(works.map(locks)).toEqual([['ACCESS EXCLUSIVE child'], ['SHARE users'], ['ACCESS EXCLUSIVE users']])
      expect(works[1]?.indexBuilds).toMatchObject([{ table: 'users' }])
      expect(warnings).toEqual([])
    })
  })

  it('a pipeline that cannot be told apart is sent in pieces', async () => {
    const parts = ['alter table child add column a int', 'update users set age = 1', 'update child set a = 1']
    await inCopy(server(), async (at) => {
      const { works, warnings } = await measured(at, parts.join(';'), [parts])
      expect(locks(works[0])).toEqual(['ACCESS EXCLUSIVE child'])
      expect(works.map((work) => work?.rowsWritten.map(({ updated }) => updated))).toEqual([[], [5000], [3000]])
      expect(warnings).toHaveLength(1)
    })
  })

  it('what can neither be told apart nor sent in pieces is not made up', async () => {
    const text =
      'begin; update users set age = 1; update child set note = null; alter table child add column a int; commit'
    await inCopy(server(), async (at) => {
      const { works, warnings, trace } = await measured(at, text, [text])
      expect(trace.run.outcome).toEqual({ ok: true })
      expect(works.slice(1, 3)).toEqual([null, null])
      expect(locks(works[3])).toEqual(['ACCESS EXCLUSIVE child'])
      expect(warnings.filter((one) => one.includes('could not be told apart'))).toHaveLength(2)
    })
  })

  it('one of several silent statements is sent in pieces, and it says so', async () => {
    const text = 'update users set age = 1 where id <= 5; update child set note = null where id <= 7'
    await inCopy(server(), async (at) => {
      const { works, warnings } = await measured(at, text, [text])
      expect(works.map((work) => work?.rowsWritten.map(({ updated }) => updated))).toEqual([[5], [7]])
      expect(warnings).toHaveLength(1)
      expect(warnings[0]).toMatch(/^1\.sql: .*statement by statement/)
    })
  })
})

describe('what is expected to be seen is seen', () => {
  /** Statements that work one after the other on the tables. */
  const STATEMENTS = `
    create table x (id int primary key, v text); create table y as select 1 as a; select 2 as b into z;
    create index xi on x (v); create view v as select * from x; create or replace view v as select * from x;
    create materialized view m as select * from x; refresh materialized view m; create sequence s; alter sequence s restart;
    create type e as enum ('a'); alter type e add value 'b'; create domain dom as int check (value > 0); create schema sch;
    create function g() returns int language sql as 'select 1'; alter function g() cost 5; create procedure p() language sql as 'select 1';
    create trigger t before insert on users for each row execute function f(); alter trigger t on users rename to t2;
    create rule r as on insert to x do also nothing; create policy pol on users using (true); alter policy pol on users using (false);
    alter table users enable row level security; alter table x rename to x2; alter table x2 rename column v to w;
    alter table x2 owner to owner; alter table x2 set schema sch; alter index sch.xi rename to xj; create statistics st on id, age from users;
    alter statistics st set statistics 50; comment on table users is 'x'; comment on role app is 'x'; comment on database DB is 'x';
    grant select on users to app; revoke select on users from app; grant connect on database DB to app;
    alter default privileges grant select on tables to app; create publication pub for table users; drop publication pub;
    insert into users values (-1); update users set age = 1 where id = 1; delete from users where id = -1;
    merge into users u using child c on u.id = c.id and c.id = 1 when matched then update set age = 2; truncate loose; lock table users in share mode;
    analyze users; cluster child using child_pkey; reindex table users; reindex index users_pkey; set constraints all immediate;
    set local lock_timeout = '1s'; reset lock_timeout; show lock_timeout; discard plans; notify n; listen n; checkpoint;
    alter database DB set work_mem = '4MB'; create role other; alter role other nologin; drop role other; grant app to owner; revoke app from owner;
    create extension plpgsql_check_is_no_extension; drop policy pol on users; drop owned by app; reassign owned by app to owner;
    alter system set work_mem = '5MB'; alter materialized view m rename to m2; security label on table users is null;
    import foreign schema a from server b into c; create foreign data wrapper fdw; alter foreign data wrapper fdw options (a 'b');
    create server srv foreign data wrapper fdw; create user mapping for app server srv; create operator family of using btree;
    create aggregate ag (int) (sfunc = int4pl, stype = int); create cast (mood as int) with inout as assignment; create collation c from "C";
    create text search configuration tc (copy = simple); create access method am type table handler heap_tableam_handler;
    create event trigger et on ddl_command_end execute function sch_none.f(); drop table sch.x2 cascade; drop view if exists nothing;
    drop index child_note_idx; drop type e; drop schema sch cascade`

  it('loud statements look once, silent ones never', async () => {
    await inCopy(server(), async (at) => {
      const reader = new LookReader()
      const seen: string[] = []
      const wrong: string[] = []
      let tried = 0
      const admin = observe(at.admin, { applicationName: 'test' })
      const { database } = at.admin
      const sql = observe(at.admin, {
        applicationName: 'statements',
        settings: { client_min_messages: 'log' },
        onNotice: (notice) => {
          const look = reader.read(notice['message'] ?? '')
          if (look) seen.push(look.event)
        },
      })
      await installLooks(admin)
      for (const piece of piecesOf(STATEMENTS.replaceAll(' DB ', ` ${database} `))) {
        const kind = lookKind(piece)
        // Of those that may run anything nothing is expected.
        if (kind === 'silent' && !tellsApart([piece], true)) continue
        seen.length = 0
        const outside = piece.facts?.refusesTransactionBlock === true
        try {
          await sql.unsafe(outside ? piece.sql : `begin; ${piece.sql}; commit`).simple()
        } catch {
          // What this server does not have, or not with these rights, tells nothing.
          await sql.unsafe('rollback').simple()
          continue
        }
        tried++
        const expected = kind === 'loud' ? ['ddl_command_start', 'ddl_command_end'] : []
        // A statement may run others inside it; the outermost pair is its own.
        const outermost = seen.length > 2 && kind === 'loud' ? [seen[0], seen.at(-1)] : seen
        if (JSON.stringify(outermost) !== JSON.stringify(expected))
          wrong.push(`${kind} ${piece.sql}: ${seen.join(' ')}`)
      }
      await removeLooks(admin)
      await disconnect(sql)
      await disconnect(admin)
      expect(tried).toBeGreaterThan(70)
      expect(wrong).toEqual([])
      expect(await leftIn(at)).toEqual([])
    })
  })
})
