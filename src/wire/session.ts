/** One session of the proxy while it lives: what is known of it, and who is told. */
import type { Clock } from '../clock.js'
import type { RawConnection } from './client.js'
import { readParameterStatus } from './messages.js'
import { payloadOf } from './frames.js'
import type { Exchange, ServerMessage, TransactionStatus, WireSession } from './types.js'

/** Who is told what, synchronously. A listener that throws does not disturb the session. */
export interface Listeners {
  onSession?: (session: WireSession) => void
  /** The first byte of an exchange has just been handed to the kernel. */
  onSend?: (session: WireSession) => void
  onNotice?: (session: WireSession, notice: ServerMessage) => void
  /** ReadyForQuery has arrived. */
  onExchange?: (exchange: Exchange) => void
  onEnd?: (session: WireSession) => void
}

/** What all sessions of a proxy share. */
export interface Context {
  clock: Clock
  listeners: Listeners
  holdBack: (notice: ServerMessage, session: WireSession) => boolean
  keepParameters: ((sql: string) => boolean) | null
  /** Exchanges and notices are told to the listeners and not kept. */
  forgets: boolean
  nextOrdinal: () => number
}

/** The record of one session, and what is going on in it. */
export class LiveSession {
  readonly record: WireSession
  readonly context: Context
  /** Of the latest ReadyForQuery. */
  status: TransactionStatus
  /** Exchanges that are not answered yet, in order. */
  readonly underWay: Exchange[] = []
  hasSaidGoodbye = false

  constructor(context: Context, ordinal: number, raw: RawConnection) {
    this.context = context
    this.status = raw.status
    const applicationName = raw.greeting
      .filter((frame) => frame.type === 'S')
      .map((frame) => readParameterStatus(payloadOf(frame)))
      .find(({ name }) => name === 'application_name')
    this.record = {
      ordinal,
      pid: raw.pid,
      applicationName: applicationName?.value ?? '',
      startedMs: context.clock.nowMs(),
      endedMs: null,
      trouble: null,
      exchanges: [],
      notices: [],
    }
  }

  /** The first trouble is the cause of the others. */
  trouble(reason: string): void {
    this.record.trouble ??= reason
  }

  /** Runs somebody else's code; what it throws becomes trouble and null. */
  guard<Value>(what: string, code: () => Value): Value | null {
    try {
      return code()
    } catch (error) {
      this.trouble(`${what} failed: ${nameOf(error)}`)
      return null
    }
  }

  tell(listener: (listeners: Listeners) => void): void {
    this.guard('a listener', () => listener(this.context.listeners))
  }

  isOurs(notice: ServerMessage): boolean {
    return this.guard('holdBack', () => this.context.holdBack(notice, this.record)) ?? false
  }

  open(sentMs: number): Exchange {
    const exchange: Exchange = {
      session: this.record,
      ordinal: this.context.nextOrdinal(),
      sentMs,
      firstByteMs: null,
      readyMs: null,
      before: this.status,
      after: null,
      sql: null,
      commands: [],
      notices: [],
      error: null,
    }
    this.underWay.push(exchange)
    if (!this.context.forgets) this.record.exchanges.push(exchange)
    this.tell((listeners) => listeners.onSend?.(this.record))
    return exchange
  }

  /** Ends the exchange, and those before it that the server passed over. */
  finish(exchange: Exchange, status: TransactionStatus, readyMs: number): void {
    const index = this.underWay.indexOf(exchange)
    if (index < 0) return
    this.status = status
    const finished = this.underWay.splice(0, index + 1)
    for (const each of finished) {
      each.readyMs = readyMs
      each.after = status
    }
    const [next] = this.underWay
    if (next) next.before = status
    for (const each of finished) this.tell((listeners) => listeners.onExchange?.(each))
  }

  notice(notice: ServerMessage, exchange: Exchange | null): void {
    if (!this.context.forgets) (exchange ?? this.record).notices.push(notice)
    this.tell((listeners) => listeners.onNotice?.(this.record, notice))
  }

  end(): void {
    if (this.record.endedMs !== null) return
    this.record.endedMs = this.context.clock.nowMs()
    this.tell((listeners) => listeners.onEnd?.(this.record))
  }
}

/** What kind of error it is, without its message, which may hold data. */
export function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error'
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
