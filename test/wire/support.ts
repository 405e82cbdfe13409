/** What the tests of the proxy share. */
import net from 'node:net'
import { startClock } from '../../src/clock.js'
import { openRaw, type RawConnection } from '../../src/wire/client.js'
import { frame, int32, text } from '../../src/wire/frames.js'
import { isOurs } from '../../src/wire/markers.js'
import { openProxy, type Proxy, type ProxyOptions, type Upstream } from '../../src/wire/proxy.js'

export const proxyTo = (upstream: Upstream, options: Partial<ProxyOptions> = {}): Promise<Proxy> =>
  openProxy({ upstream, clock: startClock(), holdBack: isOurs, ...options })

export async function withProxy<T>(
  upstream: Upstream,
  body: (proxy: Proxy) => Promise<T>,
  options: Partial<ProxyOptions> = {},
): Promise<T> {
  const proxy = await proxyTo(upstream, options)
  try {
    return await body(proxy)
  } finally {
    await proxy.close()
  }
}

/** A connection through the proxy without a driver. */
export async function withRaw<T>(
  upstream: Upstream,
  body: (raw: RawConnection, proxy: Proxy) => Promise<T>,
  options: Partial<ProxyOptions> = {},
): Promise<T> {
  return withProxy(
    upstream,
    async (proxy) => {
      const raw = await openRaw(proxy.address)
      try {
        return await body(raw, proxy)
      } finally {
        await raw.end()
      }
    },
    options,
  )
}

export const listen = (server: net.Server): Promise<number> =>
  new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : 0)
    }),
  )

/** What a server says to a client that it trusts. */
export const welcome = (pid = 4711, key: Buffer = Buffer.from('abcd')): Buffer =>
  Buffer.concat([
    frame('R', int32(0)),
    frame('S', text('server_version'), text('18.0')),
    frame('S', text('application_name'), text('fake')),
    frame('K', int32(pid), key),
    frame('Z', Buffer.from('I')),
  ])

export interface FakeServer {
  upstream: Upstream
  /** One for each connection that was let in, after its startup message. */
  connections: { socket: net.Socket; startup: Buffer; received: Buffer[] }[]
  /** CancelRequests, whole. */
  cancels: Buffer[]
  close(): Promise<void>
}

/** A server that trusts everybody, writes down what it gets and says what the test makes it say. */
export async function fakeServer(
  onConnection: (socket: net.Socket) => void = () => undefined,
  greeting: Buffer = welcome(),
): Promise<FakeServer> {
  const connections: FakeServer['connections'] = []
  const cancels: Buffer[] = []
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket))
    // The proxy sends its startup message in one piece and waits.
    socket.once('data', (startup: Buffer) => {
      if (startup.readInt32BE(4) === 80_877_102) {
        cancels.push(startup)
        socket.end()
        return
      }
      const connection = { socket, startup, received: [] as Buffer[] }
      connections.push(connection)
      socket.on('data', (chunk: Buffer) => connection.received.push(chunk))
      socket.write(greeting)
      onConnection(socket)
    })
  })
  const port = await listen(server)
  return {
    upstream: { host: '127.0.0.1', port, database: 'rehearsal', user: 'owner', password: '' },
    connections,
    cancels,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Waits until something holds; the test's own time limit ends it. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 2))
}
