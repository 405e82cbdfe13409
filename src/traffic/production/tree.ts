/** Reading parse trees whose nodes are objects with one key, the kind: `{ ColumnRef: {...} }`. Pure. */

export type Fields = Readonly<Record<string, unknown>>

export interface Tagged {
  kind: string
  fields: Fields
}

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The node's kind and fields; null for what is no node. */
export function tagged(node: unknown): Tagged | null {
  if (!isFields(node)) return null
  const [kind, ...more] = Object.keys(node)
  if (kind === undefined || more.length > 0 || !/^[A-Z]/.test(kind)) return null
  const fields = node[kind]
  return isFields(fields) ? { kind, fields } : null
}

/** Fields of the node when it is of this kind. */
export function ofKind(node: unknown, kind: string): Fields | null {
  const found = tagged(node)
  return found?.kind === kind ? found.fields : null
}

export const listOf = (fields: Fields | null, name: string): readonly unknown[] => {
  const value = fields?.[name]
  return Array.isArray(value) ? (value as unknown[]) : []
}

export const fieldsOf = (fields: Fields | null, name: string): Fields | null => {
  const value = fields?.[name]
  return isFields(value) ? value : null
}

export const textOf = (fields: Fields | null, name: string): string => {
  const value = fields?.[name]
  return typeof value === 'string' ? value : ''
}

/** Zero is left out of the tree. */
export const numberOf = (fields: Fields | null, name: string): number => {
  const value = fields?.[name]
  return typeof value === 'number' ? value : 0
}

/** Texts of a list of String nodes; other nodes of it are left out. */
export const stringsOf = (list: readonly unknown[]): string[] =>
  list.flatMap((item) => {
    const text = ofKind(item, 'String')
    return text === null ? [] : [textOf(text, 'sval')]
  })

/** Last part of a function's or operator's name. */
export const lastName = (list: readonly unknown[]): string => stringsOf(list).at(-1) ?? ''

/** Items of a List node, of an array constructor or of a row. */
export function itemsOf(node: unknown): readonly unknown[] {
  const list = ofKind(node, 'List')
  if (list !== null) return listOf(list, 'items')
  const row = ofKind(node, 'RowExpr')
  return row === null ? listOf(ofKind(node, 'A_ArrayExpr'), 'elements') : listOf(row, 'args')
}

/** The node below casts and COLLATE, and the name of the outermost cast's type. */
export function uncast(node: unknown): { node: unknown; type: string | null; isArray: boolean } {
  let type: string | null = null
  let isArray = false
  for (let at = node; ;) {
    const cast = ofKind(at, 'TypeCast')
    const collate = cast === null ? ofKind(at, 'CollateClause') : null
    if (cast === null && collate === null) return { node: at, type, isArray }
    if (cast !== null && type === null) {
      const name = fieldsOf(cast, 'typeName')
      type = lastName(listOf(name, 'names'))
      isArray = listOf(name, 'arrayBounds').length > 0
    }
    at = (cast ?? collate)?.['arg']
  }
}

/** Number of a ParamRef below casts; null for anything else. */
export function parameterOf(node: unknown): number | null {
  const parameter = ofKind(uncast(node).node, 'ParamRef')
  return parameter === null ? null : numberOf(parameter, 'number')
}

/** Name that a column of the result has when it is given none. */
export function outputName(target: Fields): string {
  const given = textOf(target, 'name')
  if (given !== '') return given
  const { node } = uncast(target['val'])
  const column = ofKind(node, 'ColumnRef')
  if (column !== null) return lastName(listOf(column, 'fields'))
  const call = ofKind(node, 'FuncCall')
  return call === null ? '' : lastName(listOf(call, 'funcname'))
}

/** The alias of something in FROM and the names that it gives to the columns. */
export function aliasOf(fields: Fields): { name: string; columns: readonly unknown[] } {
  const alias = fieldsOf(fields, 'alias')
  return { name: textOf(alias, 'aliasname'), columns: listOf(alias, 'colnames') }
}
