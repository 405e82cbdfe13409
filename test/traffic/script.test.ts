import { describe, expect, it } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import type { ScriptOperation, Step, Variables } from '../../src/traffic/operation.js'
import { Random } from '../../src/traffic/random.js'
import { parseScript } from '../../src/traffic/script.js'

const VARIABLES: Variables = { rows: 1000, clientId: 3, seed: 7 }

function parseOne(body: string, header = '-- name: op'): ScriptOperation {
  const [operation] = parseScript(`${header}\n${body}`, 'old.sql', 'old')
  if (operation === undefined) throw new Error('no operation')
  return operation
}

const run = (operation: ScriptOperation, seed = 1): Step[] => operation.bind(VARIABLES, new Random(seed))
const statements = (body: string, header?: string): unknown[] =>
  run(parseOne(body, header)).map((step) =>
    step.kind === 'statement' ? [step.bound.text, step.bound.params] : step.ms,
  )

function failure(text: string): RehearsalError {
  try {
    parseScript(text, 'dir/old.sql', 'old')
  } catch (error) {
    expect(error).toBeInstanceOf(RehearsalError)
    return error as RehearsalError
  }
  throw new Error('was accepted')
}

describe('sections', () => {
  it('may have a rate of their own and a time to think', () => {
    const traits = (header: string) => {
      const [operation] = parseScript(`-- name: a${header}\nselect 1`, 'old.sql', 'old')
      return { rate: operation?.ratePerSecond, think: operation?.thinkMs }
    }
    expect(traits('')).toEqual({ rate: undefined, think: undefined })
    expect(traits('; rate: 0.5; think: 20ms')).toEqual({ rate: 0.5, think: 20 })
    expect([traits('; think: 1.5s'), traits('; think: 500us'), traits('; think: 2m')]).toMatchObject([
      { think: 1_500 },
      { think: 0.5 },
      { think: 120_000 },
    ])
  })

  it('read their header, and default to weight 1 and prepared', () => {
    const text = [
      '-- traffic of the shop',
      '',
      '-- name: a; weight: 10; prepared: no',
      'select 1;',
      '--name:b',
      '-- a comment in between',
      'select 2;',
      '  -- NAME: c d/e; prepared: yes; weight: 0.5 ;',
      'select 3',
    ].join('\r\n')
    const operations = parseScript(text, 'x/old.sql', 'new')
    expect(
      operations.map(({ name, weight, prepared, line, release, file }) => ({
        name,
        weight,
        prepared,
        line,
        release,
        file,
      })),
    ).toEqual([
      { name: 'a', weight: 10, prepared: false, line: 3, release: 'new', file: 'x/old.sql' },
      { name: 'b', weight: 1, prepared: true, line: 5, release: 'new', file: 'x/old.sql' },
      { name: 'c d/e', weight: 0.5, prepared: true, line: 8, release: 'new', file: 'x/old.sql' },
    ])
    expect(operations.map((o) => run(o).map((s) => (s.kind === 'statement' ? [s.bound.text, s.line] : null)))).toEqual([
      [['select 1', 4]],
      [['select 2', 7]],
      [['select 3', 9]],
    ])
  })

  it('do not begin inside a string or a block comment', () => {
    const body = "select '\n-- name: not_one\n' /*\n-- name: nor_this */;\nselect 2;"
    expect(parseScript(`-- name: a\n${body}`, 'o', 'old')).toHaveLength(1)
  })

  it('may follow a byte order mark', () => {
    expect(parseScript('\uFEFF-- name: a\nselect 1', 'o', 'old')[0]?.name).toBe('a')
  })
})

