/** What a statement is, as far as running it needs to know: read from the parse tree, never from the text. */
import { parseSql, walk, type Node } from './parser.js'

export interface StatementFacts {
  /** The kind of statement in the parser's words, e.g. `AlterTableStmt`; `empty` for a text without a statement. */
  kind: string
  /** Transaction control. Savepoints and two-phase commit are `other`. `end` and `abort` are commit and rollback. */
  transaction: 'begin' | 'commit' | 'rollback' | 'other' | null
  /** COMMIT or ROLLBACK AND CHAIN: the next transaction is open already. */
  chains: boolean
  /**
   * The server refuses it inside a transaction block (25001), whatever the objects look like. Not known from the text
   * alone, and not included: REINDEX and CLUSTER of a partitioned table, forms of ALTER SUBSCRIPTION that refresh.
   */
  refusesTransactionBlock: boolean
  /** CALL and DO: the code in them may commit. */
  mayCommit: boolean
  /** SET, SET LOCAL or RESET of a setting (`SET TRANSACTION` is not one). */
  isSet: boolean
  /** The setting that it sets or resets in lower case, `all` for RESET ALL. */
  setting: string | null
  /** SET LOCAL: over at the end of the transaction. */
  isSetLocal: boolean
  /** SET TRANSACTION, SET SESSION CHARACTERISTICS, or a BEGIN with isolation level and the like. */
  setsTransaction: boolean
  isTruncate: boolean
  /** INSERT, UPDATE, DELETE or MERGE, also inside WITH. */
  isDml: boolean
  /** A query that only reads: SELECT (without INTO), VALUES, TABLE, WITH, without INSERT, UPDATE, DELETE, MERGE in it. */
  isQuery: boolean
  /** PREPARE accepts it. */
  isPreparable: boolean
  /** Written with CONCURRENTLY. */
  concurrently: boolean
}

const DML = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'])

const TRANSACTION = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'other',
  TRANS_STMT_RELEASE: 'other',
  TRANS_STMT_ROLLBACK_TO: 'other',
  TRANS_STMT_PREPARE: 'other',
  TRANS_STMT_COMMIT_PREPARED: 'other',
  TRANS_STMT_ROLLBACK_PREPARED: 'other',
} as const

/** Facts about one statement; of several, the first counts. Throws SqlSyntaxError when it does not parse. */
export function statementFacts(sql: string): StatementFacts {
  const [first] = parseSql(sql)
  return first === undefined ? factsOfNode('empty', {} as Node) : factsOfNode(first.kind, first.node)
}

/** The same from a statement that is parsed already. */
export function factsOfNode(kind: string, node: Node): StatementFacts {
  const set = 'VariableSetStmt' in node ? node.VariableSetStmt : null
  const setsTransaction = set?.kind === 'VAR_SET_MULTI' && (set.name ?? '').toUpperCase() !== 'TRANSACTION SNAPSHOT'
  const transaction = 'TransactionStmt' in node ? node.TransactionStmt : null
  const writes = hasDml(kind, node)
  return {
    kind,
    transaction: transaction === null ? null : TRANSACTION[transaction.kind ?? 'TRANS_STMT_BEGIN'],
    chains: transaction?.chain === true,
    refusesTransactionBlock: refusesTransactionBlock(node),
    mayCommit: kind === 'CallStmt' || kind === 'DoStmt',
    isSet: set !== null && set.kind !== 'VAR_SET_MULTI',
    setting:
      set === null || set.kind === 'VAR_SET_MULTI'
        ? null
        : set.kind === 'VAR_RESET_ALL'
          ? 'all'
          : (set.name ?? '').toLowerCase(),
    isSetLocal: set?.is_local === true,
    setsTransaction: setsTransaction || (transaction?.options?.length ?? 0) > 0,
    isTruncate: kind === 'TruncateStmt',
    isDml: writes,
    isQuery: 'SelectStmt' in node && !writes && node.SelectStmt.intoClause === undefined,
    isPreparable: kind === 'SelectStmt' || DML.has(kind),
    concurrently: concurrently(node),
  }
}

