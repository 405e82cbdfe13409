/**
 * What derived traffic can prove of a contract step. It lists every column, as an ORM does that knows them; whether the
 * running release still knows a column that is dropped is for its code to tell (DESIGN section 6).
 */
import type { OperationInfo, PgError, Recording } from '../../recording.js'
import { parseSql, SqlSyntaxError, walk } from '../../sql/parser.js'

/** A column, or with `column` null a table, that the migration drops. */
export type TakenAway = NonNullable<Recording['takenAway']>['objects'][number]

/** Does not exist: a column, a table. */
const GONE = new Set(['42703', '42P01'])

const bare = (name: string): string => name.slice(name.lastIndexOf('.') + 1)

/**
 * The dropped object that this failure of a derived operation is about; null when the operation is not derived, or fails
 * for another reason, such as a rename.
 */
export function takenFrom(
  recording: Recording,
  operation: OperationInfo | undefined,
  error: PgError,
): TakenAway | null {
  if (operation?.source !== 'derived' || !GONE.has(error.sqlstate)) return null
  const named = error.objects.map(bare)
  const objects = recording.takenAway?.objects ?? []
  return (
    objects.find(({ table, column }) =>
      column === null
        ? error.sqlstate === '42P01' && named.includes(bare(table))
        : error.sqlstate === '42703' &&
          named.includes(column) &&
          operation.sql.some((sql) => sql.includes(bare(table)) && sql.includes(column)),
    ) ?? null
  )
}

export const nameOf = ({ table, column }: TakenAway): string => (column === null ? table : `${table}.${column}`)

/** The statement that drops it; null when that cannot be told from the text. */
export function droppedBy(recording: Recording, taken: TakenAway): string | null {
  const statements = recording.migrations.flatMap((file) => file.statements)
  return statements.find(({ sql }) => drops(sql, taken))?.id ?? null
}

function drops(sql: string, { table, column }: TakenAway): boolean {
  let found = false
  try {
    for (const { node } of parseSql(sql))
      walk(node, (kind, fields) => {
        if (column !== null) found ||= fields['subtype'] === 'AT_DropColumn' && fields['name'] === column
        else if (kind === 'DropStmt')
          walk(fields['objects'], (_, inner) => {
            found ||= inner['sval'] === bare(table)
          })
      })
  } catch (error) {
    if (!(error instanceof SqlSyntaxError)) throw error
  }
  return found
}
