/**
 * The frames of the protocol, version 3: one type byte, an int32 length that counts itself, the payload. Reading them
 * from a stream in pieces of any size, and building those that a client sends. See "Message Formats" in the PostgreSQL
 * documentation.
 */

const HEADER_BYTES = 5

/** One message, or its beginning where no more of it was asked for. */
export interface Frame {
  /** Its type byte as a character: `Q`, `D`, `Z`... */
  type: string
  /** Header and payload, cut off where the reader was told to keep no more. */
  bytes: Buffer
  /** Bytes of the whole payload. */
  size: number
  /** When its first byte was read, in the caller's time. */
  startedMs: number
}

/** What comes after the header, as far as it was kept. */
export const payloadOf = (frame: Frame): Buffer => frame.bytes.subarray(HEADER_BYTES)

/** A frame that no PostgreSQL would send or accept. The message holds no data. */
export class MalformedFrame extends Error {
  constructor(reason: string) {
    super(`malformed message: ${reason}`)
    this.name = 'MalformedFrame'
  }
}

export interface FrameReaderOptions {
  /** How many bytes of a payload to keep. */
  keep: (type: string, size: number) => number
  /** The longest payload that is accepted; null for an unknown type. */
  limit: (type: string) => number | null
  onFrame: (frame: Frame, endedMs: number) => void
}

/** Cuts a byte stream into frames. Frames that lie in one chunk are views of it and not copies. */
export class FrameReader {
  readonly #options: FrameReaderOptions
  readonly #header = Buffer.alloc(HEADER_BYTES)
  #headerBytes = 0
  #type = ''
  #size = 0
  /** Bytes of the payload still to come, and of those how many to keep. */
  #toCome = 0
  #toKeep = 0
  #kept: Buffer[] = []
  #startedMs = 0

  constructor(options: FrameReaderOptions) {
    this.#options = options
  }

  /** Whether the stream stands inside a frame. */
  get isInside(): boolean {
    return this.#headerBytes > 0
  }

  /** What was kept of the frame that is not complete yet. */
  get partial(): Buffer {
    if (this.#headerBytes < HEADER_BYTES) return Buffer.from(this.#header.subarray(0, this.#headerBytes))
    return Buffer.concat(this.#kept)
  }

  /** Throws MalformedFrame; nothing more can be read then. */
  push(chunk: Buffer, nowMs: number): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#headerBytes === 0) {
        this.#startedMs = nowMs
        // The usual case, without a copy: the frame lies in this chunk as a whole.
        if (chunk.length - at >= HEADER_BYTES) {
          this.#begin(chunk, at)
          const end = at + HEADER_BYTES + this.#size
          if (end <= chunk.length) {
            const bytes = chunk.subarray(at, at + HEADER_BYTES + this.#toKeep)
            at = end
            this.#emit(bytes, nowMs)
            continue
          }
        }
      }
      if (this.#headerBytes < HEADER_BYTES) {
        this.#header[this.#headerBytes++] = chunk[at++] ?? 0
        if (this.#headerBytes < HEADER_BYTES) continue
        this.#begin(this.#header, 0)
        this.#kept = [Buffer.from(this.#header)]
      } else {
        const step = Math.min(this.#toCome, chunk.length - at)
        const keep = Math.min(step, this.#toKeep)
        // A copy: a view would hold on to the whole chunk for as long as the frame is incomplete.
        if (keep > 0) this.#kept.push(Buffer.from(chunk.subarray(at, at + keep)))
        this.#toKeep -= keep
        this.#toCome -= step
        at += step
      }
      if (this.#toCome === 0) {
        this.#headerBytes = 0
        const bytes = this.#kept.length === 1 ? (this.#kept[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#kept)
        this.#kept = []
        this.#emit(bytes, nowMs)
      }
    }
  }

  #begin(source: Buffer, at: number): void {
    const type = String.fromCharCode(source[at] ?? 0)
    const length = source.readInt32BE(at + 1)
    const limit = this.#options.limit(type)
    if (limit === null) throw new MalformedFrame(`unknown type 0x${(source[at] ?? 0).toString(16).padStart(2, '0')}`)
    if (length < 4 || length - 4 > limit) throw new MalformedFrame(`length ${length}`)
    this.#type = type
    this.#size = length - 4
    this.#toCome = this.#size
    this.#toKeep = Math.min(this.#size, this.#options.keep(type, this.#size))
  }

  #emit(bytes: Buffer, endedMs: number): void {
    this.#options.onFrame({ type: this.#type, bytes, size: this.#size, startedMs: this.#startedMs }, endedMs)
  }
}

/** The server accepts 1 GB less one byte for what carries texts or values, 10,000 bytes for the rest (pqcomm, postgres.c). */
const LARGE = 2 ** 30 - 2
const SMALL = 10_000

const limits = (types: string, bytes: number): Record<string, number> =>
  Object.fromEntries(Array.from(types, (type) => [type, bytes]))

const CLIENT_TYPES: Readonly<Record<string, number>> = {
  ...limits('QPBFd', LARGE),
  ...limits('ECDHSXcf', SMALL),
  // Passwords and steps of an authentication.
  p: 65_535,
}
/** The longest payload that a server takes from a client, by type; null for a type that it does not know. */
export const clientLimit = (type: string): number | null => CLIENT_TYPES[type] ?? null

/** What libpq takes for a sign of lost synchronisation in a message that carries no texts or values. */
const SERVER_SMALL = 30_000
const SERVER_TYPES: Readonly<Record<string, number>> = {
  // As long as an int32 can say.
  ...limits('TDdVENAtS', 2 ** 31 - 5),
  ...limits('RKZCIn123svWGHc', SERVER_SMALL),
}
/** The longest payload that is taken from a server, by type; null for an unknown type. */
export const serverLimit = (type: string): number | null => SERVER_TYPES[type] ?? null

const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}
/** Also of an unsigned value: an OID or a process id above 2^31. */
export const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value | 0)
  return bytes
}
/** A text with the zero byte that ends it. */
export const text = (value: string): Buffer => Buffer.from(`${value}\0`)

