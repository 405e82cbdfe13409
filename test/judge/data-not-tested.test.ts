/** Success and failure that depend on what rows contain, where the rows were made up. */
import { describe, expect, it } from 'vitest'
import * as p from '../fixtures/parts.js'
import { found, judged, outcome, plain, severities } from './build.js'

const statement = (sql: string) => p.statement('1.sql', 1, 1, 'AlterTableStmt', sql)
const NOT_NULL = 'alter table orders alter column note set not null'

const report = (sql: string, generated: string[], failed: string | null = null) =>
  judged({
    statements: [{ ...statement(sql), id: plain.id }],
    recording: { generated },
    ...(failed === null
      ? {}
      : { quiet: { migration: p.migration([p.ran(plain, 1, 100, 110, { outcome: outcome(failed) })]) } }),
  })

describe('success on rows that were made up', () => {
  it.each([
    [NOT_NULL, 'select count(*) from orders where note is null;'],
    ['alter table orders add constraint c check (total > 0)', 'select count(*) from orders where not (total > 0);'],
    ['alter table orders alter column total type int using total::int', null],
  ])('%s is a warning, with the query that tells', (sql, query) => {
    const one = report(sql, ['orders'])
    expect(severities(one, 'data-not-tested')).toEqual(['warn'])
    expect(found(one, 'data-not-tested')[0]).toMatchObject({
      relation: 'orders',
      advice: { sql: query },
      at: { line: 1 },
    })
  })

  it.each([
    ['of a seed of the user', NOT_NULL, []],
    ['of another table', NOT_NULL, ['customers']],
    ['where nothing is taken for granted', 'alter table orders add column tag text', ['orders']],
    [
      'where rows that are there are not looked at',
      'alter table orders add constraint c check (total > 0) not valid',
      ['orders'],
    ],
  ])('%s: nothing', (_, sql, generated) => {
    expect(severities(report(sql, generated), 'data-not-tested')).toEqual([])
  })
})

describe('failure on rows that were made up', () => {
  it('of a constraint proves nothing', () => {
    const one = report(NOT_NULL, ['orders'], '23502')
    expect(severities(one, 'migration-fails')).toEqual(['inconclusive'])
    expect(one.verdict).toBe('inconclusive')
    expect(one.headline).toContain('on generated rows')
  })
  it.each([
    ['on rows of a seed', NOT_NULL, [], '23502'],
    ['for another reason', NOT_NULL, ['orders'], '42703'],
    ['of what no row could satisfy', 'alter table orders add column tag text not null', ['orders'], '23502'],
  ])('%s is a failure', (_, sql, generated, sqlstate) => {
    expect(severities(report(sql, generated, sqlstate), 'migration-fails')).toEqual(['fail'])
  })
})

it('a table that could not be filled, and that the migration locks', () => {
  const relation = { relation: 'orders', kind: 'table' as const, rows: 0, bytes: 0 }
  const environment = { ...p.environment, relations: [relation] }
  const of = (generated: string[]) => judged({ recording: { generated, environment } })
  expect(severities(of(['orders']), 'empty-table')).toEqual(['warn'])
  expect(severities(of([]), 'empty-table')).toEqual([])
  const filled = { ...p.environment, relations: [{ ...relation, rows: 5 }] }
  expect(severities(judged({ recording: { generated: ['orders'], environment: filled } }), 'empty-table')).toEqual([])
})
