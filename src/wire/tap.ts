/**
 * A passive ear on one connection: it reads the frame headers of what the server sends (PostgreSQL protocol 3.0,
 * "Message Formats") and remembers when things happened and the transaction status of ReadyForQuery. It changes no byte.
 * The driver's promises tell the same, but later and without the status.
 */
import net from 'node:net'
import type { Clock } from '../clock.js'

/** Transaction status in ReadyForQuery: idle, in a transaction, in a failed transaction. */
export type TransactionStatus = 'I' | 'T' | 'E'

export interface Exchange {
  /** First byte of the request handed to the kernel. */
  sentMs: number
  /** ReadyForQuery arrived. */
  readyMs: number
  status: TransactionStatus
  /** CommandComplete and EmptyQueryResponse messages before the end or the error. */
  completed: number
  failed: boolean
}

const READY = 0x5a // Z
const COMPLETE = 0x43 // C
const EMPTY = 0x49 // I
const ERROR = 0x45 // E

/** Splits a byte stream into frames of one type byte and an int32 length; only the payload's first byte is kept. */
export class FrameReader {
  #header = Buffer.alloc(6)
  #have = 0
  #skip = 0
  readonly #onFrame: (type: number, firstByte: number) => void

  constructor(onFrame: (type: number, firstByte: number) => void) {
    this.#onFrame = onFrame
  }

  push(chunk: Buffer): void {
    let offset = 0
    while (offset < chunk.length) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, chunk.length - offset)
        this.#skip -= step
        offset += step
        continue
      }
      this.#header[this.#have++] = chunk[offset++] ?? 0
      if (this.#have < 5) continue
      const length = this.#header.readUInt32BE(1)
      // A frame without payload is complete after its header; otherwise its first payload byte is waited for.
      if (length > 4 && this.#have < 6) continue
      const payloadRead = this.#have - 5
      this.#skip = Math.max(0, length - 4 - payloadRead)
      this.#have = 0
      this.#onFrame(this.#header[0] ?? 0, payloadRead > 0 ? (this.#header[5] ?? 0) : 0)
    }
  }
}

export class Tap {
  readonly #clock: Clock
  #current: { sentMs: number | null; completed: number; failed: boolean } | null = null
  #last: Exchange | null = null
  /** Status of the latest ReadyForQuery. */
  status: TransactionStatus = 'I'
  /** Called synchronously when the first byte of a request leaves. */
  onSend: (() => void) | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** When the request that is under way left; null while none is. */
  get inFlightSinceMs(): number | null {
    return this.#current?.sentMs ?? null
  }

  /** Call before handing a request to the driver; the next write starts the exchange. */
  expect(): void {
    this.#current = { sentMs: null, completed: 0, failed: false }
    this.#last = null
  }

  /** The exchange that `expect` announced, once its ReadyForQuery came; null when the connection broke before. */
  take(): Exchange | null {
    return this.#last
  }

  /** A connected socket for the driver's `socket` option. */
  async connect(host: string, port: number): Promise<net.Socket> {
    const socket = net.connect({ host, port, noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    socket.removeAllListeners('error')
    this.attach(socket)
    return socket
  }

  attach(socket: net.Socket): void {
    const reader = new FrameReader((type, first) => this.#frame(type, first))
    socket.on('data', (chunk: Buffer) => reader.push(chunk))
    const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
    socket.write = (...args: unknown[]) => {
      const current = this.#current
      if (current && current.sentMs === null) {
        current.sentMs = this.#clock.nowMs()
        const result = write(...args)
        this.onSend?.()
        return result
      }
      return write(...args)
    }
  }

  #frame(type: number, first: number): void {
    const current = this.#current
    if (type === READY) {
      this.status = String.fromCharCode(first) as TransactionStatus
      if (current && current.sentMs !== null) {
        this.#last = {
          sentMs: current.sentMs,
          readyMs: this.#clock.nowMs(),
          status: this.status,
          completed: current.completed,
          failed: current.failed,
        }
        this.#current = null
      }
    } else if (current && current.sentMs !== null) {
      if (type === ERROR) current.failed = true
      else if ((type === COMPLETE || type === EMPTY) && !current.failed) current.completed++
    }
  }
}
