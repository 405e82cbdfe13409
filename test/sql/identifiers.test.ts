import { describe, expect, it } from 'vitest'
import { parseSql } from '../../src/sql/parser.js'
import { quoteName, quoteQualified } from '../../src/sql/identifiers.js'

describe('names', () => {
  it.each([
    ['orders', 'orders'],
    ['_a$1', '_a$1'],
    ['userId', '"userId"'],
    ['a"b', '"a""b"'],
    ['1st', '"1st"'],
    ['order', '"order"'],
    ['user', '"user"'],
    ['left', '"left"'],
    ['status', 'status'],
    ['größe', '"größe"'],
    ['', '""'],
  ])('%s is written %s', (name, expected) => expect(quoteName(name)).toBe(expected))

  it('no keyword of the parser is a name without quotes unless it can be one', () => {
    // Words of every class of keyword, and some that are none.
    const words =
      'select from table user order group left natural between bigint row values abort year zone trim setof freeze collation end'
    for (const word of words.split(' ')) {
      const sql = `alter table ${quoteName(word)} alter column ${quoteName(word)} set not null`
      expect(JSON.stringify(parseSql(sql)[0]?.node), sql).toContain(`"relname":"${word}"`)
    }
  })

  it('of a schema and a table', () => expect(quoteQualified('sales.User')).toBe('sales."User"'))
})
