/**
 * What a client has asked for and the server has not answered yet, in order. The server answers in the order of asking,
 * passes over the rest of a batch after an error, and never answers a Sync that it read in the middle of a COPY.
 */
import type { Exchange, WireCommand } from './types.js'

export type OperationKind =
  | 'parse'
  | 'bind'
  | 'describe'
  | 'close'
  | 'execute'
  | 'query'
  | 'function'
  | 'sync'
  /** CopyDone or CopyFail: has no answer of its own. */
  | 'copyEnd'

export interface Operation {
  kind: OperationKind
  exchange: Exchange
  command: WireCommand | null
  /** Takes back what it would have changed among statements and portals. */
  undo: (() => void) | null
}

/** Whether ReadyForQuery follows it. */
const endsExchange = (kind: OperationKind): boolean => kind === 'query' || kind === 'function' || kind === 'sync'

export class Operations {
  readonly #waiting: Operation[] = []
  /** After an error, until the client sends Sync: nothing of what it sends is answered. */
  #isSkipping = false

  get isSkipping(): boolean {
    return this.#isSkipping
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** False when the server passes it over. */
  push(operation: Operation): boolean {
    if (this.#isSkipping && operation.kind !== 'sync') return false
    this.#isSkipping = false
    this.#waiting.push(operation)
    return true
  }

  /** What the server answers at the moment. */
  front(): Operation | null {
    while (this.#waiting[0]?.kind === 'copyEnd') this.#waiting.shift()
    return this.#waiting[0] ?? null
  }

  /** The front one was answered. */
  done(): void {
    this.#waiting.shift()
  }

  /** An error in an extended batch: everything up to the next Sync is passed over. Returns that, in order. */
  skip(): Operation[] {
    const sync = this.#waiting.findIndex(({ kind }) => kind === 'sync')
    this.#isSkipping = sync < 0
    const skipped = this.#waiting.splice(0, sync < 0 ? this.#waiting.length : sync)
    for (const { undo } of [...skipped].reverse()) undo?.()
    return skipped
  }

  /**
   * The server waits for COPY data: what was sent before the end of it is not answered. Returns those operations, and
   * whether the end was sent already.
   */
  copyIn(): { ignored: Operation[]; isOver: boolean } {
    const end = this.#waiting.findIndex(({ kind }) => kind === 'copyEnd')
    const ignored = this.#waiting.splice(1, end < 0 ? this.#waiting.length : end - 1)
    return { ignored, isOver: end >= 0 }
  }

  /** ReadyForQuery: the exchange that it ends, or null when nobody asked. */
  ready(): Exchange | null {
    const at = this.#waiting.findIndex(({ kind }) => endsExchange(kind))
    if (at < 0) return null
    const [last] = this.#waiting.splice(0, at + 1).slice(-1)
    return last?.exchange ?? null
  }

  /** Everything asked for in one exchange now belongs to another. */
  move(from: Exchange, to: Exchange): void {
    for (const operation of this.#waiting) if (operation.exchange === from) operation.exchange = to
  }
}
