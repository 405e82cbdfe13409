/**
 * A connection to a server without a driver: authenticated, then frames in and frames out. The proxy is a client of the
 * server with it, and so is whoever must send exactly the messages of somebody else.
 */
import { createHash } from 'node:crypto'
import type net from 'node:net'
import { RehearsalError } from '../errors.js'
import { build, FrameReader, int32, payloadOf, serverLimit, text, type Frame } from './frames.js'
import { cString, readServerMessage, ServerError } from './messages.js'
import { SCRAM, SCRAM_PLUS, ScramClient } from './scram.js'
import type { TransactionStatus } from './tap.js'
import { cancelBackend, CONNECT_TIMEOUT_MS, connectTransport, type Transport, type Upstream } from './transport.js'

export type { Upstream }
export { build, payloadOf, type Frame }

/** So many frames may wait to be read before the socket is paused. */
const MOST_WAITING = 1_000

/** Turns a socket into frames that are asked for one by one. */
class FrameQueue {
  readonly #socket: net.Socket
  readonly #frames: Frame[] = []
  readonly #reader: FrameReader
  #waiting: ((settle: { frame: Frame | null } | { error: Error }) => void) | null = null
  #end: { error: Error | null } | null = null
  readonly #onData = (chunk: Buffer): void => {
    try {
      this.#reader.push(chunk, performance.now())
    } catch (error) {
      this.#finish(error instanceof Error ? error : new Error('malformed message'))
      this.#socket.destroy()
    }
    if (this.#frames.length > MOST_WAITING) this.#socket.pause()
  }
  readonly #onError = (error: Error): void => this.#finish(error)
  readonly #onClose = (): void => this.#finish(null)

