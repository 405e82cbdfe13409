/**
 * A PostgreSQL server on loopback that is another one seen through: the migration tool connects to it with a one-time
 * password, and everything that it says and is told is written down. See types.ts for what is recorded.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import net from 'node:net'
import { RehearsalError } from '../errors.js'
import { sleep, type Clock } from '../clock.js'
import type { Address } from '../pg/connect.js'
import { accept, Refused, type Accepted, type Door } from './accept.js'
import { openRaw, type RawConnection, type Upstream } from './client.js'
import { frame, int32, payloadOf, text } from './frames.js'
import { Interposed } from './interposed.js'
import type { Link } from './link.js'
import { backendKeyData, fatal, readServerMessage, readyForQuery, ServerError } from './messages.js'
import { relay } from './relay.js'
import { makeVerifier } from './scram.js'
import { LiveSession, nameOf, type Context, type Listeners } from './session.js'
import { cancelBackend } from './transport.js'
import type { Exchange, Interposer, Refusal, ServerMessage, WireSession } from './types.js'

export type { Upstream }

/** A client that has not said who it is by then is not let in. */
const STARTUP_MS = 30_000
const MOST_CONNECTIONS = 200
const HOST = '127.0.0.1'
/** Of a proxy that forgets: the latest ones. */
const KEPT_REFUSALS = 20

export interface ProxyOptions extends Listeners {
  upstream: Upstream
  clock: Clock
  /** Settings that every session starts with, besides what the client itself asks for; they win over the client's. */
  settings?: Readonly<Record<string, string>>
  /** Whether a notice only came of our settings and is kept from the client. */
  holdBack: (notice: ServerMessage, session: WireSession) => boolean
  /** Whether the parameters bound to this text may be kept (journal rows of a tool). Default: never. */
  keepParameters?: (sql: string) => boolean
  /** Quiet pass only. */
  interpose?: Interposer
  /** What has ended is told to the listeners and not kept: for programs that run for a long time. */
  forgets?: boolean
  limits?: { startupMs?: number; connections?: number }
}

export interface Proxy {
  /** Where the tool connects: the server's user and database, a password of its own. */
  readonly address: Address
  readonly sessions: readonly WireSession[]
  readonly refusals: readonly Refusal[]
  /** The earliest `sentMs` of an exchange that is under way, else null. */
  readonly inFlightSinceMs: number | null
  /** Of live backends. */
  pids(): number[]
  /** What this backend was asked first and has not answered yet; null when nothing, or when it is none of ours. */
  underWay(pid: number): Exchange | null
  /** Sends a CancelRequest for every session with an exchange under way. Never rejects. */
  cancelAll(): Promise<void>
  /** Cancels what is under way and ends every session, both sides, and the listener. */
  close(): Promise<void>
}

interface Live {
  session: LiveSession
  link: Link
  raw: RawConnection
  /** The key that the client got in place of the server's. */
  key: Buffer
}