/** DML itself, or a query or CREATE TABLE AS with DML in its WITH. A rule's or function's body does not count. */
function hasDml(kind: string, node: Node): boolean {
  if (DML.has(kind)) return true
  if (kind !== 'SelectStmt' && kind !== 'CreateTableAsStmt' && kind !== 'DeclareCursorStmt') return false
  let found = false
  walk(node, (name) => (found ||= DML.has(name)))
  return found
}

function concurrently(node: Node): boolean {
  if ('IndexStmt' in node) return node.IndexStmt.concurrent === true
  if ('DropStmt' in node) return node.DropStmt.concurrent === true
  if ('ReindexStmt' in node) return isOn(node.ReindexStmt.params, 'concurrently')
  if ('RefreshMatViewStmt' in node) return node.RefreshMatViewStmt.concurrent === true
  if ('AlterTableStmt' in node) {
    let found = false
    // A field of PartitionCmd; other commands of ALTER TABLE have none of that name.
    walk(node, (name, fields) => (found ||= name === 'PartitionCmd' && fields['concurrent'] === true))
    return found
  }
  return false
}

/** The calls of PreventInTransactionBlock in the server's source, as far as the statement alone decides. */
function refusesTransactionBlock(node: Node): boolean {
  if ('IndexStmt' in node || 'DropStmt' in node || 'AlterTableStmt' in node) return concurrently(node)
  if ('ReindexStmt' in node) {
    const one = node.ReindexStmt.kind === 'REINDEX_OBJECT_INDEX' || node.ReindexStmt.kind === 'REINDEX_OBJECT_TABLE'
    return !one || concurrently(node)
  }
  if ('VacuumStmt' in node) return node.VacuumStmt.is_vacuumcmd === true
  if ('ClusterStmt' in node) return node.ClusterStmt.relation === undefined
  if ('AlterDatabaseStmt' in node) return node.AlterDatabaseStmt.options?.some((o) => isNamed(o, 'tablespace')) === true
  if ('DiscardStmt' in node) return node.DiscardStmt.target === 'DISCARD_ALL'
  if ('CreateSubscriptionStmt' in node) {
    const options = node.CreateSubscriptionStmt.options
    return !isOff(options, 'create_slot') && !isOff(options, 'connect')
  }
  if ('TransactionStmt' in node)
    return (
      node.TransactionStmt.kind === 'TRANS_STMT_COMMIT_PREPARED' ||
      node.TransactionStmt.kind === 'TRANS_STMT_ROLLBACK_PREPARED'
    )
  return (
    'CreatedbStmt' in node ||
    'DropdbStmt' in node ||
    'CreateTableSpaceStmt' in node ||
    'DropTableSpaceStmt' in node ||
    'AlterSystemStmt' in node
  )
}

const isNamed = (option: Node, name: string): boolean => 'DefElem' in option && option.DefElem.defname === name

/** An option of a parenthesised list that is given and not switched off: `(CONCURRENTLY)`, `(CONCURRENTLY true)`. */
const isOn = (options: Node[] | undefined, name: string): boolean =>
  options?.some((option) => isNamed(option, name) && !isOff([option], name)) === true

const isOff = (options: Node[] | undefined, name: string): boolean =>
  options?.some((option) => isNamed(option, name) && 'DefElem' in option && isFalse(option.DefElem.arg)) === true

function isFalse(argument: Node | undefined): boolean {
  if (argument === undefined) return false
  if ('Boolean' in argument) return argument.Boolean.boolval !== true
  if ('String' in argument) return ['false', 'off'].includes((argument.String.sval ?? '').toLowerCase())
  return 'Integer' in argument && (argument.Integer.ival ?? 0) === 0
}

/** The parts of an ALTER TABLE: its commands by the parser's names, added constraints by their kind. */
export function actionsOf(node: Node): { action: string; name: string | null; notValid: boolean }[] {
  if (!('AlterTableStmt' in node)) return []
  return (node.AlterTableStmt.cmds ?? []).flatMap((command) => {
    if (!('AlterTableCmd' in command)) return []
    const { subtype, name, def } = command.AlterTableCmd
    if (def !== undefined && 'Constraint' in def) {
      const { contype, conname, skip_validation } = def.Constraint
      return [{ action: contype ?? 'constraint', name: conname ?? null, notValid: skip_validation === true }]
    }
    return [{ action: subtype ?? 'unknown', name: name ?? null, notValid: false }]
  })
}
