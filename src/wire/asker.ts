/** Questions of the harness's own in a session that belongs to somebody else, between two of its exchanges. */
import { build, payloadOf, type Frame } from './frames.js'
import { readDataRow, readRowDescription, readServerMessage, ServerError } from './messages.js'
import type { Asker, TransactionStatus } from './types.js'

/** The way to the server: sends a batch and returns what is answered up to ReadyForQuery, which the client never sees. */
export interface Line {
  readonly pid: number
  readonly status: TransactionStatus
  /** Whether nothing of the client's is under way. */
  readonly isFree: boolean
  send(batch: Buffer): Promise<Frame[]>
}

/** int2, int4, oid, float4, float8. */
const NUMBERS = new Set([21, 23, 26, 700, 701])
const BOOLEAN = 16

const PREFIX = 'rehearse_'

export class LineAsker implements Asker {
  readonly #line: Line
  #asked = 0
  /** Questions are put one after the other, whoever asks. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(line: Line) {
    this.#line = line
  }

  get pid(): number {
    return this.#line.pid
  }

  ask<Row extends object>(sql: string): Promise<Row[]> {
    const answer = this.#last.then(() => this.#ask(sql)) as Promise<Row[]>
    this.#last = answer.catch(() => undefined)
    return answer
  }

  /** Resolves when every question that was put is answered. */
  settled(): Promise<unknown> {
    return this.#last
  }

  async #ask(sql: string): Promise<object[]> {
    const { status, isFree } = this.#line
    if (!isFree) throw new Error('a session can be asked only between two exchanges')
    if (status === 'E') throw aborted()
    const name = `${PREFIX}${++this.#asked}`
    // A question that fails must not take the client's transaction with it.
    const before = status === 'T' ? [once(`savepoint ${name}`, `${name}s`)] : []
    const after = status === 'T' ? [once(`release savepoint ${name}`, `${name}r`)] : []
    const frames = await this.#line.send(Buffer.concat([...before, once(sql, name, true), ...after, build.sync()]))
    const error = frames.find((frame) => frame.type === 'E')
    if (error === undefined) return rowsOf(frames)
    const undo = [build.close('P', name), build.close('S', name)]
    if (this.#line.status === 'E')
      undo.push(once(`rollback to savepoint ${name}`, `${name}u`), once(`release savepoint ${name}`, `${name}v`))
    await this.#line.send(Buffer.concat([...undo, build.sync()]))
    throw new ServerError(readServerMessage(payloadOf(error), 0))
  }
}

/** One statement under a name that nobody else uses, which is forgotten afterwards. */
const once = (sql: string, name: string, describe = false): Buffer =>
  Buffer.concat([
    build.parse(sql, name),
    build.bind([], name, name),
    ...(describe ? [build.describe('P', name)] : []),
    build.execute(name),
    build.close('P', name),
    build.close('S', name),
  ])

const aborted = (): ServerError => {
  const message = 'the transaction has failed: the session cannot be asked'
  const fields = new Map([
    ['C', '25P02'],
    ['V', 'ERROR'],
    ['M', message],
  ])
  return new ServerError({ atMs: 0, severity: 'ERROR', sqlstate: '25P02', message, fields, heldBack: true })
}

function rowsOf(frames: readonly Frame[]): object[] {
  const description = frames.find((frame) => frame.type === 'T')
  const columns = description ? readRowDescription(payloadOf(description)) : []
  return frames
    .filter((frame) => frame.type === 'D')
    .map((frame) => {
      const values = readDataRow(payloadOf(frame))
      return Object.fromEntries(columns.map(({ name, type }, i) => [name, decode(type, values[i] ?? null)]))
    })
}

function decode(type: number, value: string | null): string | number | boolean | null {
  if (value === null) return null
  if (NUMBERS.has(type)) return Number(value)
  return type === BOOLEAN ? value === 't' : value
}
