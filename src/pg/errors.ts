/**
 * What may be known of a server's error: SQLSTATE and the names of objects, never a value. PostgreSQL puts row values and
 * input into `message`, `detail`, `hint` and `where`, so messages are rebuilt here and the rest is dropped.
 */
import { RehearsalError } from '../errors.js'
import type { PgError } from '../recording.js'
import { identifiersIn } from './error-identifiers.js'
import { CONDITIONS, conditionName } from './sqlstates.js'

/** Sqlstate of a connection that could not be made or was lost: `connection_failure`. */
export const CONNECTION_FAILURE = '08006'
/** Stands in for a SQLSTATE when the failure came from JavaScript and no server was involved. */
export const CLIENT_ERROR = 'CLIENT'
/** Stands in for an error of the server when a request got no connection of the application's pool in time. */
export const POOL_TIMEOUT: PgError = {
  sqlstate: 'POOL',
  condition: 'connection_pool_timeout',
  message: 'no connection of the pool was free in time',
  objects: [],
}

/** Error codes of Node and of the driver that mean "no connection". */
const CONNECTION_CODES = new Set(
  (
    'CONNECTION_CLOSED CONNECTION_DESTROYED CONNECTION_ENDED CONNECT_TIMEOUT ECONNREFUSED ECONNRESET EPIPE ETIMEDOUT ' +
    'ENOENT ENOTFOUND EAI_AGAIN EHOSTUNREACH ENETUNREACH EADDRNOTAVAIL ECONNABORTED'
  ).split(' '),
)

/** Messages of the server that hold neither a name nor a value: kept word for word. */
const FIXED_MESSAGES = new Set([
  'cached plan must not change result type',
  'canceling autovacuum task',
  'canceling statement due to conflict with recovery',
  'canceling statement due to lock timeout',
  'canceling statement due to statement timeout',
  'canceling statement due to user request',
  'could not serialize access due to concurrent delete',
  'could not serialize access due to concurrent update',
  'could not serialize access due to read/write dependencies among transactions',
  'current transaction is aborted, commands ignored until end of transaction block',
  'deadlock detected',
  'division by zero',
  'out of shared memory',
  'sorry, too many clients already',
  'terminating connection due to administrator command',
  'terminating connection due to idle-in-transaction timeout',
  'terminating connection due to transaction timeout',
])

/** Plain words for conditions whose own name says too little. Others read as their name with spaces. */
const PLAIN: Readonly<Record<string, string>> = {
  '0A000': 'the server does not support this here',
  '22001': 'value too long for the column',
  '22003': 'number out of range for its type',
  '22P02': 'input does not fit the type it is read as',
  '23502': 'null value where NOT NULL is required',
  '23503': 'a foreign key constraint is violated',
  '23505': 'duplicate key value violates a unique constraint',
  '23514': 'a check constraint is violated',
  '23P01': 'an exclusion constraint is violated',
  '25001': 'this cannot run inside a transaction block',
  '25006': 'this cannot run in a read-only transaction',
  '40001': 'could not serialize access: the transaction must be tried again',
  '42501': 'permission denied',
  '42601': 'the statement cannot be parsed',
  '42703': 'a column does not exist',
  '42704': 'an object does not exist',
  '42804': 'an expression has another type than its column',
  '42883': 'a function or operator does not exist',
  '42P01': 'a relation does not exist',
  '42P07': 'a relation of this name already exists',
  '53100': 'the disk is full',
  '53200': 'the server is out of memory',
  '53300': 'too many connections',
  '55006': 'an object is in use',
  '55P03': 'a lock was not available in time',
  '57014': 'canceled by a timeout or on request',
  '57P01': 'the server closed the connection',
  P0001: 'a function or trigger raised an exception',
}

interface Names {
  table: string | null
  column: string | null
  constraint: string | null
  type: string | null
}

const read = (error: object, field: string): string | null => {
  const value: unknown = (error as Record<string, unknown>)[field]
  return typeof value === 'string' && value !== '' ? value : null
}

function namesOf(error: object): Names {
  const schema = read(error, 'schema_name')
  const qualified = (name: string | null): string | null =>
    name === null || schema === null || schema === 'public' ? name : `${schema}.${name}`
  return {
    table: qualified(read(error, 'table_name')),
    column: read(error, 'column_name'),
    constraint: read(error, 'constraint_name'),
    // The driver spells the field with a space.
    type: qualified(read(error, 'data type_name') ?? read(error, 'datatype_name')),
  }
}

