/** Equal databases, and what is told of the same statements on each of them in another way. */
import { afterAll, beforeAll } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import { dissect, type Dissected } from '../../src/pass/dissect.js'
import { dissectTool } from '../../src/pass/tool-dissect.js'
import { readRelations } from '../../src/pg/catalog.js'
import { connect as observe, disconnect } from '../../src/pg/connect.js'
import type { Work } from '../../src/recording.js'
import type { Message } from '../migrations/wire-trace/build.js'
import { migrationFiles, passInput } from '../pass/build.js'
import { scripted } from '../pass/tool-build.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { inCi } from '../support/tools.js'

const TABLES = `
  create table users (id int primary key, name text, age int);
  insert into users select g, 'u' || g, g % 90 from generate_series(1, 5000) g;
  create table child (id int primary key, user_id int, note text);
  insert into child select g, g, 'n' from generate_series(1, 3000) g;
  create index child_note_idx on child (note);
  create table parted (id int, at int) partition by range (at);
  create table parted_1 partition of parted for values from (0) to (10);
  create table loose (id int, at int);
  insert into loose select g, 10 + g % 10 from generate_series(1, 1000) g;
  create type mood as enum ('good', 'bad');
  create materialized view names as select name from users;
  create sequence numbers;
  create view grown as select * from users where age > 17;
  create function f() returns trigger language plpgsql as $$begin return new; end$$;
  analyze;`

let databases = 0

/** The same database again, and a body with the addresses of it. */
export async function inCopy<T>(server: TestServer, body: (at: TestServer) => Promise<T>): Promise<T> {
  const database = `copy_${++databases}`
  const maker = connect({ ...server.admin, database: 'postgres' })
  await maker.unsafe(`create database ${database} template ${server.admin.database} owner ${server.migrate.user}`)
  try {
    const at = <A extends object>(address: A): A & { database: string } => ({ ...address, database })
    return await body({ ...server, admin: at(server.admin), migrate: at(server.migrate), app: at(server.app) })
  } finally {
    await maker.unsafe(`drop database ${database} with (force)`)
    await maker.end()
  }
}

export interface Done extends Dissected {
  works: (Work | null)[]
}

/** What each statement did: asked between them, or (given messages) told by the server, as a tool sends them. */
export async function measured(at: TestServer, text: string, messages: readonly Message[] | null): Promise<Done> {
  const admin = observe(at.admin, { applicationName: 'test' })
  try {
    const files = (await migrationFiles([text])).map((file) => ({ ...file, name: file.file }))
    const input = passInput(at, { migrations: files, transaction: 'batch' })
    const options = { input, admin, files, initial: await readRelations(admin), onCommit: () => Promise.resolve() }
    const done =
      messages === null
        ? await dissect(options)
        : await dissectTool({ ...options, tool: scripted({ messages, texts: [text] }) })
    return { ...done, works: done.trace.run.statements.map(({ work }) => work) }
  } finally {
    await disconnect(admin)
  }
}

/** A TOAST table is called after a number, which is another in every database. */
const plain = (name: string): string => name.replace(/^(pg_toast\.pg_toast)_\d+/, '$1')

const byRelation = <T extends { relation: string }>(list: readonly T[]): T[] =>
  [...list].sort((a, b) => a.relation.localeCompare(b.relation))

/** WAL holds what the server's background writers and the looks themselves wrote. */
export const comparable = (work: Work | null): unknown =>
  work && {
    ...work,
    walBytes: null,
    transactions: null,
    locks: work.locks
      .map((l) => `${l.mode} ${l.kind} ${plain(l.relation)} of ${l.table}${l.existedBefore ? '' : ', new'}`)
      .sort(),
    rewrites: byRelation(work.rewrites),
    indexBuilds: byRelation(work.indexBuilds),
    scans: byRelation(work.scans),
    rowsWritten: byRelation(work.rowsWritten),
    sizeChanges: byRelation(work.sizeChanges),
  }

/** A server of the major with the tables for all tests of a group; null where it is not installed. */
export function serverOf(major: number): () => TestServer | null {
  let server: TestServer | null = null
  beforeAll(async () => {
    try {
      server = await startServer({ major })
    } catch (error) {
      if (inCi || !(error instanceof RehearsalError) || error.code !== 'NO_BINARIES') throw error
      return
    }
    const owner = connect(server.migrate)
    await owner.unsafe(TABLES).simple()
    await owner.end()
  })
  afterAll(() => server?.stop())
  return () => server
}

/** Statements of one message each. Between two that the server looks at there is at most one that it does not. */
export const CASES: [string, string][] = [
  [
    'locks on one table',
    'alter table users add column a int; alter table users alter column age set not null; comment on table users is $$x$$',
  ],
  [
    'locks on several',
    'alter table users add column a int; create index on child (user_id); alter table child add column b int',
  ],
  [
    'rewrites',
    'alter table users add column x float default random(); alter table child alter column user_id type bigint; create index on users (x)',
  ],
  [
    'a foreign key and its validation',
    'alter table child add constraint c foreign key (user_id) references users (id) not valid; alter table child validate constraint c',
  ],
  [
    'rows written between two statements of DDL',
    'alter table users add column a int; update users set a = 1 where id <= 700; alter table users alter column a set default 0',
  ],
  [
    'a new table that is filled',
    'create table fresh (id int, v text); insert into fresh select id, name from users; create index on fresh (v)',
  ],
  ['TRUNCATE between', 'alter table child add column a int; truncate child; create index on child (a)'],
  [
    'LOCK and DELETE between',
    'create table x (); lock table users in share mode; create table y (); delete from child where id > 2900; create table z ()',
  ],
  [
    'settings',
    "set local lock_timeout = '2s'; alter table users add column a int; set statement_timeout = '9s'; alter table child add column a int",
  ],
  [
    'things dropped and renamed',
    'drop index child_note_idx; drop view grown; alter table users rename column name to title; alter table loose rename to tight',
  ],
  [
    'a partition',
    'alter table parted attach partition loose for values from (10) to (20); create index on parted (at)',
  ],
  [
    'views, types, functions, rights',
    "create view old as select id from users; alter type mood add value 'mixed'; create trigger f before insert on users for each row execute function f(); grant select on users to app; drop function f() cascade",
  ],
  [
    'a materialized view',
    'refresh materialized view names; create unique index on names (name); alter sequence numbers restart with 5',
  ],
  [
    'CREATE TABLE AS',
    'create table copied as select * from users; alter table copied add primary key (id); analyze child; create index on copied (name)',
  ],
  ['CLUSTER between', 'create index i on child (user_id); cluster child using i; alter table child add column a int'],
  [
    'several actions at once, and options',
    "drop view grown; drop materialized view names; alter table users alter column name type varchar(20), add column b text default 'x', drop column age; alter table users set (fillfactor = 70)",
  ],
]
