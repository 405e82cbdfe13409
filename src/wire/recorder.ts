/** Listens to both directions of one session and writes down what was asked, what was answered, and when. */
import { Catalogue } from './catalogue.js'
import { clientLimit, FrameReader, payloadOf, serverLimit, type Frame } from './frames.js'
import {
  cString,
  isFatal,
  readBind,
  readParameters,
  readParameterStatus,
  readParse,
  readServerMessage,
  readTarget,
} from './messages.js'
import { NOTICE_BYTES } from './notice-filter.js'
import { Operations, type Operation, type OperationKind } from './operations.js'
import type { LiveSession } from './session.js'
import type { Exchange, ServerMessage, TransactionStatus, WireCommand } from './types.js'

/** So much of a text is kept; all of it reaches the server. */
const TEXT_BYTES = 16 * 2 ** 20
const PARAMETER_BYTES = 2 ** 20
/** Enough for names, tags and settings. */
const SHORT_BYTES = 10_000

const CLIENT_KEEPS: Readonly<Record<string, number>> = {
  ...{ Q: TEXT_BYTES, P: TEXT_BYTES + SHORT_BYTES },
  ...{ B: SHORT_BYTES, C: SHORT_BYTES, D: SHORT_BYTES, E: SHORT_BYTES },
}
const SERVER_KEEPS: Readonly<Record<string, number>> = { Z: 1, C: SHORT_BYTES, S: SHORT_BYTES, E: NOTICE_BYTES }
/** May come at any time and answer nothing. */
const ASYNCHRONOUS = new Set(['N', 'S', 'A'])

export class Recorder {
  readonly #session: LiveSession
  readonly #takeNotice: () => (ServerMessage & { heldBack: boolean }) | null
  readonly catalogue = new Catalogue()
  readonly #operations = new Operations()
  readonly #client: FrameReader
  readonly #server: FrameReader
  /** What the client's next message belongs to; null when that begins a new exchange. */
  #current: Exchange | null = null
  /** Whose data CopyData is. */
  #lastCommand: WireCommand | null = null
  /** The server reads COPY data and takes no notice of Sync and Flush. */
  #isCopyingIn = false
  /** A message taken apart: its exchange lasts until `seal`. */
  #compound: { exchange: Exchange; whole: string } | null = null

