/**
 * What is done around each message of a migration tool in the quiet pass: the tool's own session is asked what its last
 * message did, and states that it commits are reported.
 */
import { openLockWatch, type LockWatch } from '../observe/lock-watch.js'
import { WorkMeter } from '../observe/work.js'
import type { NoticeStamp } from '../migrations/session.js'
import { roleOf } from '../migrations/wire-trace/roles.js'
import { canonical, piecesOf, type Piece } from '../migrations/wire-trace/steps.js'
import type { Statement, Work } from '../recording.js'
import type { Asker, Exchange, Interposer, Pending, ServerMessage, WireSession } from '../wire/types.js'
import { journalOf, type ToolInput } from './context.js'
import { changesSomething, unmeasured, type Dissected, type DissectOptions, type SampledLocks } from './dissect.js'
import { endOfPiece, lookKind, mayTakeApart, sentIn, tellsApart } from './message-shape.js'

export interface ToolOptions extends DissectOptions {
  tool: ToolInput
  /** Whether the server looks by itself around each DDL statement. */
  looks: boolean
}

interface Measured {
  meter: WorkMeter
  watch: LockWatch | null
}

/** What is done with one message. */
interface Plan {
  pieces: readonly Piece[]
  /** Sent one by one. */
  apart: boolean
  /** By position in the exchange. */
  works: Map<number, Work | null>
  begun: boolean
  began: Pending['status']
}

export class Dissecting implements Interposer {
  readonly #o: ToolOptions
  readonly #sampled: SampledLocks
  readonly #texts: ReadonlySet<string>
  readonly #sessions = new Map<number, Promise<Measured>>()
  readonly #notices = new Map<WireSession, NoticeStamp[]>()
  readonly #plans = new Map<WireSession, Plan>()
  readonly #works = new Map<Exchange, Map<number, Work | null>>()
  /** Sessions with an open change, and the states that came of them. */
  readonly #changed = new Set<WireSession>()
  readonly #states: { id: string; exchange: Exchange }[] = []
  readonly #unmeasured: { sql: string; error: unknown }[] = []
  readonly #taken = new Set<string>()
  readonly #untold: string[] = []

  constructor(options: ToolOptions, sampled: SampledLocks) {
    this.#o = options
    this.#sampled = sampled
    this.#texts = new Set(options.files.flatMap((file) => file.statements.map((one) => canonical(one.sql))))
  }

