import { describe, expect, it } from 'vitest'
import { claimsOf, precheck } from '../../src/sql/claims.js'

const told = (sql: string): unknown[] =>
  claimsOf(sql).map(({ kind, schema, table, columns, ofRowsThere }) => [
    kind,
    `${schema}.${table}`,
    columns.join(),
    ofRowsThere,
  ])

describe('what a statement takes for granted', () => {
  it.each<[string, unknown[]]>([
    ['alter table a alter column b set not null', [['not null', 'public.a', 'b', true]]],
    ['alter table a add constraint n not null b', [['not null', 'public.a', 'b', true]]],
    ['alter table s.a alter b type int using b::int', [['type', 's.a', 'b', true]]],
    ['alter table a alter b type varchar(9)', [['type', 'public.a', 'b', true]]],
    ['alter table a alter b type bigint', []],
    ['alter table a add constraint c check (b > 0)', [['check', 'public.a', '', true]]],
    ['alter table a add constraint c check (b > 0) not valid', [['check', 'public.a', '', false]]],
    ['alter table a validate constraint c', [['validate', 'public.a', '', true]]],
    ['alter table a add foreign key (b, c) references d', [['foreign key', 'public.a', 'b,c', true]]],
    [
      'alter table a add constraint u unique (b), add primary key (c)',
      [
        ['unique', 'public.a', 'b', true],
        ['unique', 'public.a', 'c', true],
      ],
    ],
    ['create unique index concurrently u on a (b) where c', [['unique', 'public.a', 'b', true]]],
    ['create unique index u on a (lower(b))', [['unique', 'public.a', '', true]]],
    ['alter table a add constraint u unique using index i', []],
    ['create index i on a (b)', []],
    ['alter table a add column b int not null', []],
    ['create table a (b int not null references c)', []],
    ['this is no SQL', []],
  ])('%s', (sql, expected) => {
    expect(told(sql)).toEqual(expected)
  })
})

describe('the query that tells before', () => {
  const query = (sql: string): (string | null)[] => claimsOf(sql).map(precheck)
  it.each<[string, string | null]>([
    ['alter table "A" alter column b set not null', 'select count(*) from "A" where b is null;'],
    [
      `alter table s.a add constraint "c)" check (b in ('x', ')') and length(c) > (1 + 2)) not valid`,
      `select count(*) from s.a where not (b in ('x', ')') and length(c) > (1 + 2));`,
    ],
    [
      'create unique index on a (b, c) where d > 0',
      'select count(*) from (select 1 from a where (d > 0) and b is not null and c is not null group by b, c having count(*) > 1) as doubles;',
    ],
    [
      'alter table a add foreign key (b) references d (id)',
      'select count(*) from a as r where r.b is not null and not exists (select 1 from d as t where t.id = r.b);',
    ],
    ['alter table a add foreign key (b) references d', null],
    ['alter table a alter b type int using b::int', null],
    ['create unique index on a (lower(b))', null],
  ])('%s', (sql, expected) => {
    expect(query(sql)).toEqual([expected])
  })
})
