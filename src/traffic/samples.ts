/**
 * One row of numbers per arrival, in typed columns that grow by chunks: exact percentiles of any window can be computed
 * afterwards, at 24 bytes an arrival. Nothing of a statement, a parameter or a row is in here.
 */
import type { PgError, Release } from '../recording.js'

/** Values of the outcome column below `FIRST_ERROR`; from there on it is `FIRST_ERROR` + index into `errors`. */
export const OK = 0
export const DROPPED = 1
export const PENDING = 2
export const FIRST_ERROR = 3

/** Arrivals per chunk. */
const CHUNK = 65_536
/** Beyond so many different errors their names are left out, so that the list cannot grow with the data. */
const MAX_ERRORS = 1_000

interface Columns {
  intendedMs: Float64Array
  /** Dispatch attempt minus intended start: how late the generator was. */
  lagMs: Float32Array
  /** Start on a connection minus intended start. */
  waitMs: Float32Array
  /** End minus intended start. */
  latencyMs: Float32Array
  operation: Uint16Array
  outcome: Uint16Array
}

const columns = (length: number): Columns => ({
  intendedMs: new Float64Array(length),
  lagMs: new Float32Array(length),
  waitMs: new Float32Array(length),
  latencyMs: new Float32Array(length),
  operation: new Uint16Array(length),
  outcome: new Uint16Array(length),
})

/** What the numbers of the operation column stand for. */
export interface OperationKey {
  release: Release
  name: string
  /** False for a program's own operations: they start when the program likes, so they cannot be late. True unless given. */
  scheduled?: boolean
}

/** The finished columns, all of one length, in the order of arrival at the generator. */
export interface TrafficSamples extends Columns {
  length: number
  operations: readonly OperationKey[]
  errors: readonly PgError[]
  /** Errors that the driver retried silently: the arrival's position and the error's index in `errors`. */
  hidden: readonly { sample: number; error: number }[]
  /** Positions of the arrivals that the application tried again, each once. */
  retried: readonly number[]
}

const MAX_OPERATIONS = 65_535

export class SampleRecorder {
  readonly #operations: OperationKey[] = []
  readonly #operationIndex = new Map<string, number>()
  #chunks: Columns[] = []
  #length = 0
  readonly #errors: PgError[] = []
  readonly #errorIndex = new Map<string, number>()
  readonly #hidden: { sample: number; error: number }[] = []
  readonly #retried = new Set<number>()

  constructor(operations: readonly OperationKey[] = []) {
    for (const key of operations) this.operation(key)
  }

  get operations(): readonly OperationKey[] {
    return this.#operations
  }

  /** The number of an operation; a new one gets the next. Throws a RangeError beyond the 65,535th. */
  operation(key: OperationKey): number {
    const name = `${key.release} ${key.name}`
    const known = this.#operationIndex.get(name)
    if (known !== undefined) return known
    if (this.#operations.length >= MAX_OPERATIONS)
      throw new RangeError('more operations than a 16-bit column can tell apart')
    this.#operations.push(key)
    this.#operationIndex.set(name, this.#operations.length - 1)
    return this.#operations.length - 1
  }

  get length(): number {
    return this.#length
  }

  /** Registers an arrival and returns its position; it must be settled or dropped before `finish`. */
  arrive(intendedMs: number, operation: number, dispatchMs: number): number {
    const sample = this.#length++
    if (sample % CHUNK === 0) this.#chunks.push(columns(CHUNK))
    const { chunk, at } = this.#cell(sample)
    chunk.intendedMs[at] = intendedMs
    chunk.lagMs[at] = dispatchMs - intendedMs
    chunk.operation[at] = operation
    chunk.outcome[at] = PENDING
    return sample
  }

  /** `error` null: completed. */
  settle(sample: number, at: { startMs: number; endMs: number; error: PgError | null }): void {
    const { chunk, at: row } = this.#pending(sample)
    const intendedMs = chunk.intendedMs[row] ?? 0
    chunk.waitMs[row] = at.startMs - intendedMs
    chunk.latencyMs[row] = at.endMs - intendedMs
    chunk.outcome[row] = at.error === null ? OK : FIRST_ERROR + this.#error(at.error)
  }

  drop(sample: number): void {
    const { chunk, at } = this.#pending(sample)
    chunk.outcome[at] = DROPPED
  }

  /** An error of this arrival that the driver retried, so that the operation did not see it. */
  hide(sample: number, error: PgError): void {
    this.#hidden.push({ sample, error: this.#error(error) })
  }

  /** The application tries this arrival again; its outcome is that of the last try. */
  retry(sample: number): void {
    this.#pending(sample)
    this.#retried.add(sample)
  }

  /** Joins the chunks. Every arrival must have an outcome. */
  finish(): TrafficSamples {
    const all = columns(this.#length)
    for (const [i, chunk] of this.#chunks.entries()) {
      const length = Math.min(CHUNK, this.#length - i * CHUNK)
      for (const name of Object.keys(all) as (keyof Columns)[])
        all[name].set(chunk[name].subarray(0, length), i * CHUNK)
    }
    const pending = all.outcome.indexOf(PENDING)
    if (pending >= 0) throw new Error(`arrival ${pending} has no outcome`)
    return {
      ...all,
      length: this.#length,
      operations: this.#operations,
      errors: this.#errors,
      hidden: this.#hidden,
      retried: [...this.#retried],
    }
  }

  #cell(sample: number): { chunk: Columns; at: number } {
    const chunk = this.#chunks[Math.floor(sample / CHUNK)]
    if (!chunk || sample < 0 || sample >= this.#length) throw new RangeError(`no arrival ${sample}`)
    return { chunk, at: sample % CHUNK }
  }

  #pending(sample: number): { chunk: Columns; at: number } {
    const cell = this.#cell(sample)
    if (cell.chunk.outcome[cell.at] !== PENDING) throw new Error(`arrival ${sample} has its outcome already`)
    return cell
  }

  #error(error: PgError): number {
    const full = this.#errors.length >= MAX_ERRORS
    const kept = full ? { ...error, message: error.condition.replaceAll('_', ' '), objects: [] } : error
    const key = JSON.stringify([kept.sqlstate, kept.condition, kept.message, kept.objects])
    const known = this.#errorIndex.get(key)
    if (known !== undefined) return known
    this.#errors.push(kept)
    this.#errorIndex.set(key, this.#errors.length - 1)
    return this.#errors.length - 1
  }
}
