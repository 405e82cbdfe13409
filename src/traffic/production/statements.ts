/** Entries of the profile as statements: one for each text, with what is to be known of it before any server is asked. */
import type { Profile, StatementEntry } from '../../profile/index.js'
import { factsOfNode } from '../../sql/facts.js'
import { normaliseSql } from '../../sql/normalise.js'
import { parseSql, SqlSyntaxError, walk, type ParsedStatement } from '../../sql/parser.js'
import { isProvider, refuseText, refuseTree, refuseUnparsed, type Refused } from './classify.js'
import { describe, uniqueNames } from './names.js'
import { dense, joinGroups, withoutComments } from './rewrite.js'

/** Items of a list when production does not tell how many rows it found. */
const LIST_LENGTH = 3
const MOST_ITEMS = 20

export interface ProductionStatement {
  line: number
  calls: number
  /** Rows by call; 0 when it had none. */
  rowsPerCall: number
  /** Without comments, parameters without gaps. */
  text: string
  /** For reports: no literals, no comments. */
  shown: string
  /** Unique among the statements of the profile; empty when refused. */
  name: string
  /** Changes or locks rows. */
  writes: boolean
  refused: Refused | null
}

export interface StatementOptions {
  profile: Profile
  isTable: (schema: string, name: string) => boolean
  isOurs: (entry: StatementEntry) => boolean
}

/** Statements in the order of their calls. What runs inside functions is left to the statements that call them. */
export function productionStatements({ profile, isTable, isOurs }: StatementOptions): ProductionStatement[] {
  const groups = new Map<string, StatementEntry[]>()
  for (const entry of profile.statements?.entries ?? []) {
    if (entry.toplevel === false || entry.calls === 0) continue
    const key = `${isProvider(entry.user) || !isOurs(entry) ? 'other ' : ''}${normaliseSql(entry.query)}`
    const group = groups.get(key)
    if (group) group.push(entry)
    else groups.set(key, [entry])
  }
  const statements = [...groups.values()].flatMap((entries) => {
    const [first] = entries
    if (first === undefined) return []
    const calls = entries.reduce((sum, entry) => sum + entry.calls, 0)
    const rowsPerCall = entries.reduce((sum, entry) => sum + entry.rows, 0) / calls
    const listLength = rowsPerCall === 0 ? LIST_LENGTH : Math.min(MOST_ITEMS, Math.max(2, Math.round(rowsPerCall)))
    const others = isProvider(first.user) || !isOurs(first)
    return [{ line: first.line, calls, rowsPerCall, ...read(first.query, listLength, others, isTable) }]
  })
  statements.sort((a, b) => b.calls - a.calls || (a.text < b.text ? -1 : 1))
  const playable = statements.filter(({ refused }) => refused === null)
  const names = uniqueNames(playable.map(({ description, text }) => ({ description, text })))
  const nameOf = new Map(playable.map((statement, i) => [statement, names[i] ?? '']))
  return statements.map((statement) => {
    const { line, calls, rowsPerCall, text, shown, writes, refused } = statement
    return { line, calls, rowsPerCall, text, shown, writes, refused, name: nameOf.get(statement) ?? '' }
  })
}

type Read = Pick<ProductionStatement, 'text' | 'shown' | 'writes' | 'refused'> & { description: string }

function read(query: string, listLength: number, others: boolean, isTable: StatementOptions['isTable']): Read {
  const no = (refused: Refused, shown = normaliseSql(query)): Read => ({
    text: query,
    shown: refused.what ?? shown,
    writes: false,
    refused,
    description: '',
  })
  const byText = refuseText(query)
  if (byText !== null) return no(byText)
  const written = query.includes('\0') ? null : withoutComments(query, listLength)
  // The server leaves constants of GROUP BY and the like where the same expression stands elsewhere with a parameter.
  const cleaned = written === null ? null : normaliseSql(written)
  const parsed = cleaned === null ? null : parse(cleaned)
  const [statement, ...more] = parsed ?? []
  if (cleaned === null || statement === undefined) return no(refuseUnparsed(query))
  if (more.length > 0) return no({ what: null, reason: 'is several statements', session: false })
  const byTree = refuseTree(statement.kind, statement.node, cleaned, isTable)
  if (byTree !== null) return no(byTree)
  if (others) return no({ what: null, reason: "is sent by somebody else's role", session: false })
  const { text } = dense(joinGroups(cleaned, statement.node))
  const shown = normaliseSql(text)
  const writes = changesOrLocks(statement)
  return { text, shown, writes, refused: null, description: describe(statement.kind, statement.node) }
}

function changesOrLocks({ kind, node }: ParsedStatement): boolean {
  let locks = factsOfNode(kind, node).isDml
  walk(node, (name) => (locks ||= name === 'LockingClause'))
  return locks
}

function parse(text: string): ParsedStatement[] | null {
  try {
    return parseSql(text)
  } catch (error) {
    if (error instanceof SqlSyntaxError) return null
    throw error
  }
}