/** Sentences in the server's words, from the name fields alone. */
function fromNames(sqlstate: string, { table, column, constraint, type }: Names): string | null {
  const owner = table !== null ? `relation "${table}"` : type !== null ? `domain "${type}"` : null
  switch (sqlstate) {
    case '23502':
      if (column !== null && table !== null)
        return `null value in column "${column}" of relation "${table}" violates not-null constraint`
      return type === null ? null : `domain "${type}" does not allow null values`
    case '23503':
      // Raised for the referencing and for the referenced side with the same names.
      return constraint && owner ? `foreign key constraint "${constraint}" of ${owner} is violated` : null
    case '23505':
      return constraint && owner ? `duplicate key value violates unique constraint "${constraint}" of ${owner}` : null
    case '23514':
      return constraint && owner ? `check constraint "${constraint}" of ${owner} is violated` : null
    case '23P01':
      return constraint && owner ? `exclusion constraint "${constraint}" of ${owner} is violated` : null
    default:
      return null
  }
}

const plainWords = (sqlstate: string): string => PLAIN[sqlstate] ?? conditionName(sqlstate).replaceAll('_', ' ')

/** An error that was made here, e.g. for an operation that was stopped; `message` must hold no data. */
export const pgError = (sqlstate: string, message: string = plainWords(sqlstate)): PgError => ({
  sqlstate,
  condition: conditionName(sqlstate),
  message,
  objects: [],
})

/** Where data layers put what the driver threw: Drizzle and Kysely, Sequelize, TypeORM, Objection. */
const WRAPPED = ['cause', 'original', 'parent', 'driverError', 'nativeError'] as const
const DEEPEST = 5

/** The error of the server or the driver that a data layer has wrapped in its own; what is none is returned as it is. */
export function serverErrorIn(error: unknown): unknown {
  let found = error
  for (let depth = 0; depth < DEEPEST && typeof found === 'object' && found !== null; depth++) {
    const code = read(found, 'code')
    if (found instanceof RehearsalError) return error
    if (code !== null && (CONNECTION_CODES.has(code) || /^[0-9A-Z]{5}$/.test(code))) return found
    const wrapper = found as Record<string, unknown>
    found = WRAPPED.map((name) => wrapper[name]).find((inner) => typeof inner === 'object' && inner !== null)
  }
  return error
}

/** Whether the driver or Node, not the server, says that there is no connection. */
export function isConnectionFailure(thrown: unknown): boolean {
  const error = serverErrorIn(thrown)
  if (typeof error !== 'object' || error === null) return false
  const code = read(error, 'code')
  return code !== null && (CONNECTION_CODES.has(code) || /^57P0[1-5]$/.test(code) || /^08/.test(code))
}

/**
 * Rebuilds an error without any value in it. Accepts what the driver throws, anything with the protocol's error fields,
 * what a data layer made of either, or any other thrown value.
 *
 * @param sql the statement, from which a name in the message must come when the message could also quote a value
 * (`'x'::regclass`); by default the text that the driver attached to the error. Without either such a name is left out.
 */
export function toPgError(thrown: unknown, sql?: string): PgError {
  const error = serverErrorIn(thrown)
  if (typeof error !== 'object' || error === null) return clientError(null, null)
  const code = read(error, 'code')
  if (code !== null && CONNECTION_CODES.has(code)) {
    const message = code.startsWith('CONNECTION_')
      ? 'the connection to the server was lost'
      : 'no connection to the server'
    return { sqlstate: CONNECTION_FAILURE, condition: code, message, objects: [] }
  }
  // Node and the driver have codes of their own; only the server's have a severity.
  const fromServer = read(error, 'severity') !== null || read(error, 'severity_local') !== null
  if (code === null || !/^[0-9A-Z]{5}$/.test(code) || !(fromServer || CONDITIONS.has(code))) {
    return clientError(code, read(error, 'name'))
  }
  const names = namesOf(error)
  const text = read(error, 'message') ?? ''
  const texts = [sql ?? read(error, 'query'), read(error, 'internal_query')].filter((t) => t !== null)
  const found = identifiersIn(code, text, texts)
  const message = FIXED_MESSAGES.has(text) ? text : (fromNames(code, names) ?? found?.message ?? plainWords(code))
  const listed = [names.table, names.column, names.constraint, names.type].filter((name) => name !== null)
  return {
    sqlstate: code,
    condition: conditionName(code),
    message,
    objects: listed.length > 0 ? listed : (found?.identifiers ?? []),
  }
}

/** The operation's own code threw: its class name is kept, its message could hold anything. */
function clientError(code: string | null, name: string | null): PgError {
  const known = name !== null && /^[A-Z][A-Za-z]{2,30}Error$/.test(name) ? name : 'an error'
  const condition = code !== null && /^[A-Z][A-Z_]{2,40}$/.test(code) ? code : 'client_error'
  return { sqlstate: CLIENT_ERROR, condition, message: `the operation's own code threw ${known}`, objects: [] }
}
