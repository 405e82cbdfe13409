/**
 * Which file and line a statement on the wire comes from (pure). Text decides: a statement of an SQL file is recognised by
 * its tokens, in the order of the files. What a program (a JS or TS migration) sends stands in no file as it is: it
 * belongs to the migration whose journal row is written next (or was written last, for tools that write it first).
 */
import type { MigrationFile, Statement } from '../../recording.js'
import { actionsOf } from '../../sql/facts.js'
import { normaliseSql } from '../../sql/normalise.js'
import type { Ledger, MigrationSource } from '../tools/types.js'
import { canonical, relationsIn, type Step } from './steps.js'
import { lineOfStatement } from './lines.js'
import { roleOf, type Role } from './roles.js'

export interface AttributeInput {
  steps: readonly Step[]
  /** The pending migrations in the tool's order; statements of programs as far as earlier passes have learnt them. */
  files: readonly MigrationFile[]
  sources: readonly MigrationSource[]
  ledger: Ledger | null
  /** What is said of statements that belong to no file, e.g. the command. */
  elsewhere: string
}

export interface Attributed {
  /** Per step, same index. */
  roles: Role[]
  /** Id of the migration's statement; null for the tool's own. */
  statements: (string | null)[]
  /** The files with the statements that programs turned out to send. */
  files: MigrationFile[]
  /** Statements of SQL files by id, as sent: the text in a file of a program is normalised, this one is not. */
  sent: Map<string, string>
}

export function attribute(input: AttributeInput): Attributed {
  const files = input.files.map((file) => ({ ...file, statements: [...file.statements] }))
  const expected = new Expected(files)
  const sent = new Map<string, string>()
  const roles: Role[] = []
  const statements: (string | null)[] = []
  const open: number[] = []
  const programs = files.some((file) => file.kind === 'code')
  for (const [index, step] of input.steps.entries()) {
    const id = expected.take(step, input.steps[index + 1])
    let role: Role = id === null ? roleOf(step.piece, input.ledger) : 'migration'
    // A program may set its own timeouts; a tool's own settings come before its transaction.
    if (role === 'other' && programs && step.piece.facts?.isSet === true && step.exchange.before === 'T')
      role = 'migration'
    roles.push(role)
    statements.push(id)
    if (id !== null) sent.set(id, step.piece.sql)
    else if (role === 'migration') open.push(index)
  }
  const place = owners(input, roles, statements)
  for (const index of open) {
    const step = input.steps[index]
    if (!step) continue
    const file = placeFor(files, place(index), input.elsewhere)
    const learned = learn(file, step, input.sources)
    statements[index] = learned.id
    sent.set(learned.id, step.piece.sql)
  }
  return { roles, statements, files, sent }
}

/** The statements that the files hold, found by their text; of equal ones, the next that was not seen yet. */
class Expected {
  readonly #byText = new Map<string, { id: string; position: number; used: boolean; control: boolean }[]>()
  /** Of a control statement that begins its file: the one behind it. */
  readonly #behind = new Map<string, string>()
  #position = -1

  constructor(files: readonly MigrationFile[]) {
    let position = 0
    for (const statement of files.flatMap((file) => file.statements)) {
      // What an earlier pass learnt of a program is kept without its literals.
      const text = statement.exactLine ? canonical(statement.sql) : learnedKey(statement.sql)
      const list = this.#byText.get(text) ?? []
      list.push({ id: statement.id, position, used: false, control: statement.kind === 'TransactionStmt' })
      this.#byText.set(text, list)
      position++
    }
    for (const { statements } of files) {
      const [first, second] = statements
      if (first?.kind === 'TransactionStmt' && second) this.#behind.set(first.id, canonical(second.sql))
    }
  }