  /** `takeNotice`: see NoticeFilter. */
  constructor(session: LiveSession, takeNotice: () => (ServerMessage & { heldBack: boolean }) | null) {
    this.#session = session
    this.#takeNotice = takeNotice
    const keepsParameters = session.context.keepParameters !== null
    this.#client = new FrameReader({
      keep: (type) => (type === 'B' && keepsParameters ? PARAMETER_BYTES : (CLIENT_KEEPS[type] ?? 0)),
      limit: clientLimit,
      onFrame: (frame) => this.fromClient(frame, frame.startedMs),
    })
    this.#server = new FrameReader({
      keep: (type) => SERVER_KEEPS[type] ?? 0,
      limit: serverLimit,
      onFrame: (frame, endedMs) => this.fromServer(frame, endedMs),
    })
  }

  get isCopyingIn(): boolean {
    return this.#isCopyingIn
  }

  /** After an error in a batch, until the client sends Sync. */
  get isSkipping(): boolean {
    return this.#operations.isSkipping
  }

  /** Bytes that were just sent to the server. Throws MalformedFrame. */
  client(chunk: Buffer, sentMs: number): void {
    this.#client.push(chunk, sentMs)
  }

  /** Bytes that were just read from the server. Throws MalformedFrame. */
  server(chunk: Buffer, nowMs: number): void {
    this.#server.push(chunk, nowMs)
  }

  /** One message of the client that was sent at that time. */
  fromClient(frame: Frame, sentMs: number): void {
    const payload = payloadOf(frame)
    switch (frame.type) {
      case 'Q':
        this.#ask('query', sentMs, this.#command('simple', cString(payload).value, sentMs))
        break
      case 'F':
        this.#ask('function', sentMs, this.#command('function', '', sentMs))
        break
      case 'P':
        this.#ask('parse', sentMs, null, () => {
          const { name, sql } = readParse(payload)
          if (this.#current) this.#current.sql = sql
          return this.catalogue.parse(name, sql)
        })
        break
      case 'B':
        this.#ask('bind', sentMs, null, () => this.#bind(payload))
        break
      case 'C':
        this.#ask('close', sentMs, null, () => {
          const { kind, name } = readTarget(payload)
          return this.catalogue.close(kind, name)
        })
        break
      case 'D':
        this.#ask('describe', sentMs, null)
        break
      case 'E': {
        const { sql, parameters } = this.catalogue.portal(cString(payload).value)
        this.#ask('execute', sentMs, { ...this.#command('extended', sql, sentMs), parameters })
        break
      }
      case 'S':
        if (!this.#isCopyingIn) this.#ask('sync', sentMs, null)
        break
      case 'd':
        if (this.#lastCommand) this.#lastCommand.copiedInBytes += frame.size
        break
      case 'c':
      case 'f':
        if (this.#isCopyingIn) this.#isCopyingIn = false
        // Data may be sent before the server has asked for it.
        else if (this.#current ?? this.#session.underWay.at(-1)) this.#ask('copyEnd', sentMs, null)
        break
      case 'X':
        this.#session.hasSaidGoodbye = true
        break
    }
  }

  #bind(payload: Buffer): () => void {
    const { portal, statement, next } = readBind(payload)
    const sql = this.catalogue.statement(statement)
    if (this.#current) this.#current.sql = sql || null
    const keep = this.#session.context.keepParameters
    const isKept = keep !== null && this.#session.guard('keepParameters', () => keep(sql)) === true
    return this.catalogue.bind(portal, { sql, parameters: isKept ? readParameters(payload, next) : null })
  }

  #command(protocol: WireCommand['protocol'], sql: string, sentMs: number): WireCommand {
    return {
      protocol,
      sql,
      sentMs,
      firstByteMs: null,
      completed: [],
      error: null,
      parameters: null,
      copiedInBytes: 0,
      copiedOutBytes: 0,
      pieceOf: this.#compound?.whole ?? null,
    }
  }

  #ask(kind: OperationKind, sentMs: number, command: WireCommand | null, change?: () => () => void): void {
    const lasting = this.#compound?.exchange ?? (kind === 'copyEnd' ? this.#session.underWay.at(-1) : null)
    const exchange = lasting ?? this.#current ?? this.#session.open(sentMs)
    if (kind !== 'copyEnd') this.#current = exchange
    if (command) {
      exchange.commands.push(command)
      this.#lastCommand = command
      exchange.sql = command.sql || null
    }
    const isSkipped = this.#operations.isSkipping && kind !== 'sync'
    const undo = isSkipped ? null : (change?.() ?? null)
    if (!this.#operations.push({ kind, exchange, command, undo })) return
    if (kind === 'sync' || kind === 'query' || kind === 'function') this.#current = null
  }

  /** One message of the server that was read at that time. */
  fromServer(frame: Frame, nowMs: number): void {
    if (ASYNCHRONOUS.has(frame.type)) {
      this.#asynchronous(frame, nowMs)
      return
    }
    const operation = this.#operations.front()
    const command = operation?.command ?? null
    if (operation) operation.exchange.firstByteMs ??= frame.startedMs
    if (command && frame.type !== 'Z') command.firstByteMs ??= frame.startedMs
    switch (frame.type) {
      case '1':
        this.#answered(operation, 'parse')
        break
      case '2':
        this.#answered(operation, 'bind')
        break
      case '3':
        this.#answered(operation, 'close')
        break
      case 'T':
      case 'n':
        this.#answered(operation, 'describe')
        break
      case 'C':
      case 'I':
      case 's': {
        const tag = { C: () => cString(payloadOf(frame)).value, I: () => '', s: () => 'suspended' }[frame.type]()
        command?.completed.push({ tag, atMs: nowMs })
        this.#answered(operation, 'execute')
        break
      }
      case 'd':
        if (command) command.copiedOutBytes += frame.size
        break
      case 'G':
      case 'W':
        if (operation) this.#copyIn(operation)
        break
      case 'E':
        this.#error(readServerMessage(payloadOf(frame), nowMs), operation)
        break
      case 'Z':
        this.#ready(payloadOf(frame).toString('latin1') as TransactionStatus, nowMs)
        break
    }
  }

  #answered(operation: Operation | null, kind: OperationKind): void {
    if (operation?.kind === kind) this.#operations.done()
  }

  #asynchronous(frame: Frame, nowMs: number): void {
    if (frame.type === 'S') {
      const { name, value } = readParameterStatus(payloadOf(frame))
      if (name === 'application_name') this.#session.record.applicationName = value
    } else if (frame.type === 'N') {
      const notice = this.#takeNotice()
      if (notice === null) return
      notice.atMs = nowMs
      this.#session.notice(notice, this.#session.underWay[0] ?? null)
    }
  }

  #copyIn(operation: Operation): void {
    const { ignored, isOver } = this.#operations.copyIn()
    this.#isCopyingIn = !isOver
    // Each Sync that the server passes over is a boundary that there is not.
    for (const { kind } of ignored) if (kind === 'sync') this.#merge(operation.exchange)
    // After a simple Query the exchange ends with the data; a batch still needs a Sync behind them.
    if (operation.kind === 'query' && this.#current === operation.exchange) this.#current = null
  }

  /** The exchange did not end where it seemed to: what came after belongs to it. */
  #merge(exchange: Exchange): void {
    const { underWay, record } = this.#session
    const next = underWay[underWay.indexOf(exchange) + 1]
    if (next) {
      exchange.commands.push(...next.commands)
      this.#operations.move(next, exchange)
      for (const list of [underWay, record.exchanges]) if (list.includes(next)) list.splice(list.indexOf(next), 1)
    }
    if (next === undefined || this.#current === next) this.#current = exchange
  }

  #error(error: ServerMessage, operation: Operation | null): void {
    this.#isCopyingIn = false
    if (isFatal(error)) this.#session.trouble(`the server ended the session (${error.sqlstate})`)
    if (operation === null) {
      const [exchange] = this.#session.underWay
      if (exchange) exchange.error ??= error
      return
    }
    const isBatch = operation.kind !== 'query' && operation.kind !== 'function' && operation.kind !== 'sync'
    const skipped = isBatch ? this.#operations.skip() : [operation]
    // What fails in Parse, Bind or Describe is the command that was to be executed with it, if it was sent already.
    const command = skipped.find((each) => each.command !== null)?.command ?? null
    if (command) command.error = error
    if (command === null || isFatal(error)) operation.exchange.error ??= error
    // A Query in the same batch is passed over like the rest, so that its exchange goes on until the next Sync.
    if (isBatch)
      for (const { kind, exchange } of skipped) if (kind === 'query' || kind === 'function') this.#merge(exchange)
  }

  #ready(status: TransactionStatus, nowMs: number): void {
    this.#isCopyingIn = false
    const exchange = this.#operations.ready()
    if (exchange && this.#compound === null) this.#session.finish(exchange, status, nowMs)
  }

  /** From here to `seal` every Query is a piece of `whole`, and ReadyForQuery does not end the exchange. */
  takeApart(whole: string, sentMs: number): Exchange {
    const exchange = this.#session.open(sentMs)
    this.#compound = { exchange, whole }
    return exchange
  }

  seal(status: TransactionStatus, readyMs: number): void {
    const compound = this.#compound
    this.#compound = null
    this.#current = null
    if (compound) this.#session.finish(compound.exchange, status, readyMs)
  }
}
