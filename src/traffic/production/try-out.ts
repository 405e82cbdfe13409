/**
 * Asks a server whether it takes a statement: PREPARE tells the types of its parameters, executing it in a transaction
 * that is rolled back tells whether drawn values work.
 */
import type { Sql } from '../../pg/connect.js'
import { isConnectionFailure, toPgError } from '../../pg/errors.js'
import type { PgError } from '../../recording.js'
import type { TypeShape } from '../../values/types.js'
import type { TypeOf } from './types-of.js'

const NAME = 'rehearse_try'
/** What takes longer in the try would be most of the traffic's time. */
const TIMEOUT_MS = 5_000
export const TRIES = 3

export type Prepared = { ok: true; types: (TypeShape | null)[] } | { ok: false; error: PgError }

/** Prepares the text; `release` must be called when it was accepted. Throws when the connection is lost. */
export async function prepare(sql: Sql, text: string, typeOf: TypeOf): Promise<Prepared> {
  try {
    await sql.unsafe(`prepare ${NAME} as ${text}`).simple()
  } catch (error) {
    return { ok: false, error: known(error, text) }
  }
  const rows = await sql.unsafe<{ types: string }[]>(
    `select to_json(parameter_types::oid[])::text as types from pg_catalog.pg_prepared_statements where name = '${NAME}'`,
  )
  const oids = JSON.parse(rows[0]?.types ?? '[]') as (string | number)[]
  return { ok: true, types: oids.map((oid) => typeOf(Number(oid))) }
}

export async function release(sql: Sql): Promise<void> {
  await sql.unsafe(`deallocate ${NAME}`).simple()
}

/** Executes what is prepared of `text`, with values that are drawn anew each time. null: it worked. */
export async function execute(
  sql: Sql,
  text: string,
  draw: (attempt: number) => (string | null)[],
): Promise<PgError | null> {
  let failure: PgError | null = null
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const values = draw(attempt).map((value) => (value === null ? 'null' : literal(value)))
    const list = values.length === 0 ? '' : `(${values.join(', ')})`
    await sql.unsafe(`begin; set local statement_timeout = ${TIMEOUT_MS}`).simple()
    try {
      // Rows stay in the server.
      await sql.unsafe(`explain (analyze, costs off, timing off, summary off) execute ${NAME}${list}`).simple()
      await sql.unsafe('set constraints all immediate').simple()
      failure = null
    } catch (error) {
      failure = known(error, text)
    }
    await sql.unsafe('rollback').simple()
    // It would take as long again.
    if (failure === null || failure.sqlstate === '57014') return failure
  }
  return failure
}

/** A literal for sessions with standard_conforming_strings on. */
const literal = (value: string): string => `'${value.replaceAll("'", "''")}'`

/** What was sent has values in it: names in a message must come from the statement itself. */
function known(error: unknown, text: string): PgError {
  if (isConnectionFailure(error)) throw error
  return toPgError(error, text)
}
