/** Names of operations, from the statement alone: the same for every schema it is tried on. Pure. */
import { walk } from '../../sql/parser.js'
import { hash32 } from '../random.js'
import { itemsOf, lastName, listOf, ofKind, tagged, textOf, uncast, type Fields } from './tree.js'

/** The longest name that a header of a script may have. */
const LONGEST = 63
const HASH = 5
const MOST_TABLES = 3
const MOST_COLUMNS = 4

const VERBS: Readonly<Record<string, string>> = {
  SelectStmt: 'select',
  InsertStmt: 'insert',
  UpdateStmt: 'update',
  DeleteStmt: 'delete',
  MergeStmt: 'merge',
}

/** `select orders join users by user_id and status`: verb, tables, and columns that parameters are compared with. */
export function describe(kind: string, node: unknown): string {
  const fields = tagged(node)?.fields ?? {}
  const verb =
    kind === 'InsertStmt' && fields['onConflictClause'] !== undefined ? 'upsert' : (VERBS[kind] ?? kind.toLowerCase())
  const tables = tablesIn(node)
  const columns = kind === 'InsertStmt' ? [] : comparedColumns(node)
  const words = [verb, ...(tables.length > 0 ? [tables.slice(0, MOST_TABLES).join(' join ')] : [])]
  if (columns.length > 0) words.push('by', columns.slice(0, MOST_COLUMNS).join(' and '))
  return words.join(' ').replace(/[^\p{L}\p{N}_ ./-]/gu, '_')
}

/** One name for each statement. Statements that are described in the same words get a hash of their text. */
export function uniqueNames(statements: readonly { description: string; text: string }[]): string[] {
  const cut = statements.map(({ description }) => Array.from(description).slice(0, LONGEST).join('').trim())
  const taken = new Map<string, number>()
  for (const name of cut) taken.set(name, (taken.get(name) ?? 0) + 1)
  const used = new Set<string>()
  return statements.map(({ text }, i) => {
    const plain = cut[i] ?? ''
    let name = plain
    for (let salt = 0; name === '' || taken.get(name) !== 1 || used.has(name); salt++) {
      const hash = hash32(salt === 0 ? text : `${salt} ${text}`)
        .toString(36)
        .padStart(HASH, '0')
        .slice(-HASH)
      name = `${Array.from(plain)
        .slice(0, LONGEST - HASH - 1)
        .join('')
        .trim()} ${hash}`.trim()
      if (!taken.has(name) && !used.has(name)) break
    }
    used.add(name)
    return name
  })
}

function tablesIn(node: unknown): string[] {
  const names: string[] = []
  const ctes = new Set<string>()
  walk([node], (name, fields) => {
    const found = name === 'relation' ? (ofKind(fields, 'RangeVar') ?? fields) : name === 'RangeVar' ? fields : null
    if (name === 'CommonTableExpr') ctes.add(textOf(fields, 'ctename'))
    const table = textOf(found, 'relname')
    const schema = textOf(found, 'schemaname')
    if (table !== '') names.push(schema === '' || schema === 'public' ? table : `${schema}.${table}`)
  })
  return [...new Set(names)].filter((name) => !ctes.has(name))
}

function comparedColumns(node: unknown): string[] {
  const columns: string[] = []
  walk([node], (name, fields) => {
    if (name !== 'A_Expr' || COMPUTES.has(lastName(listOf(fields, 'name')))) return
    const sides = [fields['lexpr'], fields['rexpr']]
    if (!sides.some(hasParameter)) return
    for (const side of sides) columns.push(...columnsAt(side))
  })
  return [...new Set(columns)]
}

/** Operators that give a value instead of an answer. */
const COMPUTES = new Set(['+', '-', '*', '/', '%', '||', '->', '->>', '#>', '#>>'])

const hasParameter = (node: unknown): boolean =>
  ofKind(uncast(node).node, 'ParamRef') !== null || itemsOf(uncast(node).node).some(hasParameter)

function columnsAt(side: unknown): string[] {
  const { node } = uncast(side)
  const column: Fields | null = ofKind(node, 'ColumnRef')
  if (column !== null) return [lastName(listOf(column, 'fields'))].filter((name) => name !== '')
  const call = ofKind(node, 'FuncCall')
  if (call !== null) return listOf(call, 'args').flatMap(columnsAt)
  const json = ofKind(node, 'A_Expr')
  if (json !== null && lastName(listOf(json, 'name')).startsWith('->')) return columnsAt(json['lexpr'])
  return ofKind(node, 'RowExpr') === null ? [] : itemsOf(node).flatMap(columnsAt)
}
