import { scanSync } from 'libpg-query'
import { describe, expect, it } from 'vitest'
import { lex } from '../../src/sql/lexer.js'
import { normaliseSql } from '../../src/sql/normalise.js'

describe('normaliseSql', () => {
  it.each([
    ["select * from t where a = 'x' and b = 5", 'select * from t where a = $1 and b = $2'],
    ["select * from t where a = $2 and b = 'x' -- secret", 'select * from t where a = $2 and b = $3'],
    ["select 'a' /* secret 'b' */ as z", 'select $1 as z'],
    ['/* secret */\nselect  1', 'select $1'],
    [
      "insert into t values (E'a\\'secret', $q$secret$q$, U&'s', B'101', X'1f', N'n', 1.5e3, .5, 0x1F, 1_000)",
      'insert into t values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)',
    ],
    [
      "create table t (a varchar(20) default 'secret', b numeric(10, 2) check (b > 42))",
      'create table t (a varchar(20) default $1, b numeric(10, 2) check (b > $2))',
    ],
    ["comment on table t is 'secret'", 'comment on table t is $1'],
    ["alter role x password 'secret'", 'alter role x password $1'],
    ["prepare p as select 'secret', 7", 'prepare p as select $1, $2'],
    ["do $$ begin perform 'secret'; end $$", 'do $1'],
    [
      'select a, count(*) from t group by 1 order by 2 desc limit 10',
      'select a, count(*) from t group by 1 order by 2 desc limit $1',
    ],
    ['select \'漢\', a from "é" order by 2, 99 + 1', 'select $1, a from "é" order by 2, $2 + $3'],
    ["select interval '1' day, date '2020-01-01', 5", 'select interval $1 day, date $2, $3'],
    ["select 'é'::varchar(7), 8", 'select $1::varchar(7), $2'],
    ['select -7, a-1, t1.c2 from t1', 'select -$1, a-$2, t1.c2 from t1'],
    ["selec 'secret' 42 varchar(20)", 'selec $1 $2 varchar($3)'],
    ["select 'secret", '(unreadable SQL)'],
    ['select /* secret', '(unreadable SQL)'],
    ['select $$ secret', '(unreadable SQL)'],
    ['select "secret', '(unreadable SQL)'],
    ["select 'a\0secret', 42", 'select $1, $2'],
    ['', ''],
  ])('%s', (sql, expected) => {
    expect(normaliseSql(sql)).toBe(expected)
  })
})

describe('lex', () => {
  it.each([
    "select 'it''s', E'\\\\' , \"q\"\"\", $1, $a$ ' $a$, $$x$$, a::int, x := 1, b[1:2], 1.5, .5, 1e5, -- c\n /* a /* b */ c */ é.ñ$1 <> 2",
    "select U&\"d\", B'01', X'1f', e'\\'', 1 from t1 where a->>'x' @> '{}' and b !~~* 'é😀'",
    "create function f() returns int language sql as $body$ select 'a'; $body$;",
  ])('finds the literals and comments that the parser finds in %s', (sql) => {
    // The scanner of libpg-query counts bytes, and calls some string forms UNKNOWN: those are told by their text.
    const bytes = Buffer.from(sql)
    const isData = (text: string): boolean => /^(?:[eEbBxX]|U&)?'|^\$\w*\$|^\.?\d|^--|^\/\*/.test(text)
    const theirs = scanSync(sql)
      .tokens.map((t) => bytes.subarray(t.start, t.end).toString())
      .filter(isData)
    const ours = [...lex(sql)]
      .filter((t) => t.kind === 'string' || t.kind === 'number' || t.kind === 'comment')
      .map((t) => sql.slice(t.start, t.end))
    expect(ours).toEqual(theirs)
  })

  it('covers every character once', () => {
    const sql = "a 'b' /* c */ \\d $1 $x 1.2.3 \"e ' -- f"
    expect([...lex(sql)].map((t) => sql.slice(t.start, t.end)).join('')).toBe(sql)
  })
})