/** A frame of any type. */
export function frame(type: string, ...parts: Buffer[]): Buffer {
  const size = parts.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(size + 4), ...parts], size + HEADER_BYTES)
}

/** A message without a type: the first one of a connection. */
const untyped = (code: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat([int32(code), ...parts])
  return Buffer.concat([int32(body.length + 4), body])
}

export const PROTOCOL_3_0 = 196_608
export const SSL_REQUEST = 80_877_103
export const GSSENC_REQUEST = 80_877_104
export const CANCEL_REQUEST = 80_877_102

/** What a client sends. Names of statements and portals are '' for the unnamed ones. */
export const build = {
  startup: (parameters: Readonly<Record<string, string>>): Buffer =>
    untyped(
      PROTOCOL_3_0,
      ...Object.entries(parameters).flatMap(([name, value]) => [text(name), text(value)]),
      text(''),
    ),
  sslRequest: (): Buffer => untyped(SSL_REQUEST),
  cancelRequest: (pid: number, key: Buffer): Buffer => untyped(CANCEL_REQUEST, int32(pid), key),
  password: (value: Buffer): Buffer => frame('p', value),
  query: (sql: string): Buffer => frame('Q', text(sql)),
  parse: (sql: string, name = '', types: readonly number[] = []): Buffer =>
    frame('P', text(name), text(sql), int16(types.length), ...types.map(int32)),
  /** Parameters in text form, null for NULL; results come as text. */
  bind: (values: readonly (string | null)[] = [], statement = '', portal = ''): Buffer =>
    frame(
      'B',
      text(portal),
      text(statement),
      int16(0),
      int16(values.length),
      ...values.flatMap((value) => {
        if (value === null) return [int32(-1)]
        const bytes = Buffer.from(value)
        return [int32(bytes.length), bytes]
      }),
      int16(0),
    ),
  describe: (kind: 'S' | 'P', name = ''): Buffer => frame('D', Buffer.from(kind), text(name)),
  /** `rows` 0: all. */
  execute: (portal = '', rows = 0): Buffer => frame('E', text(portal), int32(rows)),
  close: (kind: 'S' | 'P', name = ''): Buffer => frame('C', Buffer.from(kind), text(name)),
  flush: (): Buffer => frame('H'),
  sync: (): Buffer => frame('S'),
  copyData: (bytes: Buffer): Buffer => frame('d', bytes),
  copyDone: (): Buffer => frame('c'),
  copyFail: (reason: string): Buffer => frame('f', text(reason)),
  terminate: (): Buffer => frame('X'),
} as const
