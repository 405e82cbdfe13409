/**
 * What a statement takes for granted of the rows that are there: a reference, a check, uniqueness, no NULL, a cast. Whether
 * it succeeds depends on them, so success on made-up rows proves nothing. Read from the parse tree. Pure.
 */
import { quoteName } from './identifiers.js'
import { lex } from './lexer.js'
import { parseSql, SqlSyntaxError } from './parser.js'
import { byteIndexer } from './text.js'

export interface Claim {
  kind: 'foreign key' | 'check' | 'unique' | 'not null' | 'type' | 'validate'
  /** As in `pg_namespace`; `public` where the statement names none. */
  schema: string
  table: string
  /** Of a check: none, for its expression names them. */
  columns: string[]
  /** Of a foreign key; `columns` is empty for the target's primary key. */
  target: { schema: string; table: string; columns: string[] } | null
  /** Of a check, as it is written. */
  expression: string | null
  /** Of a partial unique index, as it is written. */
  where: string | null
  /** false for NOT VALID: only rows that come later are looked at. */
  ofRowsThere: boolean
}

/** A read-only query that counts the rows in the way: 0 where the statement will succeed. null where none is known. */
export function precheck({ kind, schema, table, columns, target, expression, where }: Claim): string | null {
  const from = nameOf(schema, table)
  const names = columns.map(quoteName)
  switch (kind) {
    case 'not null':
      return `select count(*) from ${from} where ${names.map((name) => `${name} is null`).join(' or ')};`
    case 'check':
      return expression === null ? null : `select count(*) from ${from} where not (${expression});`
    case 'unique': {
      if (names.length === 0) return null
      const filled = [...(where === null ? [] : [`(${where})`]), ...names.map((name) => `${name} is not null`)]
      return `select count(*) from (select 1 from ${from} where ${filled.join(' and ')} group by ${names.join(', ')} having count(*) > 1) as doubles;`
    }
    case 'foreign key': {
      if (!target || target.columns.length !== columns.length) return null
      const joined = columns.map((name, i) => `t.${quoteName(target.columns[i] ?? '')} = r.${quoteName(name)}`)
      const filled = columns.map((name) => `r.${quoteName(name)} is not null`)
      return `select count(*) from ${from} as r where ${filled.join(' and ')} and not exists (select 1 from ${nameOf(target.schema, target.table)} as t where ${joined.join(' and ')});`
    }
    default:
      return null
  }
}

const nameOf = (schema: string, table: string): string =>
  schema === 'public' ? quoteName(table) : `${quoteName(schema)}.${quoteName(table)}`

/** The claims of one text of any number of statements; none for what does not parse. New tables and columns make none. */
export function claimsOf(sql: string): Claim[] {
  try {
    return parseSql(sql).flatMap(({ node }) => {
      const tree = node as unknown as Tree
      if (tree['AlterTableStmt']) return ofAlter(sql, tree['AlterTableStmt'])
      if (tree['IndexStmt']) return ofIndex(sql, tree['IndexStmt'])
      return []
    })
  } catch (error) {
    if (error instanceof SqlSyntaxError) return []
    throw error
  }
}

/** Fields of a node of the parse tree, as far as they are read here. */
interface Tree {
  [field: string]: Tree | undefined
}

const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)
const list = (value: unknown): Tree[] => (Array.isArray(value) ? (value as Tree[]) : [])
const strings = (value: unknown): string[] => list(value).flatMap((item) => text(item['String']?.['sval']) ?? [])

function relationOf(range: Tree | undefined): { schema: string; table: string } | null {
  const table = text(range?.['relname'])
  return table === null ? null : { schema: text(range?.['schemaname']) ?? 'public', table }
}

const EMPTY = { columns: [], target: null, expression: null, where: null, ofRowsThere: true }

