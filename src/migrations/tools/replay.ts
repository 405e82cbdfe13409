/**
 * A session in a tool's place: the very messages that its driver would send, built by hand, since a driver of ours would
 * batch and describe them in its own way. What the server answers stays here; only SQLSTATE and counts are told.
 */
import { RehearsalError } from '../../errors.js'
import type { Address } from '../../pg/connect.js'
import { build, openRaw, payloadOf, type Frame, type RawConnection } from '../../wire/client.js'
import { readServerMessage } from '../../wire/messages.js'

/** What came back for one Query, or for all up to one Sync. */
export interface Answer {
  /** Rows of all statements, values as text. */
  rows: (string | null)[][]
  /** Statements completed before the error, if any. */
  completed: number
  /** null without an error. The message may hold data: it may go back to the server, never into an output. */
  error: { sqlstate: string; message: string } | null
}

/** One statement of a pipeline. Parameters are sent in text form. */
export interface PipelineStatement {
  sql: string
  parameters?: readonly (string | null)[]
  /** Oids of the parameters' types. */
  types?: readonly number[]
}

export interface ReplaySession {
  /** One simple Query with the whole string. */
  query(sql: string): Promise<Answer>
  /**
   * A statement with a name of its own, as drivers do that prepare first: two round trips, each with a Sync, and a third
   * to close it unless the driver keeps it.
   */
  prepared(sql: string, parameters?: readonly (string | null)[], keep?: 'keep'): Promise<Answer>
  /** Parse, Bind, Describe, Execute of each statement, all unnamed, and one Sync at the end. */
  pipeline(statements: readonly PipelineStatement[]): Promise<Answer>
  /** Gives up whatever is under way: the socket is closed without goodbye, as when the program is gone. */
  destroy(): void
  end(): Promise<void>
}

/**
 * Opens a session. Aborting the signal destroys it and makes what is under way reject. Rejects as `openRaw` does.
 */
export async function openReplay(
  address: Address,
  signal: AbortSignal,
  startup: Readonly<Record<string, string>> = {},
): Promise<ReplaySession> {
  signal.throwIfAborted()
  const connection = await openRaw(address, { client_encoding: 'UTF8', ...startup })
  const destroy = (): void => void connection.socket.destroy()
  signal.addEventListener('abort', destroy, { once: true })
  if (signal.aborted) destroy()
  let prepared = 0
  return {
    query: (sql) => exchange(connection, build.query(sql)),
    async prepared(sql, parameters = [], keep) {
      const name = `s${prepared++}`
      const parse = Buffer.concat([build.parse(sql, name), build.describe('S', name), build.sync()])
      const parsed = await exchange(connection, parse)
      if (parsed.error) return parsed
      const run = Buffer.concat([build.bind(parameters, name), build.execute(), build.sync()])
      const answer = await exchange(connection, run)
      if (keep === undefined) await exchange(connection, Buffer.concat([build.close('S', name), build.sync()]))
      return answer
    },
    pipeline(statements) {
      const frames = statements.flatMap(({ sql, parameters = [], types = [] }) => [
        build.parse(sql, '', types),
        build.bind(parameters),
        build.describe('P'),
        build.execute(),
      ])
      return exchange(connection, Buffer.concat([...frames, build.sync()]))
    },
    destroy,
    async end() {
      signal.removeEventListener('abort', destroy)
      await connection.end()
    },
  }
}

async function exchange(connection: RawConnection, bytes: Buffer): Promise<Answer> {
  const answer: Answer = { rows: [], completed: 0, error: null }
  connection.send(bytes)
  for (;;) {
    const frame = await connection.next()
    if (frame === null) throw new RehearsalError('CONNECTION_LOST', { message: 'the server closed the connection' })
    if (frame.type === 'Z') return answer
    read(frame, answer)
    // Neither tool has data to send: without this the server would wait for ever.
    if (frame.type === 'G' || frame.type === 'W') connection.send(build.copyFail('no data'))
  }
}

function read(frame: Frame, answer: Answer): void {
  if (frame.type === 'C' || frame.type === 'I') answer.completed++
  else if (frame.type === 'D') answer.rows.push(valuesOf(payloadOf(frame)))
  else if (frame.type === 'E') {
    const { sqlstate, message } = readServerMessage(payloadOf(frame), 0)
    answer.error ??= { sqlstate, message }
  }
}

/** A DataRow: a count, then for each value its length (-1 for NULL) and its bytes. */
function valuesOf(payload: Buffer): (string | null)[] {
  const values: (string | null)[] = []
  let at = 2
  for (let left = payload.readInt16BE(0); left > 0; left--) {
    const length = payload.readInt32BE(at)
    at += 4
    values.push(length < 0 ? null : payload.toString('utf8', at, at + length))
    if (length > 0) at += length
  }
  return values
}