describe('statements', () => {
  it.each<[string, string, unknown[]]>([
    ['one variable twice', '\\set id 5\nselect :id, :id;', [['select $1, $1', ['5']]]],
    [
      'casts, slices, := and ::',
      '\\set a 5\nselect :a::int, b[1:2], f(x := :a), c::text;',
      [['select $1::int, b[1:2], f(x := $1), c::text', ['5']]],
    ],
    [
      'not in quotes and comments',
      `\\set a 5\nselect ':a', ":a", $$ :a $$, E'\\':a' /* :a */, :a -- :a\n;`,
      [[`select ':a', ":a", $$ :a $$, E'\\':a' /* :a */, $1`, ['5']]],
    ],
    [
      'several statements, each numbered anew',
      '\\set a 1\n\\set b 2\nbegin; update t set x = :b where id = :a;\ncommit;',
      [
        ['begin', []],
        ['update t set x = $1 where id = $2', ['2', '1']],
        ['commit', []],
      ],
    ],
    [
      'a semicolon in a string',
      "\\set a 1\nselect ';', :a; select 2",
      [
        ["select ';', $1", ['1']],
        ['select 2', []],
      ],
    ],
    ['over several lines', '\\set a 1\nselect\n  :a\n;', [['select\n  $1', ['1']]]],
    [
      'non-ASCII text and names',
      "\\set été 1\nselect 'é😀', :été; select :été",
      [
        ["select 'é😀', $1", ['1']],
        ['select $1', ['1']],
      ],
    ],
    ['a keyword directly before', '\\set a 1\nselect x from t limit:a', [['select x from t limit $1', ['1']]]],
    [
      'more than nine variables',
      '\\set a 1\n\\set b 2\nselect :a,:b,:n,:client_id,:random_seed',
      [['select $1,$2,$3,$4,$5', ['1', '2', '1000', '3', '7']]],
    ],
    [
      'kinds of values',
      '\\set a 1.5\n\\set b true\n\\set c NULL\n\\set d 9223372036854775807\n\\set e 1.0 / 3\nselect :a,:b,:c,:d,:e',
      [['select $1,$2,$3,$4,$5', ['1.5', 'true', null, '9223372036854775807', '0.333333333333333']]],
    ],
    [
      'set between statements',
      '\\set a 1\nselect :a;\n\\set a :a + 1\nselect :a;',
      [
        ['select $1', ['1']],
        ['select $1', ['2']],
      ],
    ],
    ['an expression on two lines', '\\set a 1 + \\\n  2\nselect :a', [['select $1', ['3']]]],
  ])('prepared: %s', (_, body, expected) => {
    expect(statements(body)).toEqual(expected)
  })

  it.each<[string, string, unknown[]]>([
    ['values in the text', '\\set a 5\nselect :a, :a::int', [['select 5, 5::int', []]]],
    ['a negative value', '\\set a -5\nselect 1-:a, 2 -:a, :a', [['select 1- -5, 2 - -5, -5', []]]],
    [
      'NULL, booleans, doubles',
      '\\set a NULL\n\\set b true\n\\set c 0.5\n\\set d 1.0 / 0\nselect :a, :b, :c, :d',
      [["select NULL, true, 0.5, 'Infinity'", []]],
    ],
    ['part of a name', '\\set a 5\nselect * from t_:a', [['select * from t_5', []]]],
    [
      'where no parameter may stand',
      '\\set a 5\nset local statement_timeout = :a; select :a',
      [
        ['set local statement_timeout = 5', []],
        ['select 5', []],
      ],
    ],
  ])('not prepared: %s', (_, body, expected) => {
    expect(statements(body, '-- name: op; prepared: no')).toEqual(expected)
  })

  it('knows the lines of statements', () => {
    const steps = run(parseOne('\\set a 1\n\nselect :a; select\n2;\n-- x\nselect 3'))
    expect(steps.map((s) => (s.kind === 'statement' ? s.line : null))).toEqual([4, 4, 7])
  })

  it('lists what PREPARE accepts, once each', () => {
    const operation = parseOne('\\set a 1\nbegin; select :a; select :a; update t set x = :a; commit; truncate t;')
    expect(operation.statementTexts).toEqual(['select $1', 'update t set x = $1'])
  })

  it('lists unprepared statements with parameters where they can be written so', () => {
    const operation = parseOne('\\set a 1\nselect :a; select * from t_:a;', '-- name: op; prepared: no')
    expect(operation.statementTexts).toEqual(['select $1'])
  })

  it('normalises: no literal, no comment, no value', () => {
    const operation = parseOne("\\set a 1\nselect 'secret', 42, :a -- secret\n; insert into t values ('x', :a)")
    expect(operation.normalisedSql).toEqual(['select $2, $3, $1', 'insert into t values ($2, $1)'])
  })
})

describe('sleep', () => {
  it.each<[string, number]>([
    ['\\sleep 500 us', 0.5],
    ['\\sleep 20 ms', 20],
    ['\\sleep 20ms', 20],
    ['\\sleep 2 s', 2000],
    ['\\sleep 2', 2000],
    ['\\set t 30\n\\sleep :t ms', 30],
  ])('%s', (body, ms) => {
    expect(statements(`${body}\nselect 1`)[0]).toBe(ms)
  })
})