function ofAlter(sql: string, statement: Tree): Claim[] {
  const relation = relationOf(statement['relation'])
  if (!relation) return []
  return list(statement['cmds']).flatMap((item): Claim[] => {
    const command = item['AlterTableCmd']
    const name = text(command?.['name'])
    switch (text(command?.['subtype'])) {
      case 'AT_SetNotNull':
        return name === null ? [] : [{ ...EMPTY, ...relation, kind: 'not null', columns: [name] }]
      case 'AT_AlterColumnType':
        return name === null || !mayRefuse(command?.['def']?.['ColumnDef'])
          ? []
          : [{ ...EMPTY, ...relation, kind: 'type', columns: [name] }]
      case 'AT_ValidateConstraint':
        return [{ ...EMPTY, ...relation, kind: 'validate' }]
      case 'AT_AddConstraint':
        return ofConstraint(sql, relation, command?.['def']?.['Constraint'])
      default:
        return []
    }
  })
}

/** A cast by USING, or a type with a limit: `varchar(20)`, `numeric(8, 2)`. A plain wider type refuses nothing. */
const mayRefuse = (column: Tree | undefined): boolean =>
  column?.['raw_default'] !== undefined || list(column?.['typeName']?.['typmods']).length > 0

function ofConstraint(sql: string, relation: { schema: string; table: string }, node: Tree | undefined): Claim[] {
  if (!node) return []
  const ofRowsThere = (node['skip_validation'] as unknown) !== true
  const base = { ...EMPTY, ...relation, ofRowsThere }
  switch (text(node['contype'])) {
    case 'CONSTR_FOREIGN': {
      const target = relationOf(node['pktable'])
      if (!target) return []
      return [
        {
          ...base,
          kind: 'foreign key',
          columns: strings(node['fk_attrs']),
          target: { ...target, columns: strings(node['pk_attrs']) },
        },
      ]
    }
    case 'CONSTR_CHECK':
      return [{ ...base, kind: 'check', expression: checkText(sql, Number(node['location'] ?? 0)) }]
    case 'CONSTR_NOTNULL':
      return [{ ...base, kind: 'not null', columns: strings(node['keys']) }]
    case 'CONSTR_PRIMARY':
    case 'CONSTR_UNIQUE':
      // USING INDEX: the index is there, and with it what it proves.
      return strings(node['keys']).length === 0 ? [] : [{ ...base, kind: 'unique', columns: strings(node['keys']) }]
    default:
      return []
  }
}

function ofIndex(sql: string, node: Tree): Claim[] {
  const relation = relationOf(node['relation'])
  if ((node['unique'] as unknown) !== true || !relation) return []
  const columns = list(node['indexParams']).map((item) => text(item['IndexElem']?.['name']))
  const plain = columns.flatMap((name) => name ?? [])
  return [
    {
      ...EMPTY,
      ...relation,
      kind: 'unique',
      // With an expression in it, which rows are the same is not known here.
      columns: plain.length === columns.length ? plain : [],
      where: node['whereClause'] ? whereText(sql) : null,
    },
  ]
}

/** What stands between the parentheses of CHECK, found from the constraint's place on. */
function checkText(sql: string, byte: number): string | null {
  let depth = 0
  let start: number | null = null
  let check = false
  for (const token of lex(sql, byteIndexer(sql)(byte))) {
    const word = sql.slice(token.start, token.end)
    if (start === null && token.kind === 'word' && word.toLowerCase() === 'check') check = true
    if (!check || token.kind !== 'operator') continue
    // Operators may stand together: `)::text`.
    for (let at = token.start; at < token.end; at++) {
      if (sql[at] === '(' && depth++ === 0) start = at + 1
      if (sql[at] === ')' && --depth === 0 && start !== null) return sql.slice(start, at).trim()
    }
  }
  return null
}

/** After the last WHERE of CREATE INDEX nothing follows but its predicate. */
function whereText(sql: string): string | null {
  let from: number | null = null
  let end = sql.length
  for (const token of lex(sql)) {
    if (token.kind === 'word' && sql.slice(token.start, token.end).toLowerCase() === 'where') from = token.end
    if (token.kind === 'operator' && sql.slice(token.start, token.end) === ';') end = token.start
  }
  return from === null ? null : sql.slice(from, end).trim()
}
