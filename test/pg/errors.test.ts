import { describe, expect, it } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import { CLIENT_ERROR, isConnectionFailure, pgError, toPgError } from '../../src/pg/errors.js'
import { CONDITIONS, conditionName } from '../../src/pg/sqlstates.js'

const CANARY = 'canary-4711'
const server = (code: string, message: string, rest: Record<string, string> = {}): object => ({
  severity: 'ERROR',
  code,
  message,
  detail: `Failing row contains (${CANARY}).`,
  hint: CANARY,
  where: `COPY t, line 1: "${CANARY}"`,
  ...rest,
})

describe('condition names', () => {
  it('are those of the documentation', () => {
    expect(conditionName('23502')).toBe('not_null_violation')
    expect(conditionName('0A000')).toBe('feature_not_supported')
    expect(conditionName('40P01')).toBe('deadlock_detected')
    expect(conditionName('XX000')).toBe('internal_error')
    expect(CONDITIONS.size).toBeGreaterThan(200)
    for (const [code, name] of CONDITIONS) {
      expect(code).toMatch(/^[0-9A-Z]{5}$/)
      expect(name).toMatch(/^[a-z_]+$/)
    }
  })
  it('fall back to the class', () => {
    expect(conditionName('42ZZZ')).toBe('syntax_error_or_access_rule_violation')
    expect(conditionName('Z9999')).toBe('unknown_error')
  })
})

describe('rebuilt messages', () => {
  it('use the name fields', () => {
    const names = { schema_name: 'public', table_name: 'Document', column_name: 'title' }
    expect(toPgError(server('23502', `null value ${CANARY}`, names))).toEqual({
      sqlstate: '23502',
      condition: 'not_null_violation',
      message: 'null value in column "title" of relation "Document" violates not-null constraint',
      objects: ['Document', 'title'],
    })
    const unique = { schema_name: 'shop', table_name: 'orders', constraint_name: 'orders_pkey' }
    expect(toPgError(server('23505', CANARY, unique))).toMatchObject({
      message: 'duplicate key value violates unique constraint "orders_pkey" of relation "shop.orders"',
      objects: ['shop.orders', 'orders_pkey'],
    })
    expect(
      toPgError(server('23514', CANARY, { schema_name: 'public', 'data type_name': 'email', constraint_name: 'c' })),
    ).toMatchObject({ message: 'check constraint "c" of domain "email" is violated', objects: ['c', 'email'] })
  })

  it.each([
    ['42703', 'column "b" does not exist', 'select b from t', ['b']],
    ['42703', 'column t.b does not exist', 'select t.b from t', ['t.b']],
    ['42703', 'column "b" of relation "t" does not exist', 'alter table T drop column B', ['b', 't']],
    ['42P01', 'relation "shop.nope" does not exist', 'select 1 from shop.nope', ['shop.nope']],
    ['42P01', 'table "nope" does not exist', 'drop table nope', ['nope']],
    ['42704', 'type "mood" does not exist', 'select null::mood', ['mood']],
    ['42883', 'function f(integer, text) does not exist', 'select f(1, $1)', ['f(integer, text)']],
    ['42883', 'operator does not exist: text = integer', 'select 1', ['text = integer']],
    ['42P07', 'relation "t" already exists', 'create table t()', ['t']],
    ['42701', 'column "b" of relation "t" already exists', 'alter table t add b int', ['b', 't']],
    ['42710', 'constraint "c" for relation "t" already exists', 'x', ['c', 't']],
    ['42501', 'permission denied for table users', 'select 1', ['users']],
  ])('%s %s: the name is taken from the message', (code, message, sql, objects) => {
    expect(toPgError(server(code, message), sql)).toMatchObject({ sqlstate: code, message, objects })
  })

  it('a name inside a function is found in the inner statement', () => {
    const error = server('42703', 'column "gone" does not exist', {
      internal_query: 'select gone from t',
      query: 'select f()',
    })
    expect(toPgError(error).objects).toEqual(['gone'])
    expect(
      toPgError(server('42703', 'record "new" has no field "title"'), 'insert into t default values').objects,
    ).toEqual(['new', 'title'])
  })

  it.each([
    ['42P01', `relation "${CANARY}" does not exist`, `select '${CANARY}'::regclass`],
    ['42P01', `relation "${CANARY}" does not exist`, 'select $1::regclass'],
    ['42P01', `relation "${CANARY}" does not exist`, `select $x$${CANARY}$x$::regclass`],
    ['42P01', `relation "${CANARY}" does not exist`, `select E'\\'', '${CANARY}'::regclass`],
    ['42P01', `relation "${CANARY}" does not exist`, `select 1 -- ${CANARY}`],
    ['42704', `unrecognized configuration parameter "${CANARY}"`, `select set_config('${CANARY}', '', false)`],
    ['42703', `column "${CANARY}" of relation "t" does not exist`, `select pg_get_serial_sequence('t', '${CANARY}')`],
    ['22P02', `invalid input syntax for type integer: "${CANARY}"`, 'select $1::int'],
    ['42601', `syntax error at or near "${CANARY}"`, `select 1 ${CANARY}`],
    ['P0001', `no such customer: ${CANARY}`, 'select f()'],
    ['42P01', `something new "${CANARY}" is not there`, `select ${CANARY}`],
    ['23502', `null value ${CANARY}`, 'insert'],
    ['ZZ999', CANARY, 'select 1'],
  ])('%s %s: a value never gets through', (code, message, sql) => {
    const error = toPgError(server(code, message, { query: sql }))
    expect(error.sqlstate).toBe(code)
    expect(error.message).not.toBe('')
    expect(JSON.stringify(error)).not.toContain(CANARY)
  })

  it('keeps messages that hold nothing, and falls back to plain words', () => {
    expect(toPgError(server('57014', 'canceling statement due to statement timeout')).message).toBe(
      'canceling statement due to statement timeout',
    )
    expect(toPgError(server('22P02', 'x')).message).toBe('input does not fit the type it is read as')
    expect(toPgError(server('54001', 'x')).message).toBe('statement too complex')
    expect(pgError('57014')).toEqual({
      sqlstate: '57014',
      condition: 'query_canceled',
      message: 'canceled by a timeout or on request',
      objects: [],
    })
  })
})