  async before(pending: Pending): Promise<readonly string[] | null> {
    this.#plans.delete(pending.session)
    if (pending.sql === null || pending.status === 'E') return null
    const texts = pending.batch ?? [pending.sql]
    const pieces = texts.flatMap((text) => piecesOf(text))
    if (!pieces.some((piece) => this.#isMigration(piece))) return null
    // Several statements stay one message where the server's own looks tell them apart, as the tool sends them.
    const told = this.#o.looks && pieces.length > 1 && tellsApart(pieces, pending.status === 'T')
    const divisible = pending.batch ? pieces.length === texts.length : pending.protocol === 'simple'
    const apart = divisible && !told && mayTakeApart(pieces, pending.status === 'T')
    const plan: Plan = { pieces, apart, works: new Map(), begun: false, began: pending.status }
    this.#plans.set(pending.session, plan)
    if (apart) {
      if (pieces.length > 1) this.#taken.add(texts.join(';\n'))
      return pieces.map((piece) => piece.sql)
    }
    plan.begun = await this.#begin(pending, pieces[0], pending.status === 'T')
    return null
  }

  async beforePiece(pending: Pending, index: number): Promise<void> {
    const plan = this.#plans.get(pending.session)
    const piece = plan?.pieces[index]
    if (plan && piece) plan.begun = await this.#begin(pending, piece, true)
  }

  async afterPiece(pending: Pending, index: number, failed: boolean): Promise<void> {
    const plan = this.#plans.get(pending.session)
    const piece = plan?.pieces[index]
    if (plan && piece) await this.#end(plan, index, piece, pending.asker, { inTransaction: true, aborted: failed })
  }

  async after(exchange: Exchange, asker: Asker): Promise<void> {
    const { session } = exchange
    const plan = this.#plans.get(session)
    this.#plans.delete(session)
    if (plan) {
      this.#works.set(exchange, plan.works)
      // A pipeline shows only its first statement before it is sent.
      if (!plan.apart) await this.#endWhole({ ...plan, pieces: sentIn(exchange) }, exchange, asker)
      if (plan.pieces.some((piece) => piece.facts === null || changesSomething(piece.facts))) this.#changed.add(session)
    }
    if (exchange.after !== 'I' || !this.#changed.has(session)) return
    this.#changed.delete(session)
    if (!committed(exchange)) return
    const id = `commit ${this.#states.length + 1}`
    this.#states.push({ id, exchange })
    await this.#o.onCommit({ id, last: null })
  }

  noticed(session: WireSession, { atMs, severity, message }: ServerMessage): void {
    this.#noticesOf(session).push({ atMs, severity, message })
  }

  #noticesOf(session: WireSession): NoticeStamp[] {
    const known = this.#notices.get(session) ?? []
    this.#notices.set(session, known)
    return known
  }

  /** What a statement did; for a message that could not be taken apart, all of it is its last statement's. */
  workOf(exchange: Exchange, position: number): Work | null {
    return this.#works.get(exchange)?.get(position) ?? null
  }

  named(nameOf: (exchange: Exchange) => { id: string; last: Statement } | null): Dissected['states'] {
    return new Map(
      this.#states.flatMap(({ id, exchange }) => {
        const named = nameOf(exchange)
        return named ? [[id, named] as const] : []
      }),
    )
  }

