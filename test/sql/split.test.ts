import { describe, expect, it } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import { splitSql } from '../../src/sql/split.js'

const linesOf = async (text: string): Promise<[number, string][]> =>
  (await splitSql(text, 'a.sql')).map((s) => [s.line, s.sql])

async function failure(text: string): Promise<RehearsalError> {
  const error: unknown = await splitSql(text, 'dir/a.sql').catch((e: unknown) => e)
  expect(error).toBeInstanceOf(RehearsalError)
  return error as RehearsalError
}

describe('splitSql', () => {
  it.each<[string, string, [number, string][]]>([
    ['one without a semicolon', 'select 1', [[1, 'select 1']]],
    ['nothing', '', []],
    ['white space', ' \r\n\t', []],
    ['comments only', '-- a;\n/* b; /* c */ */', []],
    [
      'empty statements',
      ';;select 1;;\n;select 2;;',
      [
        [1, 'select 1'],
        [2, 'select 2'],
      ],
    ],
    [
      'leading comments',
      '-- é\n/* 😀\n */ select 1;\n-- x\n\n  select 2',
      [
        [3, 'select 1'],
        [6, 'select 2'],
      ],
    ],
    [
      'trailing comments',
      'select 1 -- a\n;\nselect 2 /* b */ -- c\n',
      [
        [1, 'select 1'],
        [3, 'select 2'],
      ],
    ],
    ['inner comments stay', 'select /* a */ 1;', [[1, 'select /* a */ 1']]],
    [
      'dollar quotes',
      'do $x$ begin; $$;$$ end $x$;\nselect 1',
      [
        [1, 'do $x$ begin; $$;$$ end $x$'],
        [2, 'select 1'],
      ],
    ],
    [
      'semicolons in quotes',
      `select ';', ";", E'\\';', U&';';\nselect 2`,
      [
        [1, `select ';', ";", E'\\';', U&';'`],
        [2, 'select 2'],
      ],
    ],
    [
      'non-ASCII',
      "select 'é😀漢';\nselect 'ü' as \"ñ;\" ;select 3",
      [
        [1, "select 'é😀漢'"],
        [2, 'select \'ü\' as "ñ;"'],
        [2, 'select 3'],
      ],
    ],
    [
      'a string over lines',
      "select 'a\nb';\nselect 2",
      [
        [1, "select 'a\nb'"],
        [3, 'select 2'],
      ],
    ],
    [
      'CRLF',
      'select 1;\r\n\r\nselect\r\n2;\r\n',
      [
        [1, 'select 1'],
        [3, 'select\r\n2'],
      ],
    ],
    [
      'a byte order mark',
      '\uFEFFselect 1;\nselect 2',
      [
        [1, 'select 1'],
        [2, 'select 2'],
      ],
    ],
    [
      'a function body in SQL',
      'create function f() returns int begin atomic select 1; select 2; end;\nselect 3',
      [
        [1, 'create function f() returns int begin atomic select 1; select 2; end'],
        [2, 'select 3'],
      ],
    ],
    [
      'statements whose grammar begins with something optional',
      'insert into t values(1);\nupdate t set a=1;\n delete from t;\n(select 1);\nvalues(1);\ntable t;\nwith x as (select 1) select 1;\ncommit;\nend',
      [
        [1, 'insert into t values(1)'],
        [2, 'update t set a=1'],
        [3, 'delete from t'],
        [4, '(select 1)'],
        [5, 'values(1)'],
        [6, 'table t'],
        [7, 'with x as (select 1) select 1'],
        [8, 'commit'],
        [9, 'end'],
      ],
    ],
  ])('%s', async (_, text, expected) => {
    expect(await linesOf(text)).toEqual(expected)
  })

  it('numbers the statements and names their kind', async () => {
    expect(await splitSql(';create table t();\nalter table t add a int;', 'm/1.sql')).toEqual([
      {
        id: 'm/1.sql#1',
        file: 'm/1.sql',
        line: 1,
        exactLine: true,
        ordinal: 1,
        sql: 'create table t()',
        kind: 'CreateStmt',
        concurrently: false,
        actions: [],
      },
      {
        id: 'm/1.sql#2',
        file: 'm/1.sql',
        line: 2,
        exactLine: true,
        ordinal: 2,
        sql: 'alter table t add a int',
        kind: 'AlterTableStmt',
        concurrently: false,
        actions: [{ action: 'AT_AddColumn', name: null, notValid: false }],
      },
    ])
  })

  it('tells the parts of an ALTER TABLE, and CONCURRENTLY', async () => {
    const [alter, index] = await splitSql(
      `alter table t alter "C" set not null, add constraint ck check (a > 0) not valid, add foreign key (a) references u;
       create index concurrently i on t (a)`,
      'a.sql',
    )
    expect(alter?.actions).toEqual([
      { action: 'AT_SetNotNull', name: 'C', notValid: false },
      { action: 'CONSTR_CHECK', name: 'ck', notValid: true },
      { action: 'CONSTR_FOREIGN', name: null, notValid: false },
    ])
    expect(index).toMatchObject({ kind: 'IndexStmt', concurrently: true, actions: [] })
  })

  it('splits thousands of statements at the right places', async () => {
    const text = Array.from({ length: 5000 }, (_, i) => `insert into "é" values (${i}, '😀;')`).join(';\n')
    const statements = await splitSql(text, 'a.sql')
    expect(statements).toHaveLength(5000)
    expect(statements[4321]).toMatchObject({ line: 4322, sql: `insert into "é" values (4321, '😀;')` })
  })

  it.each<[string, string, number, RegExp]>([
    ['syntax error', 'select 1;\n\nselec 2', 3, /syntax error at or near "selec"/],
    ['syntax error after non-ASCII text', "select 'é😀';\n-- 漢漢漢漢漢漢漢\nselec 2;\n\n\n", 3, /selec/],
    ['syntax error at the end', 'select 1;\nselect (\n\n', 4, /end of input/],
    ['unterminated quote', "select 1;\nselect 'abc\n\n", 2, /unterminated quoted string/],
    ['unterminated comment', 'select 1;\n/* abc\n\n', 2, /unterminated \/\* comment/],
    ['unterminated dollar quote', 'select 1;\n\ndo $$ abc', 3, /unterminated dollar-quoted string/],
    ['NUL', 'select 1;\nselect\0 2', 2, /NUL/],
    ['COPY FROM STDIN', 'select 1;\ncopy t from stdin;', 2, /COPY .* FROM STDIN.*INSERT, or a seed/],
    ['COPY FROM STDIN with data', "select 1;\n\ncopy t from stdin;\n1;2\t'x\n\\.\nselect 1;", 3, /COPY/],
    ['psql command', 'select 1;\n\\connect other\nselect 2', 2, /\\connect is a command of psql/],
    ['psql command after a statement', 'select 1 \\gset', 1, /\\gset/],
    ['nested too deep', `select ${'('.repeat(20000)}1`, 1, /memory exhausted/],
  ])('refuses: %s', async (_, text, line, message) => {
    const error = await failure(text)
    expect(error.code).toBe('SQL_UNREADABLE')
    expect(error.message).toMatch(message)
    expect(error.message).toMatch(new RegExp(`^dir/a\\.sql:${line}: `))
    expect(error.exitCode).toBe(2)
  })

  it('accepts COPY from a file and to STDOUT', async () => {
    expect(await linesOf("copy t from '/tmp/x';copy t to stdout")).toHaveLength(2)
  })
})
