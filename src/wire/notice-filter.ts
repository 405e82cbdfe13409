/** Takes out of what the server sends the notices that the client would not have got without us, and nothing else. */
import { MalformedFrame, serverLimit } from './frames.js'
import { readServerMessage } from './messages.js'
import type { ServerMessage } from './types.js'

const HEADER_BYTES = 5
const NOTICE = 0x4e // N
/**
 * So much of a notice is read before it is decided about, and kept of its fields: severity, code and message come
 * first, and a parse tree in the DETAIL may be of any length.
 */
export const NOTICE_BYTES = 64 * 1024

type Mutable = ServerMessage & { heldBack: boolean }

export class NoticeFilter {
  readonly #holdBack: (notice: ServerMessage) => boolean
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerBytes = 0
  /** Bytes of the frame's payload still to come. */
  #toCome = 0
  #mode: 'pass' | 'collect' | 'drop' = 'pass'
  #collected: Buffer[] = []
  #collectedBytes = 0
  /** Notices that were decided about and not fetched yet, in order. */
  readonly #decided: Mutable[] = []

  constructor(holdBack: (notice: ServerMessage) => boolean) {
    this.#holdBack = holdBack
  }

  /** The next notice in the order of the stream, once its end was pushed; its `atMs` is when it was decided about. */
  take(): Mutable | null {
    return this.#decided.shift() ?? null
  }

  /** What of the chunk, and of what was waiting, is to be sent on, in order. Throws MalformedFrame. */
  push(chunk: Buffer, nowMs: number): Buffer[] {
    const out: Buffer[] = []
    // Everything from `from` to `at` is passed on.
    let from = 0
    let at = 0
    const passUpTo = (end: number): void => {
      if (end > from) out.push(from === 0 && end === chunk.length ? chunk : chunk.subarray(from, end))
    }
    while (at < chunk.length || this.#isDue()) {
      if (this.#isDue()) {
        passUpTo(at)
        from = at
        out.push(...this.#decide(nowMs))
      } else if (this.#toCome > 0) {
        const step = Math.min(this.#toCome, chunk.length - at, this.#mode === 'collect' ? this.#wanted() : Infinity)
        if (this.#mode === 'collect') this.#collect(chunk.subarray(at, at + step))
        this.#toCome -= step
        at += step
        if (this.#mode !== 'pass') from = at
      } else if (this.#headerBytes === 0 && chunk.length - at >= HEADER_BYTES && chunk[at] !== NOTICE) {
        this.#toCome = this.#sizeIn(chunk, at)
        this.#mode = 'pass'
        at += HEADER_BYTES
      } else {
        if (this.#headerBytes === 0) {
          passUpTo(at)
          from = at
        }
        this.#header[this.#headerBytes++] = chunk[at++] ?? 0
        const isNotice = this.#header[0] === NOTICE
        if (isNotice) from = at
        if (this.#headerBytes < HEADER_BYTES) continue
        this.#headerBytes = 0
        this.#toCome = this.#sizeIn(this.#header, 0)
        this.#mode = isNotice ? 'collect' : 'pass'
        if (isNotice) this.#collect(this.#header)
      }
    }
    passUpTo(at)
    return out
  }

  #wanted(): number {
    return NOTICE_BYTES + HEADER_BYTES - this.#collectedBytes
  }

  #collect(bytes: Buffer): void {
    this.#collected.push(Buffer.from(bytes))
    this.#collectedBytes += bytes.length
  }

  #isDue(): boolean {
    return this.#mode === 'collect' && (this.#toCome === 0 || this.#wanted() === 0)
  }

  #decide(nowMs: number): Buffer[] {
    const bytes = this.#collected
    const notice = readServerMessage(Buffer.concat(bytes).subarray(HEADER_BYTES), nowMs)
    notice.heldBack = this.#holdBack(notice)
    this.#decided.push(notice)
    this.#collected = []
    this.#collectedBytes = 0
    this.#mode = notice.heldBack ? 'drop' : 'pass'
    return notice.heldBack ? [] : bytes
  }

  #sizeIn(source: Buffer, at: number): number {
    const limit = serverLimit(String.fromCharCode(source[at] ?? 0))
    const length = source.readInt32BE(at + 1)
    if (limit === null) throw new MalformedFrame(`unknown type 0x${(source[at] ?? 0).toString(16).padStart(2, '0')}`)
    if (length < 4 || length - 4 > limit) throw new MalformedFrame(`length ${length}`)
    return length - 4
  }
}
