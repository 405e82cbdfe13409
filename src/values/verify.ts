/** The server's own word on checks that are not understood here. */
import type { Sql } from '../pg/connect.js'
import type { Row, TableShape } from './types.js'

/**
 * Whether the table's CHECK constraints and domains accept each row; keys and references are not looked at, and nothing
 * is written. A value that does not fit its type is not accepted. Columns that a row lacks count as NULL.
 */
export async function verifyRows(sql: Sql, table: TableShape, rows: readonly Row[]): Promise<boolean[]> {
  if (rows.length === 0) return []
  const checks = table.checks.map(({ expression }) => `(${expression}) is not false`)
  const accepted = checks.length > 0 ? checks.join(' and ') : 'true'
  const ask = async (some: readonly Row[]): Promise<boolean[]> => {
    const json = JSON.stringify(some.map((row) => asJson(table, row)))
    const answers = await sql.unsafe<{ ok: boolean }[]>(
      `select ${accepted} as ok from json_populate_recordset(null::${table.sql}, $1::text::json)`,
      [json],
    )
    return answers.map(({ ok }) => ok)
  }
  try {
    return await ask(rows)
  } catch (error) {
    if (rows.length === 1) {
      if (error instanceof Error && 'severity' in error) return [false]
      throw error
    }
    // One of them is not even of its types: each by itself.
    const answers: boolean[] = []
    for (const row of rows) answers.push(...(await verifyRows(sql, table, [row])))
    return answers
  }
}

/** Texts are read by the types' input functions; only JSON is JSON already. */
function asJson(table: TableShape, row: Row): Record<string, unknown> {
  const json: Record<string, unknown> = {}
  for (const { name, type } of table.columns) {
    const value = row[name]
    if (value === undefined) continue
    json[name] =
      value !== null && (type.base === 'json' || type.base === 'jsonb') ? (JSON.parse(value) as unknown) : value
  }
  return json
}
