/** The statements of one program as operations: found while it runs, named once, and never more than a table can show. */
import type { OperationInfo, Release } from '../recording.js'
import type { SampleRecorder } from '../traffic/samples.js'
import { describeStatement, digest } from './statements.js'

/** What does not fit any more is counted together. */
export const OTHER = 'other statements'
const MOST_OPERATIONS = 500
/** As operations that are declared. */
const LONGEST_NAME = 63
/** Texts whose description is remembered: a program that writes values into its texts has new ones for ever. */
const REMEMBERED = 2_000
const REMEMBERED_LENGTH = 20_000

export interface ProgramOperation {
  readonly name: string
  /** Whether it counts when it succeeds; what fails always does. */
  readonly counts: boolean
}

interface Known extends ProgramOperation {
  key: string
  sql: string
  seen: number
  extended: boolean
}

export class Operations {
  readonly #release: Release
  readonly #command: string
  readonly #samples: SampleRecorder
  /** By the text as it was sent. In memory only. */
  readonly #texts = new Map<string, Known>()
  readonly #byName = new Map<string, Known>()
  readonly #used = new Set<Known>()

  constructor(release: Release, command: string, samples: SampleRecorder) {
    this.#release = release
    this.#command = command
    this.#samples = samples
  }

  /** What a text is called. */
  of(text: string): ProgramOperation {
    return this.#known(text)
  }

  /** The number of its operation among the samples, which it gets now when it is its first time. */
  use(text: string, extended: boolean): { name: string; operation: number } {
    const known = this.#known(text)
    const used = this.#used.has(known) || this.#used.size < MOST_OPERATIONS ? known : this.#other()
    this.#used.add(used)
    used.seen++
    used.extended ||= extended
    return {
      name: used.name,
      operation: this.#samples.operation({ release: this.#release, name: used.name, scheduled: false }),
    }
  }

  /** For the recording; weights are how often each was seen. */
  list(): OperationInfo[] {
    return [...this.#used].map(({ name, sql, seen, extended }) => ({
      release: this.#release,
      name,
      weight: seen,
      prepared: extended,
      file: this.#command,
      line: 1,
      sql: sql === '' ? [] : [sql],
      source: 'program',
      ratePerSecond: null,
      table: null,
    }))
  }

  #other(): Known {
    const other = this.#byName.get(OTHER) ?? { name: OTHER, counts: true, key: '', sql: '', seen: 0, extended: false }
    this.#byName.set(OTHER, other)
    return other
  }

  #known(text: string): Known {
    const remembered = this.#texts.get(text)
    if (remembered) return remembered
    const known = this.#describe(text)
    if (text.length <= REMEMBERED_LENGTH) this.#texts.set(text, known)
    if (this.#texts.size > REMEMBERED) {
      const [oldest] = this.#texts.keys()
      if (oldest !== undefined) this.#texts.delete(oldest)
    }
    return known
  }

  #describe(text: string): Known {
    const { base, key, sql, counts } = describeStatement(text)
    // Nothing tells one BEGIN from another.
    const plain = !counts || base === 'commit'
    for (const characters of plain ? [0, 8] : [4, 8, 40]) {
      const suffix = characters === 0 ? '' : `_${digest(key, characters)}`
      const name = base.slice(0, LONGEST_NAME - suffix.length) + suffix
      const known = this.#byName.get(name)
      if (known && (plain || known.key === key)) return known
      if (known) continue
      // Names of statements that never count again must not fill the memory either.
      if (this.#byName.size >= MOST_OPERATIONS * 4) return this.#other()
      const made: Known = { name, counts, key, sql, seen: 0, extended: false }
      this.#byName.set(name, made)
      return made
    }
    return this.#other()
  }
}
