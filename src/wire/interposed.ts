/**
 * A session of the quiet pass: its exchanges are sent one after the other, an interposer is asked before and after each,
 * and may have a simple Query sent statement by statement. Whole messages are held here, so nothing should be timed.
 */
import type net from 'node:net'
import { LineAsker } from './asker.js'
import { batchOf, groupsOf, textsOf } from './batch.js'
import type { RawConnection } from './client.js'
import { build, clientLimit, FrameReader, MalformedFrame, payloadOf, serverLimit, type Frame } from './frames.js'
import { Link } from './link.js'
import { cString, isFatal, readBind, readParse, readServerMessage, readyForQuery } from './messages.js'
import { Recorder } from './recorder.js'
import { nameOf, type LiveSession } from './session.js'
import { queriesOf, takeApart } from './split.js'
import type { Exchange, Interposer, Pending, ServerMessage, TransactionStatus } from './types.js'

/** More of the client's messages than this are not read ahead. */
const HELD_BYTES = 4 * 2 ** 20
/** How long the messages of a client that is gone may wait for their turn. */
const PATIENCE_MS = 2_000
const ENDED = new Error('the connection ended')

/** What is done with the server's messages at the moment. */
interface Listening {
  /** Returns true when the message is not for the client. */
  onFrame: (frame: Frame) => boolean
  resolve: (status: TransactionStatus) => void
  reject: (error: Error) => void
}

export class Interposed {
  readonly #session: LiveSession
  readonly #interposer: Interposer
  readonly #link: Link
  readonly #recorder: Recorder
  readonly #asker: LineAsker
  readonly #held: Frame[] = []
  #heldBytes = 0
  #wake: (() => void) | null = null
  /** Which of the client's messages belong to what is under way; null when nothing is. */
  #admits: ((frame: Frame) => boolean) | null = null
  #listening: Listening | null = null
  #notice: (ServerMessage & { heldBack: boolean }) | null = null
  #isFree = false
  #isPassingOn = false
  #isClientGone = false
  #hasEnded = false
  /** Of the latest ReadyForQuery, also of those that only we have seen. */
  status: TransactionStatus

