/** Data for a scenario without a seed. */
import type { Emit } from '../events.js'
import type { Sql } from '../pg/connect.js'
import type { Scenario } from '../scenario.js'
import { fillFromSchema, type GeneratedFill } from '../seeds/generated/index.js'
import { plural } from '../units.js'
import type { Filled } from './types.js'
import { touchedTables } from '../values/touched.js'
import { withClaims } from '../values/claimed.js'
import type { SchemaShape } from '../values/types.js'
import { readShape } from '../values/read-shape.js'

/** Rows made of nothing but the schema, for tables that have none. */
export async function generate(
  owner: Sql,
  admin: Sql,
  scenario: Scenario,
  emit: Emit,
  signal: AbortSignal,
): Promise<Pick<Filled, 'assumptions' | 'generated'>> {
  const pending = scenario.migrations.flatMap((file) => file.statements.map(({ sql }) => sql))
  const plain = await readShape(admin)
  const journal = new Set((scenario.tool?.setup.ledger?.tables ?? []).map(({ schema, name }) => `${schema}.${name}`))
  let last = ''
  const fillAll = (shape: SchemaShape): Promise<GeneratedFill> =>
    fillFromSchema({
      owner,
      admin,
      shape,
      rows: scenario.rows,
      // What the migration works on must not be small.
      large: touchedTables(pending, shape),
      seedNumber: scenario.seedNumber,
      exclude: ({ schema, bare }) => journal.has(`${schema}.${bare}`),
      onProgress: ({ table }) => {
        if (table !== last) emit({ type: 'step', text: `filling ${(last = table)} with generated rows` })
      },
      signal,
    })
  // Rows that a pending constraint would refuse prove nothing about production's.
  const claimed = withClaims(plain, pending)
  const fitting = await fillAll(claimed)
  // Where no row is known that fits, one that does not is better than none: an empty table would hide the migration's work.
  const other = fitting.left.length > 0 && claimed !== plain ? await fillAll(plain) : null
  const tables = [...fitting.tables, ...(other?.tables ?? [])]
  const left = (other ?? fitting).left
  const assumptions = [...fitting.assumptions, ...(other?.assumptions ?? [])]
  const rows = tables.reduce((sum, table) => sum + table.rows, 0)
  const sentences = [
    ...(tables.length > 0
      ? [
          `There is no seed: ${plural(rows, 'row')} were generated for ${plural(tables.length, 'table')} from nothing but the schema. How they are distributed is not production's.`,
        ]
      : []),
    ...assumptions,
    ...left.map(({ table, reason }) => `${table} has no rows: ${reason}.`),
  ]
  return { assumptions: sentences, generated: [...tables.map(({ name }) => name), ...left.map(({ table }) => table)] }
}
