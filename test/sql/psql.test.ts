import { describe, expect, it } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import { expandPsql } from '../../src/sql/psql.js'

const expand = (text: string, variables: Record<string, string> = { n: '50' }): string =>
  expandPsql(text, 'seed.sql', variables)

describe('expandPsql', () => {
  it.each<[string, string, string]>([
    ['a variable', 'select generate_series(1,:n), a::int', 'select generate_series(1,50), a::int'],
    ['not in quotes', `select ':n', ":n", $$:n$$ -- :n`, `select ':n', ":n", $$:n$$ -- :n`],
    ['quoted forms', `\\set x it's"\nselect :'x', :"x";`, `\nselect 'its"', "its""";`],
    ['quoted value', `\\set x 'it''s a' ' \\'b\\''\nselect :'x'`, `\nselect 'it''s a ''b'''`],
    ['several words', '\\set x 1 + :n\nselect :x', '\nselect 1+50'],
    ['a value with a variable', '\\set m :n\nselect :m', '\nselect 50'],
    ['set over the outer value', '\\set n 7\nselect :n', '\nselect 7'],
    ['if set', '\\if :{?n}\n\\else\n\\set n 20000\n\\endif\nselect :n', '\n\n\n\nselect 50'],
    ['if not set', '\\if :{?m}\n\\else\n\\set m 20000\n\\endif\nselect :m', '\n\n\n\nselect 20000'],
    ['elif', '\\if false\na\n\\elif yes\nb\n\\elif true\nc\n\\else\nd\n\\endif', '\n\n\nb\n\n\n\n\n'],
    ['nested if', '\\if 0\n\\if 1\na\n\\else\nb\n\\endif\n\\else\nc\n\\endif', '\n\n\n\n\n\n\nc\n'],
    [
      'nothing of a branch not taken',
      "\\if off\n\\set x :nosuch\n\\nosuch\nselect ':n', :nosuch\n;\\endif\nselect 1",
      '\n\n\n\n\nselect 1',
    ],
    ['CRLF', '\\set x 1\r\nselect :x;\r\n', '\r\nselect 1;\r\n'],
    ['a byte order mark', '\uFEFF\\set x 1\nselect :x', ' \nselect 1'],
    ['what pg_dump writes', '\\restrict abc\nselect 1;\n\\unrestrict abc\n', '\nselect 1;\n\n'],
    ['non-ASCII text', "select 'é😀', :n", "select 'é😀', 50"],
  ])('%s', (_, text, expected) => {
    expect(expand(text)).toBe(expected)
    expect(expand(text).split('\n')).toHaveLength(text.split('\n').length)
  })

  it('keeps an unset variable where it is told to', () => {
    expect(expandPsql("select a[b:c], :n, :'x'", 's', { n: '5' }, 'keep')).toBe("select a[b:c], 5, :'x'")
  })

  it.each<[string, string, string]>([
    ['unset', 'select 1;\n\nselect :m', 'seed.sql:3: cannot read this SQL: :m is never set'],
    ['unset in \\set', '\\set x :m', 'seed.sql:1: cannot read this SQL: :m is never set'],
    ['another command', 'select 1;\n\\copy t from x', 'seed.sql:2: cannot read this SQL: \\copy is a command of psql'],
    ['\\i', '\\i other.sql', 'seed.sql:1: cannot read this SQL: \\i is a command'],
    ['no \\endif', 'select 1;\n\\if true\nselect 2', 'seed.sql:2: cannot read this SQL: \\if without \\endif'],
    ['\\else alone', '\\else', 'seed.sql:1: cannot read this SQL: \\else without \\if'],
    [
      '\\elif after \\else',
      '\\if 1\n\\else\n\\elif 1\n\\endif',
      'seed.sql:3: cannot read this SQL: \\elif without \\if',
    ],
    ['\\endif alone', '\n\\endif', 'seed.sql:2: cannot read this SQL: \\endif without \\if'],
    ['no condition', '\\if\n\\endif', 'seed.sql:1: cannot read this SQL: \\if needs true or false, not ""'],
    ['no boolean', '\\if :n\n\\endif', 'seed.sql:1: cannot read this SQL: \\if needs true or false, not "50"'],
    ['\\set alone', '\\set', 'seed.sql:1: cannot read this SQL: \\set takes a name and a value'],
    ['\\set of a strange name', '\\set a-b 1', 'seed.sql:1: cannot read this SQL: \\set takes a name'],
  ])('refuses: %s', (_, text, message) => {
    expect(() => expand(text)).toThrow(RehearsalError)
    expect(() => expand(text)).toThrow(message)
  })
})
