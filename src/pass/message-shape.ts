/**
 * The shape of a message (pure): whether its statements can be told apart where it is sent whole, and whether it may be
 * sent statement by statement instead.
 */
import { piecesOf, type Piece } from '../migrations/wire-trace/steps.js'
import type { LookKind } from '../observe/looks.js'
import type { Exchange } from '../wire/types.js'
import { endOf } from './dissect.js'

export const endOfPiece = (piece: Piece): { truncates: boolean; dropsIndexConcurrently: boolean } =>
  piece.facts ? endOf(piece.facts) : { truncates: false, dropsIndexConcurrently: false }

/** Every statement that an exchange sent. */
export const sentIn = (exchange: Exchange): readonly Piece[] => exchange.commands.flatMap(({ sql }) => piecesOf(sql))

/** Statements without an event trigger (documentation, "Event Trigger Firing Matrix"), and those that may run any. */
const SILENT = new Set(
  (
    'InsertStmt UpdateStmt DeleteStmt MergeStmt TruncateStmt LockStmt CopyStmt VacuumStmt ClusterStmt ' +
    'CheckPointStmt ConstraintsSetStmt CreatedbStmt DropdbStmt AlterDatabaseStmt AlterDatabaseSetStmt CreateRoleStmt ' +
    'AlterRoleStmt AlterRoleSetStmt DropRoleStmt GrantRoleStmt CreateTableSpaceStmt DropTableSpaceStmt AlterSystemStmt ' +
    'CreateEventTrigStmt AlterEventTrigStmt ReassignOwnedStmt PrepareStmt DeclareCursorStmt FetchStmt'
  ).split(' '),
)
/** REINDEX has event triggers since PostgreSQL 17. */
const OPAQUE = new Set('DoStmt CallStmt SelectStmt ExecuteStmt ExplainStmt CreateExtensionStmt ReindexStmt'.split(' '))
/** They concern the session alone: no trigger fires, and there is nothing to see. */
const OF_SESSION = new Set(
  'VariableShowStmt DiscardStmt NotifyStmt ListenStmt UnlistenStmt DeallocateStmt ClosePortalStmt LoadStmt'.split(' '),
)

/** What is seen of a statement by the server's own looks. */
export function lookKind({ facts, node }: Piece): LookKind {
  if (!facts || !node) return 'silent'
  if (facts.transaction !== null) return 'cut'
  if (facts.isSet || facts.setsTransaction || OF_SESSION.has(facts.kind)) return 'none'
  if (SILENT.has(facts.kind) || OPAQUE.has(facts.kind) || facts.isDml) return 'silent'
  return isShared(node) ? 'silent' : 'loud'
}

/** COMMENT, GRANT and the like fire for what is in the database, not for roles, databases and tablespaces. */
const isShared = (node: NonNullable<Piece['node']>): boolean => {
  const type =
    'CommentStmt' in node
      ? node.CommentStmt.objtype
      : 'SecLabelStmt' in node
        ? node.SecLabelStmt.objtype
        : 'GrantStmt' in node
          ? node.GrantStmt.objtype
          : null
  return ['OBJECT_ROLE', 'OBJECT_DATABASE', 'OBJECT_TABLESPACE', 'OBJECT_EVENT_TRIGGER'].includes(type ?? '')
}

/** Whether looks will tell what each statement did: between two of them there is at most one that does not look. */
export function tellsApart(pieces: readonly Piece[], inTransaction: boolean): boolean {
  if (pieces.some(({ facts }) => facts === null || OPAQUE.has(facts.kind))) return false
  const kinds = pieces.map(lookKind).filter((kind) => kind !== 'none')
  if (kinds.some((kind, index) => kind === 'silent' && ['silent', 'cut'].includes(kinds[index + 1] ?? ''))) return false
  if (kinds.some((kind, index) => kind === 'cut' && kinds[index + 1] === 'silent')) return false
  return inTransaction || (kinds[0] !== 'silent' && kinds.at(-1) !== 'silent')
}

/**
 * Whether sending the statements one by one, in a block of ours when none is open, does the same as the message: an
 * implicit transaction has no transaction statements in it that a block would take differently, and nothing that may
 * only run outside of one.
 */
export function mayTakeApart(pieces: readonly Piece[], inTransaction: boolean): boolean {
  for (const { facts } of pieces) {
    if (!facts || facts.transaction !== null || facts.refusesTransactionBlock || facts.setsTransaction) return false
    if (pieces.length > 1) continue
    // Alone it commits by itself: some statements look at their objects before they refuse a block.
    if (inTransaction || facts.mayCommit || facts.isSet || LOOKS_FIRST.has(facts.kind)) return false
  }
  return true
}

/** They may refuse a transaction block only once they have seen their object, e.g. a partitioned table. */
const LOOKS_FIRST = new Set(['ReindexStmt', 'ClusterStmt', 'AlterSubscriptionStmt', 'DropSubscriptionStmt'])
