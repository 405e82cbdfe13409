/** The beginning of a client's connection, in the server's place: requests for encryption, startup message, password. */
import { timingSafeEqual } from 'node:crypto'
import type net from 'node:net'
import { CANCEL_REQUEST, frame, GSSENC_REQUEST, int32, PROTOCOL_3_0, SSL_REQUEST, text } from './frames.js'
import { cString, fatal } from './messages.js'
import { SCRAM, ScramError, ScramServer, type Verifier } from './scram.js'

/** As in the server (MAX_STARTUP_PACKET_LENGTH). */
const STARTUP_BYTES = 10_000
/** As in the server (PG_MAX_AUTH_TOKEN_LENGTH). */
const TOKEN_BYTES = 65_535
/** A client may ask for TLS, then for GSSAPI, before it goes on without. */
const MOST_REQUESTS = 2

/** Why a connection is not let in; the message is for the record and has no secret, `answer` is sent to the client. */
export class Refused extends Error {
  readonly answer: Buffer | null

  constructor(reason: string, sqlstate?: string, told: string = reason) {
    super(reason)
    this.name = 'Refused'
    this.answer = sqlstate === undefined ? null : fatal(sqlstate, told)
  }
}

export type Accepted =
  { kind: 'session'; parameters: Record<string, string>; rest: Buffer } | { kind: 'cancel'; pid: number; key: Buffer }

export interface Door {
  user: string
  database: string
  verifier: Verifier
}

/** Asks a socket for so many bytes; whatever else there is stays for later. */
class Bytes {
  readonly #socket: net.Socket
  #read = Buffer.alloc(0)
  #waiting: { bytes: number; resolve: (bytes: Buffer) => void; reject: (error: Error) => void } | null = null
  #ended: Error | null = null
  readonly #onData = (chunk: Buffer): void => {
    this.#read = Buffer.concat([this.#read, chunk])
    // Only what is waited for is read.
    if (this.#serve()) this.#socket.pause()
  }
  readonly #onEnd = (): void => {
    this.#ended = new Refused('the client closed the connection before it had a session')
    this.#waiting?.reject(this.#ended)
  }

  constructor(socket: net.Socket) {
    this.#socket = socket
    socket.pause()
    socket.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onEnd).on('error', this.#onEnd)
  }

  /** False when what is waited for has not come yet. */
  #serve(): boolean {
    const waiting = this.#waiting
    if (waiting === null) return true
    if (this.#read.length < waiting.bytes) return false
    this.#waiting = null
    const bytes = this.#read.subarray(0, waiting.bytes)
    this.#read = this.#read.subarray(waiting.bytes)
    waiting.resolve(bytes)
    return true
  }

  take(bytes: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(this.#ended)
        return
      }
      this.#waiting = { bytes, resolve, reject }
      if (!this.#serve()) this.#socket.resume()
    })
  }

  /** Gives the socket up, paused, with what was read too much. */
  detach(): Buffer {
    this.#socket.pause()
    this.#socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onEnd).off('error', this.#onEnd)
    return this.#read
  }
}

/**
 * Reads until the client has proved that it knows the password. The socket is paused afterwards. Rejects with Refused.
 */
export async function accept(socket: net.Socket, door: Door): Promise<Accepted> {
  const bytes = new Bytes(socket)
  for (let requests = 0; ; requests++) {
    const startup = await readStartup(bytes)
    const code = startup.readInt32BE(0)
    if (code === SSL_REQUEST || code === GSSENC_REQUEST) {
      if (requests === MOST_REQUESTS) throw new Refused('malformed startup: encryption asked for again')
      socket.write('N')
    } else if (code === CANCEL_REQUEST) {
      if (startup.length < 12) throw new Refused('malformed cancel request')
      return { kind: 'cancel', pid: startup.readUInt32BE(4), key: Buffer.from(startup.subarray(8)) }
    } else {
      const parameters = readParameters(startup, code)
      if (code !== PROTOCOL_3_0 || parameters.unknown.length > 0) socket.write(negotiate(parameters.unknown))
      await authenticate(socket, bytes, parameters.known, door)
      return { kind: 'session', parameters: parameters.known, rest: bytes.detach() }
    }
  }
}

