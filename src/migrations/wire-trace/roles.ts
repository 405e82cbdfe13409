/** What a statement is to the tool that sent it (pure): its bookkeeping, its transaction control, or a migration's own. */
import { walk, type Node } from '../../sql/parser.js'
import type { ToolMessage } from '../../recording.js'
import type { Ledger } from '../tools/types.js'
import { relationsIn, type Piece } from './steps.js'

export type Role = ToolMessage['role']

/** The role of a statement that stands in no migration file; `migration` is what is left. */
export function roleOf(piece: Piece, ledger: Ledger | null): Role {
  const { facts, node } = piece
  if (!facts || !node) return 'other'
  if (facts.transaction !== null) return 'transaction'
  if (ledger && isBookkeeping(node, ledger)) return 'journal'
  if (takesAdvisoryLock(node)) return 'lock'
  if (facts.isQuery || facts.isSet || facts.setsTransaction || facts.kind === 'VariableShowStmt') return 'other'
  if (QUIET_KINDS.has(facts.kind)) return 'other'
  return 'migration'
}

/** Of a session, not of the schema. */
const QUIET_KINDS = new Set([
  'DeallocateStmt',
  'DiscardStmt',
  'ListenStmt',
  'UnlistenStmt',
  'NotifyStmt',
  'PrepareStmt',
])

/** Whether a statement is about the tool's own tables, or makes the schema that they live in. */
function isBookkeeping(node: Node, ledger: Ledger): boolean {
  if ('CreateSchemaStmt' in node)
    return ledger.tables.some(({ schema }) => schema !== 'public' && schema === node.CreateSchemaStmt.schemaname)
  const named = relationsIn(node)
  return (
    named.length > 0 &&
    named.some((relation) =>
      ledger.tables.some(
        (table) => table.name === relation.name && (relation.schema === null || relation.schema === table.schema),
      ),
    )
  )
}

function takesAdvisoryLock(node: Node): boolean {
  if (!('SelectStmt' in node)) return false
  let found = false
  walk(node, (kind, fields) => {
    if (kind !== 'FuncCall') return
    const names: string[] = []
    walk(fields['funcname'], (inner, value) => {
      if (inner === 'String' && typeof value['sval'] === 'string') names.push(value['sval'])
    })
    found ||= /^pg_(?:try_)?advisory_/.test(names.at(-1) ?? '')
  })
  return found
}
