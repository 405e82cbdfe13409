/**
 * What is known of the conversation between a client and the server. SQL texts and messages in here are as they were
 * sent and may hold data: they stay in memory, and only what was normalised or found in a migration file is recorded.
 */
import type { TransactionStatus } from './tap.js'

export type { TransactionStatus }

/** Fields of an ErrorResponse or NoticeResponse by their names in libpq's terms; see "Error and Notice Message Fields". */
export interface ServerMessage {
  /** When its last byte was read by the proxy. */
  atMs: number
  /** Never localised (field V): `ERROR`, `NOTICE`, `DEBUG1`, `LOG`... */
  severity: string
  sqlstate: string
  message: string
  /** All fields by their one-letter code, `V`, `C` and `M` included. Values may hold data. */
  fields: ReadonlyMap<string, string>
  /** Kept from the client because it only came of settings of ours. */
  heldBack: boolean
}

/** One command: a simple Query (its whole string, which may hold several statements) or one Execute of a portal. */
export interface WireCommand {
  protocol: 'simple' | 'extended' | 'function'
  /** The string of the Query, or of the Parse that the executed portal was bound from. */
  sql: string
  /** When its first byte was handed to the kernel on its way to the server. */
  sentMs: number
  /** When the first byte of the answer to it was read; of pipelined commands all answers may come at once. */
  firstByteMs: number | null
  /** CommandComplete (its tag), EmptyQueryResponse (`''`) and PortalSuspended (`suspended`), in order. */
  completed: { tag: string; atMs: number }[]
  error: ServerMessage | null
  /** Parameters of the Bind in text form, null for NULL or binary ones; only where `keepParameters` asked for them. */
  parameters: readonly (string | null)[] | null
  /** Bytes of CopyData. */
  copiedInBytes: number
  copiedOutBytes: number
  /** Set when the harness sent it instead of a whole string that it had taken apart (quiet pass only). */
  pieceOf: string | null
}

/** From the first message after ReadyForQuery to the next ReadyForQuery. */
export interface Exchange {
  session: WireSession
  /** Counts over all sessions of a proxy in the order of sending, from 0. */
  ordinal: number
  sentMs: number
  firstByteMs: number | null
  /** null when the connection ended before. */
  readyMs: number | null
  /** Transaction status before and after; the latter null when the connection ended before. */
  before: TransactionStatus
  after: TransactionStatus | null
  /** The latest text that it names: of a Query, a Parse, or the statement that is bound or executed. null when none. */
  sql: string | null
  commands: WireCommand[]
  /** Everything that the server announced meanwhile, in order of arrival, held back or not. */
  notices: ServerMessage[]
  /** A failure that belongs to no command, e.g. of a Parse that was never executed, or FATAL. */
  error: ServerMessage | null
}

export interface WireSession {
  /** From 1, in order of connecting. */
  readonly ordinal: number
  /** Backend pid, from BackendKeyData. */
  readonly pid: number
  /** As given at the start or by a later ParameterStatus; empty when none. */
  applicationName: string
  readonly startedMs: number
  endedMs: number | null
  /** Why it ended other than by Terminate: `malformed message: ...`, `the server closed the connection`... No data. */
  trouble: string | null
  readonly exchanges: Exchange[]
  /** Notices outside any exchange. */
  readonly notices: ServerMessage[]
}

/** A connection that never became a session, and why, without any secret: `password does not match`, `malformed startup`... */
export interface Refusal {
  atMs: number
  reason: string
}

/** Asks one question in a session of the client's, between two of its exchanges; the client sees nothing of it. */
export interface Asker {
  readonly pid: number
  /**
   * Sends one statement by the extended protocol with names of its own, so that the client's unnamed statement and
   * portal live on. int2, int4, oid, float4, float8 come as numbers, bool as boolean, everything else as text.
   * Rejects with the server's error (an object with `code`, `severity`, `message` and the name fields).
   */
  ask<Row extends object>(sql: string): Promise<Row[]>
}

/** What the interposer sees of an exchange that waits to be sent. */
export interface Pending {
  session: WireSession
  asker: Asker
  /** Text of its first Query or Parse, or of the prepared statement that it binds first; null when unknown. */
  sql: string | null
  protocol: 'simple' | 'extended' | 'function'
  /** Of a pipeline that came as a whole, the text of each of its commands (two or more); else null. */
  batch: readonly string[] | null
  status: TransactionStatus
}

/**
 * Quiet pass only. While one is set, each session's exchanges are sent one after the other (what a client pipelines is
 * held until the one before is answered), and the session can be asked in between.
 */
export interface Interposer {
  /**
   * Before the first byte goes out. Returns null to send it as it is, or the statements that are sent one by one
   * instead: in BEGIN ... COMMIT of our own when no transaction is open. The commands of a pipeline (`batch`) are sent
   * as they are, each with a Sync of its own. The client receives the
   * answers as if it had been one message; after an error nothing more is sent and what was begun is rolled back.
   */
  before(pending: Pending): Promise<readonly string[] | null>
  /** Between the statements of a message taken apart: before piece `index` (from 0) is sent. */
  beforePiece?(pending: Pending, index: number): Promise<void>
  /** After piece `index` was answered; `failed`: its transaction can no longer be asked. */
  afterPiece?(pending: Pending, index: number, failed: boolean): Promise<void>
  /** After ReadyForQuery has arrived and before the client gets it. */
  after(exchange: Exchange, asker: Asker): Promise<void>
}
