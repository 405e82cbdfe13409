/** What a statement writes to the table of a tool's journal, by PostgreSQL's own parser. Pure. */
import { parseSql, type Node } from '../../sql/parser.js'

export interface JournalTable {
  schema: string
  name: string
}

/** Values by column. null where a value is NULL or not known to be text; what is computed (`now()`) is left out. */
export type WrittenRow = Readonly<Record<string, string | null>>

/**
 * The row that a statement inserts into the table, or that it deletes from it by one `column = value`; null when it does
 * neither. Values come from the text or, for `$1`, from the parameters. The statement may be one of several.
 */
export function journalRow(
  sql: string,
  parameters: readonly (string | null)[] | null,
  table: JournalTable,
): WrittenRow | null {
  // Most statements are not about the journal: spare the parser. A quote in the name is doubled in the text.
  if (!sql.includes(table.name.replaceAll('"', '""')) && !sql.toLowerCase().includes(table.name)) return null
  let statements
  try {
    statements = parseSql(sql)
  } catch {
    return null
  }
  for (const { node } of statements) {
    if ('InsertStmt' in node) {
      const { relation, cols, selectStmt } = node.InsertStmt
      if (!isTable(relation, table) || selectStmt === undefined || !('SelectStmt' in selectStmt)) continue
      const [values] = selectStmt.SelectStmt.valuesLists ?? []
      if (values === undefined || !('List' in values)) continue
      const names = (cols ?? []).map((column) => ('ResTarget' in column ? (column.ResTarget.name ?? '') : ''))
      return rowOf(names, values.List.items ?? [], parameters)
    }
    if ('DeleteStmt' in node) {
      const { relation, whereClause } = node.DeleteStmt
      if (!isTable(relation, table) || whereClause === undefined || !('A_Expr' in whereClause)) continue
      const { lexpr, rexpr, kind } = whereClause.A_Expr
      if (kind !== 'AEXPR_OP' || lexpr === undefined || rexpr === undefined || !('ColumnRef' in lexpr)) continue
      const field = lexpr.ColumnRef.fields?.at(-1)
      if (field === undefined || !('String' in field)) continue
      return rowOf([field.String.sval ?? ''], [rexpr], parameters)
    }
  }
  return null
}

/** A name without a schema is taken for the journal's: the tool's search_path decides, and no tool uses two. */
const isTable = (relation: { schemaname?: string; relname?: string } | undefined, table: JournalTable): boolean =>
  relation?.relname === table.name && (relation.schemaname === undefined || relation.schemaname === table.schema)

function rowOf(names: readonly string[], values: readonly Node[], parameters: readonly (string | null)[] | null) {
  const row: Record<string, string | null> = {}
  names.forEach((name, i) => {
    const value = values[i]
    const known = value === undefined ? undefined : valueOf(value, parameters)
    if (known !== undefined) row[name] = known
  })
  return row
}

/** undefined when it is neither a constant nor a parameter. */
function valueOf(node: Node, parameters: readonly (string | null)[] | null): string | null | undefined {
  if ('TypeCast' in node) return node.TypeCast.arg === undefined ? undefined : valueOf(node.TypeCast.arg, parameters)
  if ('ParamRef' in node) return parameters?.[(node.ParamRef.number ?? 0) - 1] ?? null
  if (!('A_Const' in node)) return undefined
  const constant = node.A_Const
  if (constant.isnull === true) return null
  if (constant.sval !== undefined) return constant.sval.sval ?? ''
  if (constant.ival !== undefined) return String(constant.ival.ival ?? 0)
  if (constant.fval !== undefined) return constant.fval.fval ?? null
  return undefined
}
