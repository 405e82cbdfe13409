/** One statement of production as an operation on one schema, or the reason why it is none. */
import type { Sql } from '../../pg/connect.js'
import { normaliseSql } from '../../sql/normalise.js'
import { parseSql, type Node } from '../../sql/parser.js'
import type { PgError, Release } from '../../recording.js'
import type { TypeShape, ValueMaker } from '../../values/types.js'
import type { ScriptOperation } from '../operation.js'
import { Random } from '../random.js'
import { infer } from './infer.js'
import { parameterDrawer } from './parameters.js'
import { isObjectName } from './plain-values.js'
import type { PoolIndex } from './pool-index.js'
import type { Tables } from './relations.js'
import { asServerReads, dense, withTypes, type ExtractField } from './rewrite.js'
import type { ProductionStatement } from './statements.js'
import { execute, prepare, release as forget, TRIES } from './try-out.js'
import type { TypeOf } from './types-of.js'
import type { Inference } from './uses.js'

export interface Workshop {
  sql: Sql
  release: Release
  file: string
  tables: Tables
  typeOf: TypeOf
  maker: ValueMaker
  index: PoolIndex
  /** Rows of the table in production, or here. */
  rowsOf: (table: string) => number
  /** Without rows nothing can be tried, only prepared. */
  hasRows: boolean
}

/**
 * Reads go to some rows much oftener; writes are spread, or all of them would wait for the same row. Nearer to 1 the
 * generator rejects nearly everything that it draws.
 */
const READ_SKEW = 1.05
const WRITE_SKEW = 0
const MOST_ITEMS = 20
/** Shares of a table that an open range may cover. */
const LEAST_SHARE = 0.002
const MOST_SHARE = 0.25

/** Errors of statements whose constants had a type that the bare parameter does not have. */
const TYPE_ERRORS = new Set(['42883', '42804', '42P18', '42725', '42846', '42809', '42P08', '22P02'])
/** `extract(day from a_time)`. */
const FIELD_ERRORS = new Set(['22023', '0A000'])

type Typing = 'none' | 'columns' | 'columns and whole numbers' | 'columns and texts'
const TYPINGS: readonly Typing[] = ['none', 'columns', 'columns and whole numbers', 'columns and texts']

export type Made = { operation: ScriptOperation; reason?: never } | { operation?: never; reason: string }

/** Throws when the connection is lost. */
export async function makeOperation(statement: ProductionStatement, workshop: Workshop): Promise<Made> {
  let first: PgError | null = null
  let execution: PgError | null = null
  for (const field of ['day', 'epoch'] as const) {
    let later = false
    for (const typing of TYPINGS) {
      const { text, found, parameters } = variant(statement.text, workshop.tables, field, typing)
      const prepared = await prepare(workshop.sql, text, workshop.typeOf)
      if (!prepared.ok) {
        first ??= prepared.error
        if (!TYPE_ERRORS.has(prepared.error.sqlstate)) break
        continue
      }
      const { types } = prepared
      const made = await withPrepared(statement, workshop, { text, found, types: fill(types, parameters) })
      await forget(workshop.sql)
      if ('operation' in made) return { operation: made.operation }
      if (!('error' in made)) return { reason: made.reason }
      execution ??= made.error
      later = FIELD_ERRORS.has(made.error.sqlstate) && field === 'day'
      // As texts, constants can choose another function: substring(name from $1 for $2).
      if (later || !made.error.sqlstate.startsWith('22')) break
    }
    if (!later) break
  }
  if (execution !== null) return { reason: failed(execution) }
  const error = first ?? { sqlstate: '42601', message: 'the statement cannot be parsed' }
  const after = workshop.release === 'new' ? 'after the migration the server' : 'the server'
  return { reason: `${after} does not accept it (${error.sqlstate}: ${error.message})` }
}

const fill = (types: readonly (TypeShape | null)[], parameters: number): (TypeShape | null)[] =>
  Array.from({ length: Math.max(parameters, types.length) }, (_, i) => types[i] ?? null)

interface Variant {
  text: string
  found: Inference
  parameters: number
}

function variant(statement: string, tables: Tables, field: ExtractField, typing: Typing): Variant {
  const { text, parameters } = dense(asServerReads(statement, treeOf(statement), field))
  const found = infer(treeOf(text), tables)
  if (typing === 'none') return { text, found, parameters }
  const types = new Map<number, string>()
  for (let number = 1; number <= parameters; number++) {
    const type = typeFor(number, found, typing)
    if (type !== null) types.set(number, type)
  }
  return { text: withTypes(text, types), found, parameters }
}

const treeOf = (text: string): Node | undefined => parseSql(text)[0]?.node

function typeFor(number: number, found: Inference, typing: Typing): string | null {
  const use = found.use(number)
  if (use?.kind === 'match' || use?.kind === 'assign') {
    const { column, wraps, path } =
      use.kind === 'match' ? use.source : { column: use.column, wraps: [] as string[], path: [] }
    if (path.length > 0 || (wraps.length > 0 && !wraps.includes('element'))) return null
    const type = wraps.includes('element') ? (column.type.element?.sql ?? null) : column.type.sql
    if (type === null || (use.kind === 'match' && ['like', 'regex', 'key'].includes(use.comparison))) return null
    return use.array ? `${type}[]` : type
  }
  if (use !== null && use.kind !== 'small') return null
  return typing === 'columns and whole numbers' ? 'integer' : typing === 'columns and texts' ? 'text' : null
}

type Tried = { operation: ScriptOperation } | { error: PgError } | { reason: string }

async function withPrepared(
  statement: ProductionStatement,
  workshop: Workshop,
  { text, found, types }: { text: string; found: Inference; types: (TypeShape | null)[] },
): Promise<Tried> {
  const named = types.findIndex((type, i) => type !== null && isObjectName(type) && found.use(i + 1) === null)
  if (named !== -1) return { reason: 'the name of an object was a constant in it' }
  const { maker, index, rowsOf } = workshop
  const { rowsPerCall } = statement
  const draw = parameterDrawer({
    found,
    types,
    maker,
    index,
    skew: statement.writes ? WRITE_SKEW : READ_SKEW,
    listLength: rowsPerCall === 0 ? 3 : Math.min(MOST_ITEMS, Math.max(1, Math.round(rowsPerCall))),
    rowsPerCall,
    share: (table) => {
      const rows = rowsOf(table)
      return Math.min(MOST_SHARE, Math.max(LEAST_SHARE, rows > 0 ? rowsPerCall / rows : 0))
    },
  })
  if (workshop.hasRows) {
    const random = new Random('production').fork(statement.name)
    const error = await execute(workshop.sql, text, (attempt) => draw(random.fork(attempt)))
    if (error !== null) return { error }
  }
  return { operation: toOperation(statement, workshop, text, draw) }
}

const failed = ({ sqlstate, message }: PgError): string =>
  sqlstate === '57014'
    ? 'it does not end within 5 s here'
    : `it failed ${TRIES} of ${TRIES} times with values from the tables (${sqlstate}: ${message})`

function toOperation(
  { name, calls, line }: ProductionStatement,
  { release, file }: Workshop,
  text: string,
  draw: (random: Random) => (string | null)[],
): ScriptOperation {
  return {
    kind: 'script',
    release,
    name,
    source: 'production',
    weight: calls,
    prepared: true,
    file,
    line,
    normalisedSql: [normaliseSql(text)],
    statementTexts: [text],
    bind: (_, random) => [{ kind: 'statement', bound: { text, params: draw(random) }, line }],
  }
}