describe('binding', () => {
  it('draws anew each time, and the same from the same seed', () => {
    const operation = parseOne('\\set id random(1, 1000000)\nselect :id;')
    const random = new Random(1)
    const drawn = Array.from({ length: 20 }, () => JSON.stringify(operation.bind(VARIABLES, random)))
    expect(new Set(drawn).size).toBe(20)
    expect(run(operation, 5)).toEqual(run(operation, 5))
  })

  it('does not keep variables from one run to the next', () => {
    const operation = parseOne('\\set a case when random(1, 2) = 1 then 1 else null end\nselect :a')
    for (let seed = 0; seed < 20; seed++) expect(run(operation, seed)).toEqual(run(operation, seed))
  })

  it('fails with file and line when a value cannot be computed', () => {
    const operation = parseOne('\n\\set a 1 / (:n - 1000)\nselect :a')
    expect(() => run(operation)).toThrow('old.sql:3: \\set a: division by zero')
    expect(() => run(parseOne('\\set a random(:n, 1)\nselect :a'))).toThrow(
      'old.sql:2: \\set a: empty range given to random',
    )
    expect(() => run(parseOne('\\set a -1\n\\sleep :a ms\nselect 1'))).toThrow('old.sql:3: \\sleep: :a is not a time')
  })
})

