/** The two sockets of one session: writing with back-pressure, and how one side's end becomes the other's. */
import type net from 'node:net'
import { fatal } from './messages.js'
import type { LiveSession } from './session.js'

/** More than this waiting to be written, and the other side is not read. */
const HIGH_BYTES = 256 * 1024
/** A client that is gone takes no answers; a real server would find out when it writes more than the kernel buffers. */
const UNREAD_BYTES = 2 ** 20
const PATIENCE_MS = 2_000

const systemCode = (error: Error): string =>
  'code' in error && typeof error.code === 'string' ? error.code : error.name

export class Link {
  readonly #client: net.Socket
  readonly #server: net.Socket
  readonly #session: LiveSession
  /** Why the client is not read at the moment. */
  readonly #holds = new Set<string>()
  #isClientGone = false
  #unreadBytes = 0
  #timer: NodeJS.Timeout | null = null
  readonly #onClientGone: () => void
  /** Resolves when both sockets are closed. */
  readonly closed: Promise<void>

  /** `onClientGone`: instead of ending the server's side at once. */
  constructor(client: net.Socket, server: net.Socket, session: LiveSession, onClientGone?: () => void) {
    this.#client = client
    this.#server = server
    this.#session = session
    this.#onClientGone = onClientGone ?? (() => this.endServer())
    client.on('error', (error) => session.trouble(`the connection to the client broke (${systemCode(error)})`))
    server.on('error', (error) => session.trouble(`the connection to the server broke (${systemCode(error)})`))
    client.on('end', () => this.#clientGone())
    client.on('drain', () => server.resume())
    server.on('drain', () => this.release('server'))
    server.on('end', () => this.#serverGone())
    const clientClosed = new Promise<void>((resolve) => client.once('close', () => resolve()))
    const serverClosed = new Promise<void>((resolve) => server.once('close', () => resolve()))
    void clientClosed.then(() => this.#clientGone())
    void serverClosed.then(() => {
      this.#serverGone()
      session.end()
    })
    this.closed = Promise.all([clientClosed, serverClosed]).then(() => {
      if (this.#timer) clearTimeout(this.#timer)
    })
  }

  toServer(bytes: Buffer): void {
    if (!this.#server.writable) return
    this.#server.write(bytes)
    if (this.#server.writableLength > HIGH_BYTES) this.hold('server')
  }

  toClient(bytes: Buffer): void {
    if (this.#client.writable) {
      this.#client.write(bytes)
      if (this.#client.writableLength > HIGH_BYTES) this.#server.pause()
      return
    }
    this.#unreadBytes += bytes.length
    if (this.#unreadBytes > UNREAD_BYTES) this.#server.destroy()
  }

  /** Reads nothing more of the client until `release` of the same reason. */
  hold(reason: string): void {
    this.#holds.add(reason)
    this.#client.pause()
  }

  release(reason: string): void {
    if (this.#holds.delete(reason) && this.#holds.size === 0) this.#client.resume()
  }

  #clientGone(): void {
    if (this.#isClientGone) return
    this.#isClientGone = true
    if (!this.#session.hasSaidGoodbye && !this.#server.destroyed)
      this.#session.trouble('the client closed the connection without a Terminate message')
    // Nobody drains the client any more.
    this.#server.resume()
    this.#onClientGone()
  }

  /** What was sent to the server still reaches it. */
  endServer(): void {
    this.#server.end()
  }

  #serverGone(): void {
    if (!this.#session.hasSaidGoodbye && !this.#isClientGone) this.#session.trouble('the server closed the connection')
    this.#client.resume()
    this.#client.end()
    this.#timer ??= setTimeout(() => this.#client.destroy(), PATIENCE_MS)
  }

  /** Ends both sides because of what one of them sent; the client is told. */
  fail(reason: string): void {
    this.#session.trouble(reason)
    if (this.#client.writable) this.#client.write(fatal('08P01', reason))
    this.#server.destroy()
    this.#serverGone()
  }

  /** Ends both sides at once. */
  destroy(reason: string): void {
    this.#session.trouble(reason)
    this.#server.destroy()
    this.#client.destroy()
  }
}