/** Code and what follows it. */
async function readStartup(bytes: Bytes): Promise<Buffer> {
  const head = await bytes.take(4)
  const length = head.readInt32BE(0)
  // Looked at before anything is answered: a TLS hello or an HTTP request would be waited for in vain.
  if (length < 8 || length > STARTUP_BYTES) throw new Refused(`malformed startup: length ${length}`)
  return bytes.take(length - 4)
}

function readParameters(startup: Buffer, code: number): { known: Record<string, string>; unknown: string[] } {
  if (code >> 16 !== 3)
    throw new Refused('malformed startup: not protocol 3', '0A000', 'unsupported frontend protocol, only 3.0 is spoken')
  const known: Record<string, string> = {}
  const unknown: string[] = []
  let at = 4
  while (at < startup.length && startup[at] !== 0) {
    const name = cString(startup, at)
    const value = cString(startup, name.next)
    // Options of the protocol itself; none are known to version 3.0.
    if (name.value.startsWith('_pq_.')) unknown.push(name.value)
    else known[name.value] = value.value
    at = value.next
  }
  if (at !== startup.length - 1) throw new Refused('malformed startup: parameters', '08P01', 'invalid startup packet')
  if (!known['user']) throw new Refused('malformed startup: no user', '28000', 'no user name in startup packet')
  if (!/^(?:false|off|no|0|)$/i.test(known['replication'] ?? ''))
    throw new Refused('replication connection', '0A000', 'replication connections are not supported here')
  return { known, unknown }
}

/** NegotiateProtocolVersion: 3.0 is the newest that we speak, and these options are not known. */
const negotiate = (options: readonly string[]): Buffer =>
  frame('v', int32(PROTOCOL_3_0), int32(options.length), ...options.map(text))

const sasl = (code: number, data: Buffer): Buffer => frame('R', int32(code), data)

async function authenticate(
  socket: net.Socket,
  bytes: Bytes,
  parameters: Readonly<Record<string, string>>,
  door: Door,
): Promise<void> {
  const user = parameters['user'] ?? ''
  socket.write(sasl(10, Buffer.concat([text(SCRAM), text('')])))
  const scram = new ScramServer(door.verifier)
  try {
    const initial = await readToken(bytes)
    const mechanism = cString(initial)
    if (mechanism.value !== SCRAM || initial.length < mechanism.next + 4)
      throw new Refused('unknown authentication', '08P01', 'client selected an invalid SASL authentication mechanism')
    socket.write(sasl(11, scram.first(initial.toString('utf8', mechanism.next + 4))))
    const signature = scram.final((await readToken(bytes)).toString())
    // Password first, so that nobody without it learns anything about the rest.
    if (signature === null || !equal(user, door.user)) {
      const reason = signature === null ? 'password does not match' : 'user is not the one of the rehearsal'
      throw new Refused(reason, '28P01', `password authentication failed for user "${user}"`)
    }
    const database = parameters['database'] ?? user
    if (!equal(database, door.database))
      throw new Refused('database is not the one of the rehearsal', '3D000', `database "${database}" does not exist`)
    socket.write(sasl(12, signature))
  } catch (error) {
    if (error instanceof ScramError) throw new Refused('malformed authentication', '08P01', error.message)
    throw error
  }
}

const equal = (a: string, b: string): boolean => {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

async function readToken(bytes: Bytes): Promise<Buffer> {
  const head = await bytes.take(5)
  const length = head.readInt32BE(1)
  if (head[0] !== 0x70) throw new Refused('malformed authentication', '08P01', 'expected password response')
  if (length < 4 || length - 4 > TOKEN_BYTES) throw new Refused(`malformed authentication: length ${length}`)
  return bytes.take(length - 4)
}
