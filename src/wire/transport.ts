/** A connected socket to the server, with TLS where that is asked for, and the CancelRequest that needs nothing else. */
import net from 'node:net'
import tls from 'node:tls'
import type { Address } from '../pg/connect.js'
import { endPointHash } from './certificate.js'
import { build } from './frames.js'
import type { Binding } from './scram.js'

/** Where the server is. `servername` is sent as SNI and, unless `rejectUnauthorized` is false, must be in the certificate. */
export interface Upstream extends Address {
  tls?: { servername: string; ca?: string; rejectUnauthorized?: boolean } | null
}

/** A server that does not answer within this time is not there. */
export const CONNECT_TIMEOUT_MS = 30_000
const CANCEL_TIMEOUT_MS = 5_000

export interface Transport {
  socket: net.Socket
  isEncrypted: boolean
  /** What a SCRAM authentication over it binds to. */
  binding: (offered: boolean) => Binding
}

const settled = (socket: net.Socket, event: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(error)
    const closed = (): void => reject(new Error('the server closed the connection'))
    socket.once('error', failed)
    socket.once('close', closed)
    socket.once(event, () => {
      socket.off('error', failed)
      socket.off('close', closed)
      resolve()
    })
  })

/** Rejects with the system's error, or one in a sentence. The socket has no listeners and is not read yet. */
export async function connectTransport(upstream: Upstream, signal: AbortSignal): Promise<Transport> {
  signal.throwIfAborted()
  const socket = net.connect({ host: upstream.host, port: upstream.port, noDelay: true, keepAlive: true })
  const abort = (): void => void socket.destroy(new Error('the server did not answer in time'))
  signal.addEventListener('abort', abort, { once: true })
  try {
    await settled(socket, 'connect')
    if (upstream.tls === undefined || upstream.tls === null)
      return { socket, isEncrypted: false, binding: () => ({ kind: 'none' }) }
    const secure = await encrypt(socket, upstream.tls)
    const hash = endPointHash(secure.getPeerCertificate().raw)
    return {
      socket: secure,
      isEncrypted: true,
      binding: (offered) => {
        if (hash === null) return { kind: 'none' }
        return offered ? { kind: 'bound', hash } : { kind: 'not-offered' }
      },
    }
  } catch (error) {
    socket.on('error', () => undefined).destroy()
    throw error
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

async function encrypt(socket: net.Socket, options: NonNullable<Upstream['tls']>): Promise<tls.TLSSocket> {
  socket.write(build.sslRequest())
  await settled(socket, 'readable')
  const answer: unknown = socket.read()
  // More than the one byte would have been put there by somebody in between (CVE-2021-23222).
  if (!Buffer.isBuffer(answer) || answer.length !== 1 || answer[0] !== 0x53)
    throw new Error('the server does not speak TLS')
  socket.removeAllListeners('readable')
  const secure = tls.connect({
    socket,
    servername: options.servername,
    rejectUnauthorized: options.rejectUnauthorized ?? true,
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    minVersion: 'TLSv1.2',
  })
  await settled(secure, 'secureConnect')
  return secure
}

/** Sends a CancelRequest and waits until the server has taken note. Rejects when the server cannot be reached. */
export async function cancelBackend(upstream: Upstream, pid: number, key: Buffer): Promise<void> {
  const { socket } = await connectTransport(upstream, AbortSignal.timeout(CANCEL_TIMEOUT_MS))
  await new Promise<void>((resolve) => {
    // The server closes the connection without a word; whatever else happens to it says no more than that.
    socket.once('close', () => resolve()).on('error', () => undefined)
    socket.setTimeout(CANCEL_TIMEOUT_MS, () => socket.destroy())
    socket.resume()
    socket.write(build.cancelRequest(pid, key))
  })
}
