/** What a statement of a program's own is called: after its kind and tables, the same in every run and release. Pure. */
import { createHash } from 'node:crypto'
import { factsOfNode } from '../sql/facts.js'
import { lex } from '../sql/lexer.js'
import { normaliseSql } from '../sql/normalise.js'
import { parseSql, walk, type Node, type ParsedStatement } from '../sql/parser.js'

export interface DescribedStatement {
  /** `update_orders`, without what tells it from other statements on the same tables. */
  base: string
  /** The same for texts that differ only in values, in the length of an IN list and in the number of rows of VALUES. */
  key: string
  /** Without any value, at most 2,000 characters. */
  sql: string
  /**
   * Whether it is work for the application's users. BEGIN, SET, SHOW, DEALLOCATE and the like are not, nor is a query
   * like `select 1` that asks whether the server is there; COMMIT is, because it may wait and fail.
   */
  counts: boolean
}

const SHOWN = 2_000
/** A longer text is not parsed: it is told by its first word, and is most often an import. */
const PARSED = 100_000
const TABLES = 3

/** Functions that a program asks about its session, not its data. */
const ABOUT_SESSION = new Set(
  `version now current_schema current_database current_setting set_config pg_backend_pid pg_is_in_recovery
  txid_current pg_current_xact_id clock_timestamp statement_timestamp pg_postmaster_start_time`.split(/\s+/),
)
const HOUSEKEEPING = new Set([
  ...['VariableSetStmt', 'VariableShowStmt', 'DeallocateStmt', 'DiscardStmt', 'PrepareStmt'],
  ...['ListenStmt', 'UnlistenStmt', 'CheckPointStmt', 'ConstraintsSetStmt', 'ClosePortalStmt'],
])

export function describeStatement(text: string): DescribedStatement {
  if (text.length > PARSED) return { base: `large_${firstWord(text)}`, key: '', sql: '', counts: true }
  const normalised = normaliseSql(text)
  const sql = normalised.length > SHOWN ? `${normalised.slice(0, SHOWN)} ...` : normalised
  const key = keyOf(normalised)
  let statements: ParsedStatement[]
  try {
    statements = text.includes('\0') ? [] : parseSql(text)
  } catch {
    return { base: `unreadable_${firstWord(text)}`, key, sql, counts: true }
  }
  const counting = statements.filter((statement) => isWork(statement))
  const main = counting[0] ?? statements[0]
  if (main === undefined) return { base: 'empty', key, sql, counts: false }
  const more = statements.length > 1 ? [`and_${statements.length - 1}_more`] : []
  const base = [wordOf(main), ...tablesOf(main.node).slice(0, TABLES), ...more].join('_')
  return { base: base.replace(/[^\p{L}\p{N}_]/gu, '_'), key, sql, counts: counting.length > 0 }
}

/** One of these words, for anything else may be data. */
const firstWord = (text: string): string =>
  /^[\s(]*(select|insert|update|delete|merge|with|copy|values|do|call)\b/i.exec(text)?.[1]?.toLowerCase() ?? 'statement'

/** `SelectStmt` is `select`, `RefreshMatViewStmt` is `refresh_mat_view`. */
function wordOf({ kind, node }: ParsedStatement): string {
  const { transaction } = factsOfNode(kind, node)
  if (transaction !== null && transaction !== 'other') return transaction
  return kind
    .replace(/Stmt$/, '')
    .replace(/(?<=[a-z])(?=[A-Z])/g, '_')
    .toLowerCase()
}

function isWork({ kind, node }: ParsedStatement): boolean {
  if (kind === 'TransactionStmt') return factsOfNode(kind, node).transaction === 'commit'
  if (HOUSEKEEPING.has(kind)) return false
  if (kind !== 'SelectStmt') return true
  let work = false
  walk(node, (name, fields) => {
    if (typeof fields['relname'] === 'string') work ||= !isCatalog(fields)
    if (name === 'FuncCall') work ||= !ABOUT_SESSION.has(lastName(fields['funcname']))
  })
  return work
}

/** What drivers ask for on every connection: types, mostly. */
const isCatalog = ({ schemaname, relname }: Readonly<Record<string, unknown>>): boolean =>
  schemaname === 'pg_catalog' || schemaname === 'information_schema' || String(relname).startsWith('pg_')

function lastName(names: unknown): string {
  const last: unknown = Array.isArray(names) ? names.at(-1) : undefined
  if (typeof last !== 'object' || last === null || !('String' in last)) return ''
  const text = last.String
  return typeof text === 'object' && text !== null && 'sval' in text && typeof text.sval === 'string' ? text.sval : ''
}

/** Tables in the order of the tree, each once, without the names that WITH gives. */
function tablesOf(node: Node): string[] {
  const tables = new Set<string>()
  const given = new Set<unknown>()
  walk(node, (name, fields) => {
    if (name === 'CommonTableExpr') given.add(fields['ctename'])
    if (typeof fields['relname'] === 'string') tables.add(fields['relname'])
  })
  return [...tables].filter((table) => !given.has(table))
}

/** The text's tokens with each list of parameters as one, and each run of equal lists as one. */
function keyOf(normalised: string): string {
  const out: string[] = []
  const opened: number[] = []
  for (const { kind, start, end } of lex(normalised)) {
    if (kind === 'space') continue
    const token = kind === 'parameter' ? '$' : normalised.slice(start, end)
    if (token === '$' && out.at(-1) === ',' && out.at(-2) === '$') out.pop()
    else out.push(token)
    if (token === '(') opened.push(out.length - 1)
    if (token !== ')') continue
    const from = opened.pop() ?? out.length
    const length = out.length - from
    const before = out.slice(Math.max(0, from - 1 - length), from - 1)
    if (out[from - 1] === ',' && before.length === length && before.every((one, i) => one === out[from + i]))
      out.length = from - 1
  }
  return out.join(' ')
}

/** So many characters of a hash, in hex, tell statements of the same kind on the same tables apart. */
export const digest = (key: string, characters: number): string =>
  createHash('sha1').update(key).digest('hex').slice(0, characters)