describe('errors that are not from the server', () => {
  it('connections: 08006 with the driver code as condition', () => {
    const lost = Object.assign(new Error(`write CONNECTION_CLOSED ${CANARY}:5432`), { code: 'CONNECTION_CLOSED' })
    expect(toPgError(lost)).toEqual({
      sqlstate: '08006',
      condition: 'CONNECTION_CLOSED',
      message: 'the connection to the server was lost',
      objects: [],
    })
    expect(toPgError(Object.assign(new Error(CANARY), { code: 'ECONNREFUSED' }))).toMatchObject({
      condition: 'ECONNREFUSED',
    })
    expect(isConnectionFailure(lost)).toBe(true)
    expect(isConnectionFailure({ code: '57P01' })).toBe(true)
    expect(isConnectionFailure({ code: '57014' })).toBe(false)
    expect(isConnectionFailure(null)).toBe(false)
  })
  it('the operation itself', () => {
    expect(toPgError(new TypeError(CANARY))).toEqual({
      sqlstate: CLIENT_ERROR,
      condition: 'client_error',
      message: "the operation's own code threw TypeError",
      objects: [],
    })
    expect(toPgError(Object.assign(new Error(CANARY), { code: 'UNDEFINED_VALUE' })).condition).toBe('UNDEFINED_VALUE')
    for (const thrown of [CANARY, null, undefined, 7, { code: CANARY, name: CANARY, message: CANARY }])
      expect(JSON.stringify(toPgError(thrown))).not.toContain(CANARY)
  })
})

describe('what a data layer has wrapped', () => {
  const broken = server('42703', 'column "name" does not exist', { query: 'select name from users' })
  it.each([
    ['Drizzle', Object.assign(new Error(`Failed query: ${CANARY}`), { query: CANARY, cause: broken })],
    ['Sequelize', Object.assign(new Error(CANARY), { name: 'SequelizeDatabaseError', parent: broken })],
    ['two layers', new Error(CANARY, { cause: new Error(CANARY, { cause: broken }) })],
  ])('is the error of the server: %s', (_, error) => {
    expect(toPgError(error)).toMatchObject({ sqlstate: '42703', message: 'column "name" does not exist' })
  })
  it('is a lost connection, an error of our own, or nothing that is known', () => {
    expect(isConnectionFailure(new Error('x', { cause: { code: 'ECONNRESET' } }))).toBe(true)
    const ours = new RehearsalError('SEED_FAILED', { message: 'x' }, { code: 'ECONNRESET' })
    expect([isConnectionFailure(ours), toPgError(ours).condition]).toEqual([false, 'SEED_FAILED'])
    const endless: { cause?: unknown } = {}
    endless.cause = endless
    expect(toPgError(endless).sqlstate).toBe(CLIENT_ERROR)
    expect(toPgError(new TypeError(CANARY, { cause: 'text' })).message).toContain('TypeError')
  })
})