  warnings(statements: ReadonlyMap<string, Statement>): string[] {
    const place = (sql: string): Statement | undefined =>
      [...statements.values()].find((one) => canonical(one.sql) === canonical(sql))
    const files = new Set(
      [...this.#taken].flatMap((message) => {
        const first = piecesOf(message)[0]
        return (first && place(first.sql)?.file) ?? this.#o.tool.command
      }),
    )
    return [
      ...[...files].map(
        (file) =>
          `${file}: messages of several statements were sent statement by statement in the quiet pass, to tell them apart; the timed pass sends them as the tool does.`,
      ),
      ...this.#untold.map((sql) => {
        const { file, line } = place(sql) ?? { file: this.#o.tool.command, line: 1 }
        return `${file}:${line}: what it did could not be told apart from the statements beside it in the same message.`
      }),
      ...this.#unmeasured.map(({ sql, error }) =>
        unmeasured(place(sql) ?? { file: this.#o.tool.command, line: 1 }, error),
      ),
    ]
  }

  async close(): Promise<void> {
    for (const one of this.#sessions.values()) await (await one.catch(() => null))?.watch?.close()
  }

  #isMigration(piece: Piece): boolean {
    if (this.#texts.has(canonical(piece.sql))) return piece.facts?.transaction === null
    return roleOf(piece, this.#o.tool.setup.ledger) === 'migration'
  }

  async #begin(pending: Pending, piece: Piece | undefined, inTransaction: boolean): Promise<boolean> {
    if (piece?.facts?.setsTransaction === true) return false
    try {
      const { meter } = await this.#measured(pending.session, pending.asker)
      await meter.before(inTransaction)
      return true
    } catch (error) {
      this.#unmeasured.push({ sql: piece?.sql ?? '', error })
      return false
    }
  }

  async #end(
    plan: Plan,
    position: number,
    piece: Piece,
    asker: Asker,
    state: { inTransaction: boolean; aborted: boolean },
  ): Promise<void> {
    if (!plan.begun) return
    plan.begun = false
    try {
      const { meter } = await this.#measuredBy(asker)
      plan.works.set(position, this.#ofMigration(await meter.after({ ...state, ...endOfPiece(piece) })))
    } catch (error) {
      this.#unmeasured.push({ sql: piece.sql, error })
    }
  }

  /** A message or a pipeline that was sent whole. */
  async #endWhole(plan: Plan, exchange: Exchange, asker: Asker): Promise<void> {
    const { pieces } = plan
    const last = pieces.at(-1)
    if (!plan.begun || !last) return
    const failed = exchange.commands.some((command) => command.error !== null) || exchange.error !== null
    const state = { inTransaction: exchange.after !== 'I', aborted: exchange.after === 'E' || failed }
    if (pieces.length === 1 || !this.#o.looks) {
      // All of it is its last statement's, when nobody can tell.
      await this.#end(plan, pieces.length - 1, last, asker, state)
      return
    }
    const done = exchange.commands.reduce((sum, command) => sum + command.completed.length, 0)
    try {
      const { meter } = await this.#measuredBy(asker)
      const works = await meter.afterMessage(
        pieces.map((piece) => ({
          kind: lookKind(piece),
          outside: piece.facts?.refusesTransactionBlock === true,
          end: endOfPiece(piece),
        })),
        { ...state, began: plan.began === 'T' ? 'in a transaction' : 'idle', failedAt: failed ? done : null },
      )
      for (const [index, piece] of pieces.entries()) {
        const work = this.#ofMigration(works[index] ?? null)
        plan.works.set(index, work)
        const ran = index < done || (failed && index === done)
        if (work === null && ran && ['loud', 'silent'].includes(lookKind(piece)) && this.#isMigration(piece))
          this.#untold.push(piece.sql)
      }
    } catch (error) {
      this.#unmeasured.push({ sql: last.sql, error })
    }
  }

  /** Without what was seen of the tool's own journal, which is written in the same messages. */
  #ofMigration(work: Work | null): Work | null {
    if (!work) return null
    const isJournal = journalOf(this.#o.tool.setup.ledger)
    return {
      ...work,
      locks: work.locks.filter(({ table }) => !isJournal(table)),
      rowsWritten: work.rowsWritten.filter(({ relation }) => !isJournal(relation)),
      sizeChanges: work.sizeChanges.filter(({ relation }) => !isJournal(relation)),
    }
  }

  #measuredBy(asker: Asker): Promise<Measured> {
    const known = this.#sessions.get(asker.pid)
    if (!known) throw new Error('a session that was not begun')
    return known
  }

  #measured(session: WireSession, asker: Asker): Promise<Measured> {
    const known = this.#sessions.get(session.pid)
    if (known) return known
    const made = (async (): Promise<Measured> => {
      const watch = await openLockWatch(this.#o.input.admin, asker, this.#o.admin)
      const meter = new WorkMeter({
        session: asker,
        notices: this.#noticesOf(session),
        observer: this.#o.admin,
        initial: this.#o.initial,
        sampled: () => this.#sampled.take(session.pid),
        watch,
      })
      return { meter, watch }
    })()
    this.#sessions.set(session.pid, made)
    return made
  }
}

/** Whether something stays of what the exchange ended. */
function committed(exchange: Exchange): boolean {
  const command = exchange.commands.at(-1)
  if (!command) return false
  const failed = exchange.error !== null || exchange.commands.some((one) => one.error !== null)
  if (!failed && command.completed.at(-1)?.tag !== 'ROLLBACK') return true
  // A COMMIT inside the message came before the failure or the ROLLBACK, or something that commits at once in a pipeline.
  return exchange.commands.some(
    ({ protocol, sql, completed }) =>
      completed.some(({ tag }) => tag === 'COMMIT') ||
      (protocol === 'extended' && completed.length > 0 && piecesOf(sql)[0]?.facts?.refusesTransactionBlock === true),
  )
}