/** Opens the listener; the server is contacted when a client comes. Throws NO_PORT. */
export async function openProxy(options: ProxyOptions): Promise<Proxy> {
  const { upstream, clock } = options
  const password = randomBytes(24).toString('base64url')
  const door: Door = { user: upstream.user, database: upstream.database, verifier: await makeVerifier(password) }
  const sessions: WireSession[] = []
  const refusals: Refusal[] = []
  const live = new Set<Live>()
  const sockets = new Set<net.Socket>()
  /** Connections on their way to a session. */
  const served = new Set<Promise<void>>()
  const stop = new AbortController()
  let exchanges = 0
  let connected = 0
  let isClosing = false
  const context: Context = {
    clock,
    listeners: options,
    holdBack: options.holdBack,
    keepParameters: options.keepParameters ?? null,
    forgets: options.forgets ?? false,
    nextOrdinal: () => exchanges++,
  }

  /** Keeps record of it, tells the client where there is something to tell, and hangs up. */
  const refuse = (socket: net.Socket, reason: string, answer: Buffer | null): void => {
    if (!isClosing) refusals.push({ atMs: clock.nowMs(), reason })
    if (context.forgets && refusals.length > KEPT_REFUSALS) refusals.shift()
    if (answer && socket.writable) socket.end(answer)
    else socket.destroy()
    socket.resume()
    setTimeout(() => socket.destroy(), 2_000).unref()
  }

  const cancel = async (asked: Extract<Accepted, { kind: 'cancel' }>): Promise<void> => {
    const target = [...live].find(
      ({ session, key }) =>
        session.record.pid === asked.pid && key.length === asked.key.length && timingSafeEqual(key, asked.key),
    )
    if (target === undefined) throw new Refused('cancel request with an unknown key')
    await cancelBackend(upstream, target.raw.pid, target.raw.key)
  }

  const serve = async (socket: net.Socket): Promise<void> => {
    const late = new AbortController()
    const timer = setTimeout(() => {
      late.abort()
      refuse(socket, 'the client did not say who it is in time', null)
    }, options.limits?.startupMs ?? STARTUP_MS)
    try {
      const accepted = await accept(socket, door).finally(() => clearTimeout(timer))
      if (accepted.kind === 'cancel') {
        await cancel(accepted)
        socket.end()
        return
      }
      const raw = await openRaw(upstream, { ...accepted.parameters, ...options.settings }, stop.signal)
      if (socket.destroyed || isClosing) {
        await raw.end()
        throw new Refused('the client closed the connection before it had a session')
      }
      begin(socket, raw, accepted.rest)
    } catch (error) {
      if (late.signal.aborted) return
      const { reason, answer } = refusalOf(error)
      refuse(socket, reason, answer)
    }
  }

  const begin = (socket: net.Socket, raw: RawConnection, fromClient: Buffer): void => {
    const session = new LiveSession(context, ++connected, raw)
    sessions.push(session.record)
    session.tell((listeners) => listeners.onSession?.(session.record))
    const key = randomBytes(4)
    const greeting = greetingOf(raw, session, key)
    let link: Link
    if (options.interpose) {
      const interposed = new Interposed(socket, raw, session, options.interpose)
      link = interposed.link
      interposed.start(socket, raw, greeting, fromClient)
    } else link = relay(socket, raw, session, greeting, fromClient)
    const entry = { session, link, raw, key }
    live.add(entry)
    void link.closed.then(() => {
      live.delete(entry)
      if (context.forgets) sessions.splice(sessions.indexOf(session.record), 1)
    })
  }

  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket)).on('error', () => undefined)
    if (sockets.size > (options.limits?.connections ?? MOST_CONNECTIONS))
      refuse(socket, 'too many connections', fatal('53300', 'sorry, too many clients already'))
    else {
      const serving = serve(socket).finally(() => served.delete(serving))
      served.add(serving)
    }
  })
  const port = await listen(server)
  // Running out of file descriptors, say: who could not be let in finds out for himself.
  server.on('error', () => undefined)

  /**
   * A request that overtakes the statement does nothing, and a backend does not notice that its client is gone: what is
   * under way now is canceled again until it is over, for a second at most.
   */
  const cancelAll = async (): Promise<void> => {
    const all = [...live].flatMap((one) => one.session.underWay.slice(0, 1).map((exchange) => ({ ...one, exchange })))
    const left = (): typeof all => all.filter(({ session, exchange }) => session.underWay[0] === exchange)
    for (let waitMs = 10; left().length > 0 && waitMs < 1_000; waitMs *= 2) {
      await Promise.allSettled(left().map(({ raw }) => cancelBackend(upstream, raw.pid, raw.key)))
      await sleep(left().length > 0 ? waitMs : 0)
    }
  }

  let closing: Promise<void> | null = null
  const close = async (): Promise<void> => {
    isClosing = true
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    await cancelAll()
    const ended = [...live].map(({ link }) => link.closed)
    for (const { link } of live) link.destroy('the rehearsal ended it')
    stop.abort()
    for (const socket of sockets) socket.destroy()
    await Promise.all([...ended, ...served, closed])
  }

  return {
    address: { host: HOST, port, database: upstream.database, user: upstream.user, password },
    sessions,
    refusals,
    get inFlightSinceMs() {
      const sent = [...live].flatMap(({ session }) => session.underWay.slice(0, 1).map(({ sentMs }) => sentMs))
      return sent.length === 0 ? null : Math.min(...sent)
    },
    pids: () =>
      [...live].filter(({ session }) => session.record.endedMs === null).map(({ session }) => session.record.pid),
    underWay: (pid) => [...live].find(({ session }) => session.record.pid === pid)?.session.underWay[0] ?? null,
    cancelAll,
    close: () => (closing ??= close()),
  }
}

/** What a client is told when its session begins, without the notices that are ours. */
function greetingOf(raw: RawConnection, session: LiveSession, key: Buffer): Buffer {
  const frames: Buffer[] = [frame('R', int32(0))]
  for (const each of raw.greeting) {
    if (each.type === 'N') {
      const notice = readServerMessage(payloadOf(each), session.context.clock.nowMs())
      notice.heldBack = session.isOurs(notice)
      session.notice(notice, null)
      if (notice.heldBack) continue
    }
    frames.push(each.bytes)
  }
  return Buffer.concat([...frames, backendKeyData(raw.pid, key), readyForQuery(raw.status)])
}

function refusalOf(error: unknown): { reason: string; answer: Buffer | null } {
  if (error instanceof Refused) return { reason: error.message, answer: error.answer }
  if (error instanceof ServerError) {
    const fields = [...error.fields].map(([code, value]) => text(code + value))
    return { reason: `the server refused the session (${error.code})`, answer: frame('E', ...fields, text('')) }
  }
  const reason =
    error instanceof RehearsalError
      ? `the server cannot be reached: ${String(error.details['message'])}`
      : `internal error: ${nameOf(error)}`
  return { reason, answer: fatal('08006', reason) }
}

function listen(server: net.Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(new RehearsalError('NO_PORT', { message: error.message }, error)))
    server.listen(0, HOST, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    })
  })
}
