/** Schema changes and what becomes of the queries of both releases, sent anew and prepared before the change. */
import type { QuietPass } from '../../../src/recording.js'
import type { Operation } from '../../../src/traffic/operation.js'
import { parseScript } from '../../../src/traffic/script.js'

/** `ok` or the SQLSTATE: before the change, after it, and of the statement that was prepared before and used after. */
type Cell = [before: string, after: string, prepared: string | null]

export interface CompatChange {
  id: string
  sql: string
  setup?: string
  old: string
  new?: string
  /** By `release operation`. */
  expected: Record<string, Cell>
}

const OLD = `
-- name: names; prepared: yes
select id, nick from customers where id = 1;
-- name: all; prepared: yes
select * from customers where id = 1;
-- name: add; prepared: yes
insert into customers (email, nick) values ('x', 'y');
-- name: change; prepared: yes
update customers set score = 1 where id = 1;
-- name: unprepared; prepared: no
select * from customers where id = 1;
`
const fine = {
  'old names': ['ok', 'ok', 'ok'],
  'old all': ['ok', 'ok', 'ok'],
  'old add': ['ok', 'ok', 'ok'],
  'old change': ['ok', 'ok', 'ok'],
  'old unprepared': ['ok', 'ok', null],
} as const satisfies Record<string, Cell>
const expected = (changed: Record<string, Cell>): Record<string, Cell> => ({
  ...structuredClone<Record<string, Cell>>({ ...fine } as never),
  ...changed,
})

export const COMPAT: CompatChange[] = [
  {
    id: 'a new column',
    sql: 'alter table customers add column c text',
    old: OLD,
    new: '-- name: c; prepared: yes\nselect c from customers;',
    expected: expected({ 'old all': ['ok', 'ok', '0A000'], 'new c': ['42703', 'ok', null] }),
  },
  {
    id: 'a new column that must be given',
    sql: 'alter table customers add column c text not null default 1; alter table customers alter column c drop default',
    old: OLD,
    expected: expected({ 'old all': ['ok', 'ok', '0A000'], 'old add': ['ok', '23502', 'ok'] }),
  },
  {
    id: 'a column less',
    sql: 'alter table customers drop column nick',
    old: OLD,
    expected: expected({
      'old names': ['ok', '42703', '42703'],
      'old all': ['ok', 'ok', '0A000'],
      'old add': ['ok', '42703', '42703'],
    }),
  },
  {
    id: 'a column renamed',
    sql: 'alter table customers rename column nick to alias',
    old: OLD,
    new: '-- name: alias; prepared: yes\nselect alias from customers;',
    expected: expected({
      'old names': ['ok', '42703', '42703'],
      'old all': ['ok', 'ok', '0A000'],
      'old add': ['ok', '42703', '42703'],
      'new alias': ['42703', 'ok', null],
    }),
  },
  {
    id: 'a type widened',
    sql: 'alter table customers alter column nick type text',
    old: OLD,
    expected: expected({ 'old names': ['ok', 'ok', '0A000'], 'old all': ['ok', 'ok', '0A000'] }),
  },
  {
    id: 'a table renamed behind a view',
    sql: 'alter table customers rename to clients; create view customers as select * from clients; grant all on customers to app',
    old: OLD,
    expected: expected({}),
  },
  {
    id: 'a table renamed',
    sql: 'alter table customers rename to clients',
    old: OLD,
    expected: {
      'old names': ['ok', '42P01', '42P01'],
      'old all': ['ok', '42P01', '42P01'],
      'old add': ['ok', '42P01', '42P01'],
      'old change': ['ok', '42P01', '42P01'],
      'old unprepared': ['ok', '42P01', null],
    },
  },
  {
    id: 'a unique index dropped',
    sql: 'drop index customers_email_idx',
    old: `-- name: upsert; prepared: yes\ninsert into customers (email) values ('z') on conflict (email) do nothing;`,
    expected: { 'old upsert': ['ok', '42P10', '42P10'] },
  },
  {
    // The prepared statement holds the value's OID, not its name.
    id: 'an enum value renamed',
    sql: `alter type shade rename value 'red' to 'crimson'`,
    old: `-- name: red; prepared: yes\nselect id from paints where s = 'red';\n-- name: paint; prepared: no\ninsert into paints values (9999, 'red');`,
    new: `-- name: crimson; prepared: no\nselect id from paints where s = 'crimson';`,
    expected: {
      'old red': ['ok', '22P02', 'ok'],
      'old paint': ['ok', '22P02', null],
      'new crimson': ['22P02', 'ok', null],
    },
  },
  {
    id: 'NOT NULL, a CHECK and a foreign key',
    sql: `alter table customers alter column nick set not null;
      alter table orders add constraint positive check (total > 0) not valid;
      alter table orders add constraint fk foreign key (customer_id) references customers (id) deferrable initially deferred`,
    old: `-- name: no nick; prepared: no\ninsert into customers (email) values ('q');
-- name: negative; prepared: no\ninsert into orders (total) values (-1);
-- name: orphan; prepared: no\ninsert into orders (customer_id, total) values (88888, 1);`,
    expected: {
      'old no nick': ['ok', '23502', null],
      'old negative': ['ok', '23514', null],
      'old orphan': ['ok', '23503', null],
    },
  },
  {
    id: 'a new table without a grant',
    sql: 'create table t (id int); revoke all on t from app',
    old: '-- name: read; prepared: no\nselect id from paints;',
    new: '-- name: t; prepared: no\nselect id from t;',
    expected: { 'old read': ['ok', 'ok', null], 'new t': ['42P01', '42501', null] },
  },
]

export const compatOperations = (change: CompatChange): Operation[] => [
  ...parseScript(change.old, 'old.sql', 'old'),
  ...(change.new === undefined ? [] : parseScript(change.new, 'new.sql', 'new')),
]

export function outcomes(pass: QuietPass): Record<string, Cell> {
  const last = pass.states.at(-1)?.id
  const word = (outcome: QuietPass['compat'][number]['fresh']): string => (outcome.ok ? 'ok' : outcome.error.sqlstate)
  const found: Record<string, Cell> = {}
  for (const before of pass.compat.filter((cell) => cell.state === 'before')) {
    const after = pass.compat.find(
      (c) => c.state === last && c.release === before.release && c.operation === before.operation,
    )
    if (!after) continue
    found[`${before.release} ${before.operation}`] = [
      word(before.fresh),
      word(after.fresh),
      after.prepared === null ? null : word(after.prepared),
    ]
  }
  return found
}
