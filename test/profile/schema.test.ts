import { expect, test } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import { activityOf, readProfile } from '../../src/profile/index.js'

const STATEMENTS = { since: '2026-01-01T00:00:00Z', takenAt: '2026-01-02T00:00:00+02:00', entries: [] as unknown[] }
const ENTRY = { query: 'select $1', calls: 3, rows: 3, meanMs: 0.5 }

const failure = (value: unknown): RehearsalError => {
  try {
    readProfile(typeof value === 'string' ? value : JSON.stringify(value), 'rehearsal/profile.json')
  } catch (error) {
    if (error instanceof RehearsalError) return error
    throw error
  }
  throw new Error('it was read')
}

test('a profile of migrations alone is one, and parts of later versions are let through', () => {
  const profile = readProfile('{"appliedMigrations": ["0001"], "schemaVersion": "1.0", "settings": {"a": 1}}', 'p.json')
  expect(profile).toEqual({
    shownName: 'p.json',
    takenAt: null,
    appliedMigrations: ['0001'],
    tables: [],
    statements: null,
  })
})

test('entries know their lines, also beside texts that look like one', () => {
  const text = JSON.stringify(
    {
      statements: {
        ...STATEMENTS,
        entries: [ENTRY, { ...ENTRY, query: 'select "query": 1\nfrom t', user: null }, ENTRY],
      },
    },
    null,
    2,
  )
  const entries = readProfile(text, 'p.json').statements?.entries ?? []
  const lines = text.split('\n')
  expect(entries.map(({ line }) => lines[line - 1]?.trim().slice(0, 16))).toEqual([
    '"query": "select',
    '"query": "select',
    '"query": "select',
  ])
  expect(new Set(entries.map(({ line }) => line)).size).toBe(3)
})

test.each<[unknown, string]>([
  ['{', 'it is not JSON'],
  [[], 'Invalid input: expected object, received array'],
  [{ kind: 'recording' }, 'kind: Invalid input: expected "profile"'],
  [
    { statements: { ...STATEMENTS, since: 'yesterday' } },
    'statements.since: expected a time such as 2026-01-31T12:00:00Z',
  ],
  [
    { statements: { ...STATEMENTS, entries: [ENTRY, { ...ENTRY, calls: '3' }] } },
    'statements.entries[1].calls: Invalid input: expected number, received string',
  ],
  [
    { statements: { ...STATEMENTS, entries: [{ ...ENTRY, rows: -1 }] } },
    'statements.entries[0].rows: Too small: expected number to be >=0',
  ],
  [{ tables: [{ name: 'a' }] }, 'tables[0].rows: Invalid input: expected number, received undefined'],
])('%j is refused with the field', (value, message) => {
  const error = failure(value)
  expect(error.message).toBe(`rehearsal/profile.json: not a profile: ${message}`)
  expect(error.exitCode).toBe(2)
})

test('activity of the tables, 0 for what is not said', () => {
  const profile = readProfile(
    '{"tables": [{"name": "a.b", "rows": 5, "seqScan": 2, "updated": 7, "idxScan": null}]}',
    'p',
  )
  expect([...activityOf(profile)]).toEqual([['a.b', { seqScan: 2, idxScan: 0, inserted: 0, updated: 7, deleted: 0 }]])
})