  take(step: Step, next: Step | undefined): string | null {
    const { piece } = step
    const list = this.#byText.get(canonical(piece.sql)) ?? this.#byText.get(learnedKey(normaliseSql(piece.sql)))
    if (!list) return null
    const found =
      list.find((one) => !one.used && one.position > this.#position) ??
      list.find((one) => !one.used) ??
      // Sent once more, e.g. by a tool that tries again.
      list[0]
    if (!found) return null
    // `COMMIT` may be the file's or the tool's own: it is the file's where the file's turn has come.
    if (found.control) {
      if (found.position !== this.#position + 1) return null
      // The tool's own comes between two files: what follows tells whether the second has begun.
      const behind = this.#behind.get(found.id)
      if (behind !== undefined && next && canonical(next.piece.sql) !== behind) return null
    }
    found.used = true
    this.#position = found.position
    return found.id
  }
}

const learnedKey = (normalised: string): string => `\0${canonical(normalised)}`

/** For a step without a text of its own: the name of the migration that it belongs to, or null. */
function owners(
  input: AttributeInput,
  roles: readonly Role[],
  statements: readonly (string | null)[],
): (index: number) => string | null {
  const { steps, ledger, sources, files } = input
  const writes: { index: number; name: string | null }[] = []
  let unnamed = 0
  for (const [index, step] of steps.entries()) {
    if (roles[index] !== 'journal' || step.piece.facts?.kind !== 'InsertStmt' || step.error) continue
    const name = ledger?.recordedBy(step.piece.sql, step.command.parameters, sources) ?? null
    // Without a name that is known, the rows come in the order of the files.
    writes.push({ index, name: name ?? files[unnamed]?.name ?? null })
    unnamed++
  }
  const names = files.map((file) => file.name)
  return (index) => {
    if (ledger?.written === 'before') {
      const last = writes.findLast((write) => write.index < index)
      if (last) return last.name
    } else {
      const next = writes.find((write) => write.index > index)
      if (next) return next.name
      const last = writes.findLast((write) => write.index < index)
      // It failed before its journal row: it is the one after the last that has one.
      if (last) return names[names.indexOf(last.name) + 1] ?? null
      if (writes.length === 0 && ledger !== null) return names[0] ?? null
    }
    // No journal that we know: the file of the statement before, or the only one.
    const before = statements.findLast((id, at) => at < index && id !== null)
    const file = before && files.find((one) => one.statements.some((statement) => statement.id === before))
    return (file ? file.name : names[0]) ?? null
  }
}

/** The file of that name; for statements of nowhere, a stand-in with the command as its name. */
function placeFor(files: MigrationFile[], name: string | null, elsewhere: string): MigrationFile {
  const known = name === null ? undefined : files.find((file) => file.name === name)
  if (known) return known
  const stand = files.find((file) => file.file === elsewhere)
  if (stand) return stand
  const made: MigrationFile = {
    file: elsewhere,
    sha256: '',
    transaction: 'tool',
    name: null,
    kind: 'code',
    statements: [],
  }
  files.push(made)
  return made
}

/** Adds a statement to the file of a program. */
function learn(file: MigrationFile, step: Step, sources: readonly MigrationSource[]): Statement {
  const { sql, facts, node } = step.piece
  const source = file.name === null ? undefined : sources.find((one) => one.name === file.name)
  const actions = node ? actionsOf(node) : []
  const names = [...relationsIn(node).map((relation) => relation.name), ...actions.flatMap((one) => one.name ?? [])]
  const after = file.statements.at(-1)?.line ?? 1
  const found = source ? lineOfStatement(source.text, sql, names, after) : { line: 1, exact: false }
  const ordinal = (file.statements.at(-1)?.ordinal ?? 0) + 1
  const statement: Statement = {
    id: `${file.file}#${ordinal}`,
    file: file.file,
    line: found.line,
    exactLine: found.exact,
    ordinal,
    // Only what stands in the file itself is the team's own text; anything else could hold a row.
    sql: found.exact ? sql : normaliseSql(sql),
    kind: facts?.kind ?? 'unknown',
    concurrently: facts?.concurrently ?? false,
    actions,
  }
  file.statements.push(statement)
  return statement
}
