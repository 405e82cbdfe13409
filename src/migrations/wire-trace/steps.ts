/**
 * From the wire to statements (pure): every message that a migration tool sent is taken apart into the statements in it,
 * each with its times and what became of it. The server's answers are the judge of how far it came: it completes each
 * statement of a message in turn, and the one after the last completed is the one that failed.
 */
import { statementTimes } from '../../wire/markers.js'
import type { Exchange, ServerMessage, WireCommand, WireSession } from '../../wire/types.js'
import { factsOfNode, type StatementFacts } from '../../sql/facts.js'
import { lex } from '../../sql/lexer.js'
import { parseSql, walk, type Node } from '../../sql/parser.js'
import type { StatementRun } from '../../recording.js'

/** One statement as it stands in a message. */
export interface Piece {
  sql: string
  /** null when the message does not parse: then it is one piece. */
  facts: StatementFacts | null
  node: Node | null
}

/** One statement that the tool sent and the server came to. */
export interface Step {
  session: WireSession
  exchange: Exchange
  command: WireCommand
  piece: Piece
  /** Position in its message and in its exchange, from 0, and how many statements the message has. */
  index: number
  position: number
  of: number
  startMs: number
  endMs: number
  /** The earliest instant at which the server can have begun it: its message was sent then. */
  sentMs: number
  boundary: StatementRun['boundary']
  tag: string | null
  error: ServerMessage | null
}

/** A text that is remembered, because the same one is looked at in several passes. */
const MOST_REMEMBERED = 500
const remembered = new Map<string, readonly Piece[]>()

/** The statements of a message. One piece when it does not parse, none when there is nothing but comments in it. */
export function piecesOf(sql: string): readonly Piece[] {
  const known = remembered.get(sql)
  if (known) return known
  const pieces = takeApart(sql)
  if (remembered.size >= MOST_REMEMBERED) remembered.clear()
  remembered.set(sql, pieces)
  return pieces
}

function takeApart(sql: string): Piece[] {
  if (sql.includes('\0')) return [{ sql, facts: null, node: null }]
  try {
    return parseSql(sql).map(({ kind, node, start, end }) => ({
      sql: withoutTail(sql.slice(start, end)),
      facts: factsOfNode(kind, node),
      node,
    }))
  } catch {
    return [{ sql, facts: null, node: null }]
  }
}

function withoutTail(sql: string): string {
  let end = 0
  for (const token of lex(sql)) if (token.kind !== 'space' && token.kind !== 'comment') end = token.end
  return sql.slice(0, end)
}

/** Tokens with single spaces between them: the same statement, however it was laid out or commented. */
export function canonical(sql: string): string {
  const tokens: string[] = []
  for (const { kind, start, end } of lex(sql))
    if (kind !== 'space' && kind !== 'comment') tokens.push(sql.slice(start, end))
  while (tokens.at(-1) === ';') tokens.pop()
  return tokens.join(' ')
}

/** Names of relations that a statement mentions, as written; `schema` null where none is. */
export function relationsIn(node: Node | null): { schema: string | null; name: string }[] {
  const found: { schema: string | null; name: string }[] = []
  walk(node, (_, fields) => {
    const name = fields['relname']
    const schema = fields['schemaname']
    if (typeof name === 'string') found.push({ schema: typeof schema === 'string' ? schema : null, name })
  })
  // DROP and COMMENT name their objects as lists of strings.
  if (node && 'DropStmt' in node)
    for (const object of node.DropStmt.objects ?? []) {
      const parts: string[] = []
      walk([object], (kind, fields) => {
        if (kind === 'String' && typeof fields['sval'] === 'string') parts.push(fields['sval'])
      })
      const name = parts.pop()
      if (name !== undefined) found.push({ schema: parts.pop() ?? null, name })
    }
  return found
}

/** Every statement that the server came to, in the order in which it can have run. */
export function stepsOf(exchanges: readonly Exchange[]): Step[] {
  const steps: Step[] = []
  for (const exchange of [...exchanges].sort((a, b) => a.ordinal - b.ordinal)) {
    const counted = exchange.commands.map((command) => ({ command, pieces: piecesOf(command.sql) }))
    const several = counted.reduce((sum, { pieces }) => sum + pieces.length, 0) > 1
    const times = several ? statementTimes(exchange) : null
    let nth = 0
    let ended = false
    for (const { command, pieces } of counted) {
      for (const [index, piece] of pieces.entries()) {
        const position = nth++
        const done = command.completed[index] ?? null
        // What comes after the failing statement was never looked at.
        const failed = done === null && index === command.completed.length && command.error !== null
        const cut = done === null && !failed
        // Where the connection ended, one statement was under way.
        if (cut && (ended || command.error !== null || index > command.completed.length || exchange.readyMs !== null))
          continue
        ended ||= cut || failed
        const last = exchange.readyMs ?? exchange.session.endedMs ?? command.sentMs
        const time = times?.[position]
        const alone = !several || command.pieceOf !== null
        steps.push({
          session: exchange.session,
          exchange,
          command,
          piece,
          index,
          position,
          of: pieces.length,
          startMs: time?.startMs ?? command.sentMs,
          endMs: time?.endMs ?? (command.pieceOf === null ? last : (done?.atMs ?? command.error?.atMs ?? last)),
          sentMs: command.sentMs,
          boundary: alone ? 'client' : time ? 'server' : 'message',
          tag: done?.tag ?? null,
          error: failed ? command.error : cut ? exchange.error : null,
        })
      }
    }
  }
  return steps
}