describe('bad scripts', () => {
  it.each<[string, string, string]>([
    ['nothing', '', 'dir/old.sql: no operation: sections begin with a line "-- name: ..."'],
    ['comments only', '-- x\n\n', 'dir/old.sql: no operation'],
    ['text first', '\n-- x\nselect 1;\n-- name: a\nselect 2', 'dir/old.sql:3: text before the first section'],
    ['command first', '\\set a 1\n-- name: a\nselect 2', 'dir/old.sql:1: a command before the first section'],
    ['no statement', '-- name: a\n-- name: b\nselect 1', 'dir/old.sql:1: operation a has no statement'],
    ['only \\set', 'select 1', 'dir/old.sql:1: text before'],
    [
      'duplicate name',
      '-- name: a\nselect 1;\n-- name: a\nselect 2',
      'dir/old.sql:3: a second operation named a (the first is in line 1)',
    ],
    ['empty name', '-- name: \nselect 1', 'dir/old.sql:1: an operation needs a name'],
    ['strange name', '-- name: a"b\nselect 1', 'dir/old.sql:1: an operation needs a name'],
    ['unknown key', '-- name: a; wait: 3\nselect 1', 'dir/old.sql:1: unknown key "wait"'],
    ['key twice', '-- name: a; weight: 3; weight: 4\nselect 1', 'dir/old.sql:1: weight is given twice'],
    ['no pair', '-- name: a; heavy\nselect 1', 'dir/old.sql:1: "heavy" is not "key: value"'],
    ['weight zero', '-- name: a; weight: 0\nselect 1', 'dir/old.sql:1: weight must be a positive number, not "0"'],
    [
      'weight negative',
      '-- name: a; weight: -1\nselect 1',
      'dir/old.sql:1: weight must be a positive number, not "-1"',
    ],
    [
      'weight text',
      '-- name: a; weight: much\nselect 1',
      'dir/old.sql:1: weight must be a positive number, not "much"',
    ],
    ['weight empty', '-- name: a; weight:\nselect 1', 'dir/old.sql:1: weight must be a positive number, not ""'],
    [
      'rate zero',
      '-- name: a; rate: 0\nselect 1',
      'dir/old.sql:1: rate must be a positive number of operations a second, not "0"',
    ],
    [
      'rate text',
      '-- name: a; rate: 5/s\nselect 1',
      'dir/old.sql:1: rate must be a positive number of operations a second',
    ],
    [
      'weight and rate',
      '-- name: a; rate: 5; weight: 1\nselect 1',
      'dir/old.sql:1: an operation has a weight (its share of the rate) or a rate of its own, not both',
    ],
    ['think without unit', '-- name: a; think: 20\nselect 1', 'dir/old.sql:1: think must be a duration such as 20ms'],
    ['think too long', '-- name: a; think: 61m\nselect 1', 'dir/old.sql:1: think must be a duration such as 20ms'],
    ['prepared', '-- name: a; prepared: true\nselect 1', 'dir/old.sql:1: prepared must be yes or no, not "true"'],
    ['unknown function', '-- name: a\n\\set x rnd(1, 2)\nselect :x', 'dir/old.sql:2: \\set x: unknown function rnd()'],
    [
      'unknown function in a branch',
      '-- name: a\n\\set x case when true then 1 else rnd(1) end\nselect :x',
      'dir/old.sql:2: \\set x: unknown function rnd()',
    ],
    ['expression', '-- name: a\n\\set x 1 +\nselect :x', 'dir/old.sql:2: \\set x: the expression ends too early'],
    ['\\set alone', '-- name: a\n\\set\nselect 1', 'dir/old.sql:2: \\set takes a name and an expression'],
    ['\\set without a value', '-- name: a\n\\set x\nselect 1', 'dir/old.sql:2: \\set takes a name and an expression'],
    [
      '\\set of a strange name',
      '-- name: a\n\\set 1x 5\nselect 1',
      'dir/old.sql:2: \\set takes a name and an expression',
    ],
    ['unset in \\set', '-- name: a\n\n\\set x :y + 1\nselect :x', 'dir/old.sql:3: \\set x: :y is never set'],
    ['unset in SQL', '-- name: a\nselect 1;\nselect\n  :ghost;', 'dir/old.sql:4: :ghost is never set'],
    ['unset after non-ASCII text', "-- name: a\nselect 'é😀';\nselect :ghost;", 'dir/old.sql:3: :ghost is never set'],
    ['set later', '-- name: a\nselect :x;\n\\set x 1', 'dir/old.sql:2: :x is never set'],
    [
      'set in another section',
      '-- name: a\n\\set x 1\nselect :x;\n-- name: b\nselect :x;',
      'dir/old.sql:5: :x is never set',
    ],
    ['unset in \\sleep', '-- name: a\n\\sleep :x ms\nselect 1', 'dir/old.sql:2: \\sleep: :x is never set'],
    ['\\sleep text', '-- name: a\n\\sleep long\nselect 1', 'dir/old.sql:2: \\sleep takes'],
    ['\\sleep unit', '-- name: a\n\\sleep 5 min\nselect 1', 'dir/old.sql:2: \\sleep takes'],
    [
      'unknown command',
      '-- name: a\n\\setshell x date\nselect 1',
      'dir/old.sql:2: \\setshell is not understood here (\\set and \\sleep are)',
    ],
    ['\\if', '-- name: a\n\\if true\nselect 1;\n\\endif', 'dir/old.sql:2: \\if is not understood'],
    ['\\gset', '-- name: a\nselect 1\n\\gset', 'dir/old.sql:3: \\gset is not understood'],
    [
      'no semicolon before a command',
      '-- name: a\nselect 1\n\\set x 1\nselect :x',
      'dir/old.sql:3: no semicolon before \\set',
    ],
    ['a parameter', '-- name: a\nselect 1;\nselect $1', 'dir/old.sql:3: $1: values of a script are written :name'],
    [
      'syntax error',
      '-- name: a\n\\set x 1\nselect :x;\nselec 2;',
      'dir/old.sql:4: cannot read this SQL: syntax error at or near "selec"',
    ],
    [
      'no parameter here',
      '-- name: a\n\\set x 1\nset local work_mem = :x',
      'dir/old.sql:3: :x stands where a prepared statement takes no value (prepared: no puts it into the text)',
    ],
    [
      'no parameter at this place',
      '-- name: a\n\\set x 1\nselect 1 from t as :x',
      'dir/old.sql:3: :x stands where a prepared',
    ],
    [
      'unterminated quote',
      "-- name: a\nselect 1;\nselect 'abc\n-- name: b\nselect 2",
      'dir/old.sql:3: cannot read this SQL: unterminated quoted string',
    ],
    [
      'unterminated comment',
      '-- name: a\nselect 1;\n/* abc\n',
      'dir/old.sql:3: cannot read this SQL: unterminated /* comment',
    ],
    ['NUL', '-- name: a\nselect\0 1', 'dir/old.sql:2: cannot read this SQL: a NUL character'],
    ['COPY', '-- name: a\ncopy t from stdin', 'dir/old.sql:2: cannot read this SQL: COPY ... FROM STDIN'],
  ])('%s', (_, text, message) => {
    const error = failure(text)
    expect(error.message.slice(0, message.length)).toBe(message)
    expect(['SCRIPT_INVALID', 'SQL_UNREADABLE']).toContain(error.code)
    expect(error.exitCode).toBe(2)
  })
})