  constructor(socket: net.Socket) {
    this.#socket = socket
    this.#reader = new FrameReader({
      keep: () => Infinity,
      limit: serverLimit,
      onFrame: (frame) => {
        const waiting = this.#waiting
        this.#waiting = null
        if (waiting) waiting({ frame })
        else this.#frames.push(frame)
      },
    })
    socket.on('data', this.#onData).on('error', this.#onError).on('end', this.#onClose).on('close', this.#onClose)
  }

  #finish(error: Error | null): void {
    this.#end ??= { error }
    const waiting = this.#waiting
    this.#waiting = null
    if (waiting) waiting(error ? { error } : { frame: null })
  }

  /** null at the end of the connection. */
  next(): Promise<Frame | null> {
    const frame = this.#frames.shift()
    if (frame) {
      if (this.#frames.length === 0) this.#socket.resume()
      return Promise.resolve(frame)
    }
    if (this.#end) return this.#end.error ? Promise.reject(this.#end.error) : Promise.resolve(null)
    return new Promise((resolve, reject) => {
      this.#waiting = (settle) => ('error' in settle ? reject(settle.error) : resolve(settle.frame))
    })
  }

  /** Gives the socket up, paused, with what was read of it and not asked for. */
  detach(): Buffer {
    this.#socket.pause()
    this.#socket.off('data', this.#onData).off('error', this.#onError)
    this.#socket.off('end', this.#onClose).off('close', this.#onClose)
    return Buffer.concat([...this.#frames.map((frame) => frame.bytes), this.#reader.partial])
  }
}

/** An authenticated connection that waits for its first command. */
export interface RawConnection {
  readonly socket: net.Socket
  /** Backend pid and secret key of BackendKeyData; 0 and empty when the server sent none. */
  readonly pid: number
  readonly key: Buffer
  /** What the server said between AuthenticationOk and its first ReadyForQuery, without BackendKeyData, in order. */
  readonly greeting: readonly Frame[]
  readonly status: TransactionStatus
  /** Hands bytes to the kernel; false when it has enough and `drain` of the socket should be waited for. */
  send(bytes: Buffer): boolean
  /** The next frame from the server; null at the end of the connection. One caller at a time. */
  next(): Promise<Frame | null>
  /** Sends a command and returns all that is answered, ReadyForQuery included. Rejects when the connection ends before. */
  exchange(bytes: Buffer): Promise<Frame[]>
  /** Asks the server, over another connection, to cancel what this one is doing. */
  cancel(): Promise<void>
  /** Says goodbye and waits for the end of the connection. */
  end(): Promise<void>
  /** For who reads the socket from now on: it is paused and has no listeners; the bytes were read already. */
  detach(): Buffer
}

/**
 * Connects and authenticates (SCRAM-SHA-256, with channel binding over TLS; md5; cleartext over TLS only; trust).
 * `parameters` go into the startup message beside user and database. Rejects with ServerError when the server refuses,
 * with RehearsalError CONNECTION_LOST when it cannot be reached, breaks off, or cannot be trusted.
 */
export async function openRaw(
  upstream: Upstream,
  parameters: Readonly<Record<string, string>> = {},
  signal?: AbortSignal,
): Promise<RawConnection> {
  let socket: net.Socket | null = null
  const timeout = AbortSignal.timeout(CONNECT_TIMEOUT_MS)
  const deadline = signal ? AbortSignal.any([timeout, signal]) : timeout
  try {
    const transport = await connectTransport(upstream, deadline)
    socket = transport.socket
    const opened = socket
    const queue = new FrameQueue(opened)
    const abort = (): void => void opened.destroy(new Error('the server did not answer in time'))
    deadline.addEventListener('abort', abort, { once: true })
    opened.write(build.startup({ ...parameters, user: upstream.user, database: upstream.database }))
    await authenticate(transport, queue, upstream)
    const start = await greet(queue)
    deadline.removeEventListener('abort', abort)
    return connection(upstream, opened, queue, start)
  } catch (error) {
    socket?.on('error', () => undefined).destroy()
    if (error instanceof ServerError) throw error
    const reason = error instanceof Error ? error.message : 'unknown'
    throw new RehearsalError('CONNECTION_LOST', { message: reason }, error)
  }
}

function connection(upstream: Upstream, socket: net.Socket, queue: FrameQueue, start: Start): RawConnection {
  return {
    socket,
    ...start,
    send: (bytes) => socket.write(bytes),
    next: () => queue.next(),
    async exchange(bytes) {
      socket.write(bytes)
      const frames: Frame[] = []
      for (;;) {
        const frame = await expectFrame(queue)
        frames.push(frame)
        if (frame.type === 'Z') return frames
      }
    },
    cancel: () => cancelBackend(upstream, start.pid, start.key),
    async end() {
      if (socket.destroyed) return
      const closed = new Promise((resolve) => socket.once('close', resolve))
      socket.on('error', () => undefined)
      socket.end(build.terminate())
      socket.setTimeout(2_000, () => socket.destroy())
      socket.resume()
      await closed
    },
    detach: () => queue.detach(),
  }
}

interface Start {
  pid: number
  key: Buffer
  greeting: Frame[]
  status: TransactionStatus
}

/** The next frame that is no ErrorResponse: that one is thrown. */
async function expectFrame(queue: FrameQueue): Promise<Frame> {
  const frame = await queue.next()
  if (frame === null) throw new Error('the server closed the connection')
  return frame
}

async function noError(queue: FrameQueue): Promise<Frame> {
  const frame = await expectFrame(queue)
  if (frame.type === 'E') throw new ServerError(readServerMessage(payloadOf(frame), 0))
  return frame
}

async function greet(queue: FrameQueue): Promise<Start> {
  const start: Start = { pid: 0, key: Buffer.alloc(0), greeting: [], status: 'I' }
  for (;;) {
    const frame = await noError(queue)
    const payload = payloadOf(frame)
    if (frame.type === 'Z') {
      start.status = payload.toString('latin1') as TransactionStatus
      return start
    }
    if (frame.type === 'K' && payload.length >= 4) {
      start.pid = payload.readUInt32BE(0)
      start.key = Buffer.from(payload.subarray(4))
    } else if (frame.type === 'S' || frame.type === 'N') start.greeting.push(frame)
    else throw new Error(`the server sent a message of type ${frame.type} before it was ready`)
  }
}

async function authenticate(transport: Transport, queue: FrameQueue, { user, password }: Upstream): Promise<void> {
  const { socket, isEncrypted, binding } = transport
  for (;;) {
    const request = await authentication(queue)
    if (request.code === 0) return
    if (request.code === 3) {
      if (!isEncrypted) throw new Error('the server asks for the password in the clear and without TLS')
      socket.write(build.password(text(password)))
    } else if (request.code === 5) {
      const inner = createHash('md5').update(`${password}${user}`).digest('hex')
      const outer = createHash('md5').update(inner).update(request.data).digest('hex')
      socket.write(build.password(text(`md5${outer}`)))
    } else if (request.code === 10) {
      const offered = mechanisms(request.data)
      const bound = binding(offered.includes(SCRAM_PLUS))
      const mechanism = bound.kind === 'bound' ? SCRAM_PLUS : SCRAM
      if (!offered.includes(mechanism)) throw new Error('the server offers no authentication that we know')
      const scram = new ScramClient(password, bound)
      const first = scram.first()
      socket.write(build.password(Buffer.concat([text(mechanism), int32(first.length), first])))
      const answer = await authentication(queue, 11)
      socket.write(build.password(await scram.final(answer.data.toString())))
      scram.verify((await authentication(queue, 12)).data.toString())
    } else throw new Error(`the server asks for an authentication that we do not know (${request.code})`)
  }
}

async function authentication(queue: FrameQueue, expected?: number): Promise<{ code: number; data: Buffer }> {
  for (;;) {
    const frame = await noError(queue)
    const payload = payloadOf(frame)
    // A later minor version was not asked for, so there is nothing to negotiate; notices may come at any time.
    if (frame.type === 'N' || frame.type === 'v') continue
    if (frame.type !== 'R' || payload.length < 4) throw new Error('the server does not speak this protocol')
    const code = payload.readInt32BE(0)
    if (expected !== undefined && code !== expected) throw new Error('the server left its authentication half done')
    return { code, data: payload.subarray(4) }
  }
}

function mechanisms(data: Buffer): string[] {
  const found: string[] = []
  for (let at = 0; at < data.length && data[at] !== 0;) {
    const { value, next } = cString(data, at)
    found.push(value)
    at = next
  }
  return found
}
