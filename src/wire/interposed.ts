/**
 * A session of the quiet pass: its exchanges are sent one after the other, an interposer is asked before and after each,
 * and may have a simple Query sent statement by statement. Whole messages are held here, so nothing should be timed.
 */
import type net from 'node:net'
import { LineAsker, type Line } from './asker.js'
import { batchOf, groupsOf, textOf, textsOf } from './batch.js'
import type { RawConnection } from './client.js'
import { build, clientLimit, payloadOf, serverLimit, type Frame } from './frames.js'
import { carefulReader, Gate, Held } from './held.js'
import { Link } from './link.js'
import { isFatal, readServerMessage, readyForQuery } from './messages.js'
import { Recorder } from './recorder.js'
import { nameOf, type LiveSession } from './session.js'
import { queriesOf, takeApart } from './split.js'
import type { Exchange, Interposer, Pending, ServerMessage, TransactionStatus } from './types.js'

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

export class Interposed implements Line {
  readonly pid: number
  readonly #session: LiveSession
  readonly #interposer: Interposer
  readonly #link: Link
  readonly #recorder: Recorder
  readonly #asker: LineAsker
  readonly #held: Held
  /** Which of the client's messages belong to what is under way; null when nothing is. */
  #admits: ((frame: Frame) => boolean) | null = null
  #listening: Listening | null = null
  #notice: (ServerMessage & { heldBack: boolean }) | null = null
  /** Whether the interposer is being asked, so that nothing of the client's is under way. */
  isFree = false
  #isPassingOn = false
  #isClientGone = false
  #hasEnded = false
  /** Of the latest ReadyForQuery, also of those that only we have seen. */
  status: TransactionStatus

  constructor(client: net.Socket, raw: RawConnection, session: LiveSession, interposer: Interposer) {
    this.pid = raw.pid
    this.#session = session
    this.#interposer = interposer
    this.status = session.status
    this.#link = new Link(client, raw.socket, session, () => {
      // What it sent before it went is sent on first. A server that is told too early finishes what it does.
      this.#isClientGone = true
      setTimeout(() => this.#link.endServer(), PATIENCE_MS).unref()
      this.#endIfAllIsSent()
      this.#held.wake()
    })
    this.#recorder = new Recorder(session, () => this.#notice)
    this.#held = new Held(this.#link)
    this.#asker = new LineAsker(this)
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
      const push = carefulReader(limit, onFrame, (reason) => {
        this.#link.fail(`${reason} from the ${side}`)
        this.#end()
      })
      return (chunk: Buffer): void => {
        if (!this.#hasEnded) push(chunk, clock.nowMs())
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
    this.#held.wake()
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
        sql: textOf(first, this.#recorder.catalogue),
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
      const batch = batchOf(first, this.#held.frames)
      if (batch !== undefined) return batch
      if (this.#isClientGone || this.#hasEnded || this.#held.isFull) return null
      await this.#held.more()
    }
  }

  #takeBatch(batch: readonly Frame[]): Frame[][] {
    // Its first message is taken already.
    for (let taken = 1; taken < batch.length; taken++) this.#held.take()
    return groupsOf(batch, this.nowMs)
  }

  /** Calls the interposer, who may ask meanwhile. What it throws becomes trouble and null. */
  async call<Value>(what: string, code: () => Promise<Value>): Promise<Value | null> {
    this.isFree = true
    let result: Value | null = null
    try {
      result = await code()
    } catch (error) {
      if (!this.#hasEnded) this.#session.trouble(`the interposer failed in ${what} (${nameOf(error)})`)
    }
    await this.#asker.settled()
    this.isFree = false
    if (this.#hasEnded) throw ENDED
    return result
  }

  /** Sends a message of the client's to the server. */
  sendOn(frame: Frame): void {
    const nowMs = this.#session.context.clock.nowMs()
    this.#link.toServer(frame.bytes)
    this.#recorder.fromClient(frame, nowMs)
  }

  /** One exchange as the client sends it. null when there was nothing to answer. */
  async #passOn(first: Frame): Promise<Exchange | null> {
    const gate = new Gate(first, this.#recorder)
    const answered = this.listen((frame) => {
      gate.hears(frame)
      return false
    })
    this.sendOn(first)
    const exchange = this.#session.underWay[0] ?? null
    this.#isPassingOn = true
    this.#admit((frame) => gate.admits(frame))
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
      const [frame] = this.#held.frames
      if (!frame || !this.#admits?.(frame)) break
      this.#held.take()
      this.sendOn(frame)
    }
    this.#endIfAllIsSent()
  }

  #endIfAllIsSent(): void {
    if (this.#isClientGone && this.#isPassingOn && this.#held.frames.length === 0) this.#link.endServer()
  }

  async #nextHeld(): Promise<Frame> {
    for (;;) {
      const frame = this.#held.take()
      if (frame) return frame
      if (this.#isClientGone) this.#link.endServer()
      if (this.#hasEnded || this.#isClientGone) throw ENDED
      await this.#held.more()
    }
  }

  #fromClient(frame: Frame): void {
    // Known at once, whenever its turn comes: the client may be gone by then.
    if (frame.type === 'X') this.#session.hasSaidGoodbye = true
    this.#held.put(frame)
    if (this.#admits) this.#sendHeld()
    else this.#held.wake()
  }

  /** Resolves with the status of the next ReadyForQuery; it is not sent to the client. */
  listen(onFrame: (frame: Frame) => boolean): Promise<TransactionStatus> {
    if (this.#hasEnded) return Promise.reject(ENDED)
    return new Promise((resolve, reject) => (this.#listening = { onFrame, resolve, reject }))
  }

  /** Sends something of ours and returns the answer, of which the client sees only what comes at any time. */
  async send(batch: Buffer): Promise<Frame[]> {
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