  constructor(client: net.Socket, raw: RawConnection, session: LiveSession, interposer: Interposer) {
    this.#session = session
    this.#interposer = interposer
    this.status = session.status
    this.#link = new Link(client, raw.socket, session, () => {
      // What it sent before it went is sent on first. A server that is told too early finishes what it does.
      this.#isClientGone = true
      setTimeout(() => this.#link.endServer(), PATIENCE_MS).unref()
      this.#endIfAllIsSent()
      this.#wake?.()
    })
    this.#recorder = new Recorder(session, () => this.#notice)
    const isFree = (): boolean => this.#isFree
    const status = (): TransactionStatus => this.status
    this.#asker = new LineAsker({
      pid: raw.pid,
      get status() {
        return status()
      },
      get isFree() {
        return isFree()
      },
      send: (batch) => this.own(batch),
    })
  }

  get link(): Link {
    return this.#link
  }

  get recorder(): Recorder {
    return this.#recorder
  }

  /** Begins; see `relay`. */
  start(client: net.Socket, raw: RawConnection, greeting: Buffer, fromClient: Buffer): void {
    const { clock } = this.#session.context
    const read = (side: string, limit: (type: string) => number | null, onFrame: (frame: Frame) => void) => {
      const reader = new FrameReader({ keep: () => Infinity, limit, onFrame })
      return (chunk: Buffer): void => {
        if (this.#hasEnded) return
        try {
          reader.push(chunk, clock.nowMs())
        } catch (error) {
          const reason = error instanceof MalformedFrame ? error.message : `unreadable message (${nameOf(error)})`
          this.#link.fail(`${reason} from the ${side}`)
          this.#end()
        }
      }
    }
    const onClient = read('client', clientLimit, (frame) => this.#fromClient(frame))
    const onServer = read('server', serverLimit, (frame) => this.#fromServer(frame))
    const fromServer = raw.detach()
    this.#link.toClient(greeting)
    client.on('data', onClient)
    raw.socket.on('data', onServer).once('close', () => this.#end())
    if (fromServer.length > 0) onServer(fromServer)
    if (fromClient.length > 0) onClient(fromClient)
    client.resume()
    raw.socket.resume()
    void this.#run().catch((error: unknown) => {
      if (error !== ENDED) this.#link.fail(`the interposed session failed: ${nameOf(error)}`)
    })
  }

  #end(): void {
    this.#hasEnded = true
    this.#listening?.reject(ENDED)
    this.#listening = null
    this.#wake?.()
  }

  async #run(): Promise<void> {
    for (;;) {
      const first = await this.#nextHeld()
      if ('XdcfHp'.includes(first.type)) {
        this.sendOn(first)
        continue
      }
      const batch = 'PB'.includes(first.type) ? await this.#batchFrom(first) : null
      const pending: Pending = {
        session: this.#session.record,
        asker: this.#asker,
        sql: this.#textOf(first),
        protocol: first.type === 'Q' ? 'simple' : first.type === 'F' ? 'function' : 'extended',
        batch: batch && textsOf(batch, this.#recorder.catalogue),
        status: this.status,
      }
      const pieces = await this.call('before', () => this.#interposer.before(pending))
      const exchange =
        pieces && pieces.length > 0 && first.type === 'Q'
          ? await takeApart(this, this.#interposer, pending, queriesOf(pieces, this.nowMs))
          : pieces && batch
            ? await takeApart(this, this.#interposer, pending, this.#takeBatch(batch))
            : await this.#passOn(first)
      if (exchange) await this.call('after', () => this.#interposer.after(exchange, this.#asker))
      this.#link.toClient(readyForQuery(this.status))
    }
  }

  /** A pipeline that is sent as a whole, or null when the client waits for an answer, or says more than is read ahead. */
  async #batchFrom(first: Frame): Promise<Frame[] | null> {
    for (;;) {
      const batch = batchOf(first, this.#held)
      if (batch !== undefined) return batch
      if (this.#isClientGone || this.#hasEnded || this.#heldBytes > HELD_BYTES) return null
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = null
    }
  }

  #takeBatch(batch: readonly Frame[]): Frame[][] {
    // Its first message is taken already.
    for (let taken = 1; taken < batch.length; taken++) this.#takeHeld()
    return groupsOf(batch, this.nowMs)
  }

  /** Calls the interposer, who may ask meanwhile. What it throws becomes trouble and null. */
  async call<Value>(what: string, code: () => Promise<Value>): Promise<Value | null> {
    this.#isFree = true
    let result: Value | null = null
    try {
      result = await code()
    } catch (error) {
      if (!this.#hasEnded) this.#session.trouble(`the interposer failed in ${what} (${nameOf(error)})`)
    }
    await this.#asker.settled()
    this.#isFree = false
    if (this.#hasEnded) throw ENDED
    return result
  }

  /** Text of the first Query or Parse, or of the statement that is bound or executed first. */
  #textOf(frame: Frame): string | null {
    const payload = payloadOf(frame)
    if (frame.type === 'Q') return cString(payload).value
    if (frame.type === 'P') return readParse(payload).sql
    const { catalogue } = this.#recorder
    if (frame.type === 'B') return catalogue.statement(readBind(payload).statement) || null
    if (frame.type === 'E') return catalogue.portal(cString(payload).value).sql || null
    return null
  }

  /** Sends a message of the client's to the server. */
  sendOn(frame: Frame): void {
    const nowMs = this.#session.context.clock.nowMs()
    this.#link.toServer(frame.bytes)
    this.#recorder.fromClient(frame, nowMs)
  }

  /** One exchange as the client sends it. null when there was nothing to answer. */
  async #passOn(first: Frame): Promise<Exchange | null> {
    // Until its Sync a batch is open; one that copies data in goes on behind the data.
    let isOpen = true
    let hasCopyEnded = false
    let isReopened = false
    const admits = (frame: Frame): boolean => {
      const { isCopyingIn, isSkipping } = this.#recorder
      if ('dcf'.includes(frame.type)) {
        hasCopyEnded = frame.type !== 'd'
        if (hasCopyEnded && isReopened) isOpen = true
        return true
      }
      if (isCopyingIn && 'SH'.includes(frame.type)) return true
      if (!isOpen && !isSkipping) return false
      if ('SQF'.includes(frame.type)) isOpen = false
      return true
    }
    admits(first)
    const answered = this.listen((frame) => {
      if ('GW'.includes(frame.type) && first.type !== 'Q') {
        isReopened = true
        if (hasCopyEnded) isOpen = true
      }
      return false
    })
    this.sendOn(first)
    const exchange = this.#session.underWay[0] ?? null
    this.#isPassingOn = true
    this.#admit(admits)
    await answered
    this.#isPassingOn = false
    this.#admits = null
    return exchange
  }

  /** From now on what `admits` lets through goes straight to the server. */
  #admit(admits: (frame: Frame) => boolean): void {
    this.#admits = admits
    this.#sendHeld()
  }

  /** While a piece is under way: lets the client's CopyData through once the server waits for it. */
  admitCopy(on: boolean): void {
    if (on) this.#admit((frame) => this.#recorder.isCopyingIn && 'dcfSH'.includes(frame.type))
    else this.#admits = null
  }

  #sendHeld(): void {
    for (;;) {
      const [frame] = this.#held
      if (!frame || !this.#admits?.(frame)) break
      this.#takeHeld()
      this.sendOn(frame)
    }
    this.#endIfAllIsSent()
  }

  #endIfAllIsSent(): void {
    if (this.#isClientGone && this.#isPassingOn && this.#held.length === 0) this.#link.endServer()
  }

  #takeHeld(): Frame | null {
    const frame = this.#held.shift() ?? null
    this.#heldBytes -= frame?.bytes.length ?? 0
    if (this.#heldBytes <= HELD_BYTES) this.#link.release('interposer')
    return frame
  }

  async #nextHeld(): Promise<Frame> {
    for (;;) {
      const frame = this.#takeHeld()
      if (frame) return frame
      if (this.#isClientGone) this.#link.endServer()
      if (this.#hasEnded || this.#isClientGone) throw ENDED
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = null
    }
  }

  #fromClient(frame: Frame): void {
    // Known at once, whenever its turn comes: the client may be gone by then.
    if (frame.type === 'X') this.#session.hasSaidGoodbye = true
    this.#held.push(frame)
    this.#heldBytes += frame.bytes.length
    if (this.#admits) this.#sendHeld()
    else this.#wake?.()
    if (this.#heldBytes > HELD_BYTES) this.#link.hold('interposer')
  }

  /** Resolves with the status of the next ReadyForQuery; it is not sent to the client. */
  listen(onFrame: (frame: Frame) => boolean): Promise<TransactionStatus> {
    if (this.#hasEnded) return Promise.reject(ENDED)
    return new Promise((resolve, reject) => (this.#listening = { onFrame, resolve, reject }))
  }

  /** Sends something of ours and returns the answer, of which the client sees only what comes at any time. */
  async own(batch: Buffer): Promise<Frame[]> {
    const frames: Frame[] = []
    const answered = this.listen((frame) => {
      // Settings and notifications are the client's, whoever caused them, and so is the end of its session.
      if ('SA'.includes(frame.type) || isEnd(frame)) return false
      frames.push(frame)
      return true
    })
    this.#link.toServer(batch)
    await answered
    return frames
  }

  #fromServer(frame: Frame): void {
    const nowMs = this.#session.context.clock.nowMs()
    const listening = this.#listening
    if (frame.type === 'Z') {
      this.status = payloadOf(frame).toString('latin1') as TransactionStatus
      // Of what is our own the recorder knows nothing, and it takes no notice.
      if (listening) this.#recorder.fromServer(frame, nowMs)
      this.#listening = null
      listening?.resolve(this.status)
      return
    }
    if (listening?.onFrame(frame)) return
    this.relayFrame(frame, nowMs)
    if (this.#admits) this.#sendHeld()
  }

  /** To the record and, unless it is a notice of ours, to the client. */
  relayFrame(frame: Frame, nowMs = this.#session.context.clock.nowMs()): void {
    if (frame.type === 'N') {
      this.#notice = readServerMessage(payloadOf(frame), nowMs)
      this.#notice.heldBack = this.#session.isOurs(this.#notice)
    }
    this.#recorder.fromServer(frame, nowMs)
    if (frame.type !== 'N' || this.#notice?.heldBack === false) this.#link.toClient(frame.bytes)
  }

  /** Sends a message to the client that the record knows already, or need not know. */
  toClient(bytes: Buffer): void {
    this.#link.toClient(bytes)
  }

  /** Sends a statement of ours as a simple Query; see `listen`. */
  query(sql: string, onFrame: (frame: Frame) => boolean): Promise<TransactionStatus> {
    const answered = this.listen(onFrame)
    this.#link.toServer(build.query(sql))
    return answered
  }

  get nowMs(): number {
    return this.#session.context.clock.nowMs()
  }
}

const isEnd = (frame: Frame): boolean => frame.type === 'E' && isFatal(readServerMessage(payloadOf(frame), 0))
