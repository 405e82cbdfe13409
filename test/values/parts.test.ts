/** Patterns, literals and wishes by themselves. */
import { describe, expect, test } from 'vitest'
import { arrayLiteral, compositeLiteral, parseArray } from '../../src/values/literals.js'
import { tokensOf, usualFor, wordsFor } from '../../src/values/names.js'
import { createPools } from '../../src/values/faker-pools.js'
import { fromLike, fromPattern, toJavaScript } from '../../src/values/patterns.js'
import { Random } from '../../src/values/random.js'
import { readScalar, UNKNOWN } from '../../src/values/scalars.js'
import { ANYTHING, both } from '../../src/values/want.js'

describe('patterns', () => {
  test.each([
    '^[a-z]{2}[0-9]{4}$',
    '^[A-Z][a-z]+( [A-Z][a-z]*)?$',
    '^(https?|ftp)://[^/ ]+/.*$',
    '^\\+?[1-9]\\d{1,14}$',
    '^#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$',
    '^[[:alpha:]_][[:alnum:]_-]*$',
    '[^@]+@[^@]+\\.[a-z]{2,}',
    '^\\w+\\s\\S+$',
    fromLike('ORD-__%.\\_x'),
  ])('%s gives texts that it matches', (source) => {
    const translated = toJavaScript(source) ?? ''
    for (let i = 0; i < 50; i++) expect(fromPattern(translated, new Random(i))).toMatch(new RegExp(translated))
  })

  test('keep to a length, and are left alone where they mean something else here', () => {
    expect(fromPattern('^[a-z]+$', new Random(1), 30, 30)).toHaveLength(30)
    expect(() => fromPattern('^[a-z]{9}$', new Random(1), 0, 5)).toThrow('pattern')
    expect(() => fromPattern('^(?=x)y$', new Random(1))).toThrow('pattern')
    expect(toJavaScript('\\mword\\M')).toBeNull()
    expect(toJavaScript('(')).toBeNull()
  })
})

test('literals are read as they were written', () => {
  const items = ['a', 'b"c', 'd\\e', 'f,g', '', null, 'NULL', '{x}']
  expect(parseArray(arrayLiteral(items))).toEqual(items)
  expect(parseArray('{}')).toEqual([])
  expect(parseArray('{{1,2},{3,4}}')).toBeNull()
  expect(compositeLiteral(['a"b', null, 'c\\'])).toBe('("a""b",,"c\\\\")')
})

test('times are read as numbers that can be compared', () => {
  expect(readScalar('2024-02-29 12:00:00+02', 'time')).toBe(Date.UTC(2024, 1, 29, 10))
  expect(readScalar('2024-02-29', 'date')).toBe(Date.UTC(2024, 1, 29))
  expect(readScalar('1 mon 2 days 03:04:05', 'interval')).toBe(((32 * 24 + 3) * 3600 + 4 * 60 + 5) * 1000)
  expect(readScalar('-00:00:01.5', 'interval')).toBe(-1500)
  expect(readScalar('infinity', 'time')).toBe(Infinity)
  expect(readScalar('yesterday', 'time')).toBe(UNKNOWN)
  expect(readScalar('$1,234.50', 'number')).toBe(1234.5)
})

test('wishes add up, or contradict each other', () => {
  const low = both(ANYTHING, { min: 1, minOpen: true })
  const range = low && both(low, { min: 1, max: 5 })
  expect(range).toMatchObject({ min: 1, minOpen: true, max: 5, maxOpen: false })
  expect(range && both(range, { min: 6 })).toBeNull()
  const list = both(ANYTHING, { oneOf: ['a', 'b', 'c'] })
  expect(list && both(list, { noneOf: ['b'], oneOf: ['b', 'c'] })).toMatchObject({ oneOf: ['c'] })
  expect(list && both(list, { oneOf: ['x'] })).toBeNull()
  expect(both({ ...ANYTHING, nullness: 'null' }, { nullness: 'not null' })).toBeNull()
})

test('names are read word by word', () => {
  const pools = createPools(1)
  const text = (column: string, table = 'things') => wordsFor(column, table, Infinity, pools)?.(new Random(1))
  expect(tokensOf('createdAt')).toEqual(['created', 'at'])
  expect(text('contactEmail')).toMatch(/^[a-z]+\.[a-z]+@example\.(com|org|net)$/)
  expect(pools.firstName).toContain(text('first_name'))
  expect(text('name', 'users')).toMatch(/ /)
  expect(text('file_name')).toMatch(/\.(pdf|png|csv|txt)$/)
  expect(text('zzz')).toBeUndefined()
  expect(usualFor('birth_year')).toEqual([1990, 2025])
  expect(usualFor('yearly')).toBeNull()
})
