/** Broken and hostile peers: each costs its own session, says why, and nobody else notices. */
import net from 'node:net'
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, test } from 'vitest'
import { Random } from '../../src/traffic/random.js'
import { build, openRaw } from '../../src/wire/client.js'
import { frame, int32, text } from '../../src/wire/frames.js'
import type { Proxy } from '../../src/wire/proxy.js'
import type { Interposer } from '../../src/wire/types.js'
import { fakeServer, proxyTo, until, welcome, withProxy, type FakeServer } from './support.js'

/** Answers every Query and Sync, so that a session that nobody disturbs goes on. */
const obliging = (socket: net.Socket): void => {
  const done = Buffer.concat([frame('C', text('SELECT 0')), frame('Z', Buffer.from('I'))])
  socket.on('data', (chunk: Buffer) => {
    if (chunk.includes('canary')) socket.write(done)
  })
}

const watching: Interposer = { before: () => Promise.resolve(null), after: () => Promise.resolve() }

/** Sends bytes, in pieces of that size, to a port; resolves when the other side has hung up. */
function knock(port: number, bytes: Buffer, size = bytes.length, end = false): Promise<Buffer> {
  return new Promise((resolve) => {
    const received: Buffer[] = []
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    socket.on('data', (chunk: Buffer) => received.push(chunk)).on('error', () => undefined)
    socket.on('close', () => resolve(Buffer.concat(received)))
    void (async () => {
      for (let at = 0; at < bytes.length && socket.writable; at += size) {
        socket.write(bytes.subarray(at, at + size))
        if (size < bytes.length) await new Promise((next) => setImmediate(next))
      }
      if (end) socket.end()
    })()
  })
}

const startup = (body: Buffer, code = 196_608, length = body.length + 8): Buffer =>
  Buffer.concat([int32(length), int32(code), body])

describe('before there is a session', () => {
  let server: FakeServer
  let proxy: Proxy
  beforeAll(async () => {
    server = await fakeServer(obliging)
  })
  afterAll(() => server.close())
  beforeEach(async () => {
    proxy = await proxyTo(server.upstream)
  })
  afterEach(() => proxy.close())

  const user = Buffer.concat([text('user'), text('owner'), text('')])
  test.each<[string, Buffer, string]>([
    ['a length of 0', int32(0), 'malformed startup: length 0'],
    ['a length of 7', int32(7), 'malformed startup: length 7'],
    ['a negative length', int32(-1), 'malformed startup: length -1'],
    ['a length of 2^31 - 1', int32(2 ** 31 - 1), 'malformed startup: length 2147483647'],
    ['10 kB and a byte', startup(Buffer.alloc(10_000 - 7)), 'malformed startup: length 10001'],
    ['a TLS hello', Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3]), 'malformed startup: length 369295618'],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'malformed startup: length 1195725856'],
    ['protocol 4', startup(user, 4 << 16), 'malformed startup: not protocol 3'],
    ['parameters that do not end', startup(Buffer.from('user\0owner')), 'malformed startup: parameters'],
    ['something behind the parameters', startup(Buffer.concat([user, text('x')])), 'malformed startup: parameters'],
    ['no parameters', startup(Buffer.alloc(0)), 'malformed startup: parameters'],
    ['a short cancel request', startup(Buffer.alloc(0), 80_877_102), 'malformed cancel request'],
    ['no password', Buffer.concat([startup(user), build.query('select 1')]), 'malformed authentication'],
    [
      'a long password',
      Buffer.concat([startup(user), Buffer.from('p'), int32(1e9)]),
      'malformed authentication: length 1000000000',
    ],
    ['another mechanism', Buffer.concat([startup(user), build.password(text('PLAIN'))]), 'unknown authentication'],
    [
      'a password that is none',
      Buffer.concat([
        startup(user),
        build.password(Buffer.concat([text('SCRAM-SHA-256'), int32(2), Buffer.from('p=')])),
      ]),
      'malformed authentication',
    ],
  ])('%s', async (_, bytes, reason) => {
    for (const size of [bytes.length, 1].slice(0, bytes.length > 1_000 ? 1 : 2))
      await knock(proxy.address.port, bytes, size)
    expect(new Set(proxy.refusals.map((refusal) => refusal.reason))).toEqual(new Set([reason]))
    expect(server.connections).toEqual([])
    const raw = await openRaw(proxy.address)
    await raw.end()
    server.connections.length = 0
  })

  test('who says nothing, or not enough, is not waited for', async () => {
    await withProxy(
      server.upstream,
      async (impatient) => {
        const raw = await openRaw(impatient.address)
        const start = startup(user)
        await Promise.all(
          [0, 3, 9, start.length].map((bytes) => knock(impatient.address.port, start.subarray(0, bytes))),
        )
        const reasons = impatient.refusals.map(({ reason }) => reason)
        expect(reasons).toEqual(Array.from({ length: 4 }, () => 'the client did not say who it is in time'))
        // A session that lives is not meant.
        expect((await raw.exchange(build.query('select canary'))).map(({ type }) => type)).toEqual(['C', 'Z'])
        await raw.end()
      },
      { limits: { startupMs: 150 } },
    )
  })

  test('more connections than there may be', async () => {
    await withProxy(
      server.upstream,
      async (small) => {
        const raws = await Promise.all(Array.from({ length: 5 }, () => openRaw(small.address)))
        await expect(openRaw(small.address)).rejects.toMatchObject({ code: '53300' })
        expect(small.refusals.map(({ reason }) => reason)).toEqual(['too many connections'])
        await raws[0]?.end()
        await until(() => small.pids().length === 4)
        const again = await openRaw(small.address)
        await Promise.all([...raws.slice(1), again].map((raw) => raw.end()))
      },
      { limits: { connections: 5 } },
    )
  })

  test('200 that say nothing do not keep the proxy from closing', async () => {
    const sockets = Array.from({ length: 220 }, () =>
      net
        .connect(proxy.address.port, '127.0.0.1')
        .on('error', () => undefined)
        .resume(),
    )
    await until(() => proxy.refusals.filter(({ reason }) => reason === 'too many connections').length >= 20)
    await proxy.close()
    await until(() => sockets.every((socket) => socket.closed))
  })

  test.each([1, 2, 3])('garbage of every kind, seed %i', async (seed) => {
    const random = new Random(seed)
    const valid = Buffer.concat([startup(user), build.password(text('SCRAM-SHA-256')), build.query('select 1')])
    const attempts = Array.from({ length: 60 }, async () => {
      const bytes = Buffer.from(valid.subarray(0, random.int(1, valid.length)))
      for (let i = random.int(1, 4); i > 0; i--) bytes[random.int(0, bytes.length - 1)] = random.int(0, 255)
      await knock(proxy.address.port, bytes, random.int(1, 9), true)
    })
    await Promise.all(attempts)
    expect(proxy.sessions).toEqual([])
    expect(proxy.refusals.length).toBeGreaterThanOrEqual(60)
    const raw = await openRaw(proxy.address)
    await raw.end()
  })
})

describe.each<[string, Interposer | null]>([
  ['as usual', null],
  ['with an interposer', watching],
])('in a session, %s', (_, interpose) => {
  const options = interpose ? { interpose } : {}

  test.each<[string, number[], string]>([
    ['a length of 0', [0x51, 0, 0, 0, 0], 'length 0'],
    ['a length of 3', [0x42, 0, 0, 0, 3], 'length 3'],
    ['a negative length', [0x50, 0xff, 0xff, 0xff, 0xff], 'length -1'],
    ['a length of 2^31', [0x64, 0x80, 0, 0, 0], 'length -2147483648'],
    ['a length of 2^31 - 1', [0x51, 0x7f, 0xff, 0xff, 0xff], 'length 2147483647'],
    ['an unknown type', [0x21, 0, 0, 0, 4], 'unknown type 0x21'],
    ['a NUL', [0, 0, 0, 0, 0, 0, 0], 'unknown type 0x00'],
  ])('the client sends %s, in one piece and byte by byte', async (_case, bytes, reason) => {
    const server = await fakeServer(obliging)
    await withProxy(
      server.upstream,
      async (proxy) => {
        const bystander = await openRaw(proxy.address)
        for (const size of [bytes.length, 1]) {
          const raw = await openRaw(proxy.address)
          raw.socket.setNoDelay(true)
          for (let at = 0; at < bytes.length && raw.socket.writable; at += size) {
            raw.send(Buffer.from(bytes.slice(at, at + size)))
            await new Promise((resolve) => setTimeout(resolve, 1))
          }
          expect((await raw.next())?.type).toBe('E')
          await raw.next().catch(() => null)
        }
        await until(() => proxy.pids().length === 1)
        expect(proxy.sessions.slice(1).map(({ trouble }) => trouble)).toEqual(
          Array.from({ length: 2 }, () => `malformed message: ${reason} from the client`),
        )
        expect((await bystander.exchange(build.query('select canary'))).map(({ type }) => type)).toEqual(['C', 'Z'])
        expect(proxy.sessions[0]?.trouble).toBeNull()
        await bystander.end()
      },
      options,
    )
    await server.close()
  })

  test.each<[string, Buffer, RegExp]>([
    ['a length of 0', Buffer.from([0x44, 0, 0, 0, 0]), /^malformed message: length 0 from the server$/],
    ['a negative length', Buffer.from([0x44, 0xff, 0, 0, 0]), /^malformed message: length -16777216 from the server$/],
    ['a notice of length 1', Buffer.from([0x4e, 0, 0, 0, 1]), /^malformed message: length 1 from the server$/],
    [
      'a ReadyForQuery of 1 GB',
      Buffer.from([0x5a, 0x40, 0, 0, 0]),
      /^malformed message: length 1073741824 from the server$/,
    ],
    ['an unknown type', Buffer.from([0x7f, 0, 0, 0, 4]), /^malformed message: unknown type 0x7f from the server$/],
    ['half a message and the end', Buffer.from([0x44, 0, 0, 1, 0, 1, 2]), /^the server closed the connection$/],
  ])('the server sends %s', async (_case, bytes, trouble) => {
    const server = await fakeServer((socket) => socket.once('data', () => socket.end(bytes)))
    await withProxy(
      server.upstream,
      async (proxy) => {
        const raw = await openRaw(proxy.address)
        raw.send(build.query('select 1'))
        for (let each = await raw.next().catch(() => null); each; each = await raw.next().catch(() => null));
        await until(() => proxy.pids().length === 0)
        expect(proxy.sessions[0]?.trouble).toMatch(trouble)
        expect(proxy.sessions[0]?.exchanges).toMatchObject([{ readyMs: null, after: null }])
      },
      options,
    )
    await server.close()
  })

  test('answers that nobody asked for, empty and senseless ones, are passed on and change nothing', async () => {
    const odd = Buffer.concat([
      ...Array.from('123nsIcT', (type) => frame(type)),
      ...Array.from('CEDdVtSAGHW', (type) => frame(type)),
      frame('C', Buffer.from('no zero byte')),
      frame('E', Buffer.from('Sno end')),
      frame('S', text('application_name')),
      frame('Z'),
      frame('Z', Buffer.from('?')),
    ])
    const server = await fakeServer((socket) => {
      socket.write(odd)
      obliging(socket)
    })
    await withProxy(
      server.upstream,
      async (proxy) => {
        const raw = await openRaw(proxy.address)
        raw.send(build.query('select canary'))
        let last = ''
        for (let each = await raw.next(); each; each = await raw.next()) {
          const before = last
          last = each.type
          if (before === 'C' && each.type === 'Z') break
        }
        await until(() => proxy.inFlightSinceMs === null)
        expect(proxy.sessions[0]?.trouble).toBeNull()
        await raw.end()
      },
      options,
    )
    await server.close()
  })

  test.each([1, 2, 3, 4])('several hundred broken conversations, seed %i', async (seed) => {
    const random = new Random(seed)
    const bytesOf = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random.int(0, 255)))
    const clientFrames = (): Buffer => {
      const valid = [
        build.query('select canary'),
        build.parse('select $1', 'a', [23]),
        build.bind(['1', null], 'a', 'b'),
        build.describe('P', 'b'),
        build.execute('b'),
        build.close('S', 'a'),
        build.flush(),
        build.sync(),
        build.copyData(bytesOf(20)),
        build.copyDone(),
        build.copyFail('x'),
        frame('F', bytesOf(9)),
        frame('Q'),
        frame('B'),
        frame('P'),
        frame('D'),
        frame('C'),
        frame('E'),
        frame('p', bytesOf(3)),
      ]
      return Buffer.concat(
        Array.from({ length: random.int(1, 12) }, () => valid[random.int(0, valid.length - 1)] ?? build.sync()),
      )
    }
    const serverFrames = (): Buffer =>
      Buffer.concat(
        Array.from({ length: random.int(1, 10) }, () =>
          frame(
            '123nsICEDdTtVSNAGHWZc'[random.int(0, 20)] ?? 'Z',
            random.int(0, 1) ? bytesOf(random.int(0, 30)) : Buffer.alloc(0),
          ),
        ),
      )
    const mutate = (bytes: Buffer): Buffer => {
      const copy = Buffer.from(bytes)
      if (random.int(0, 2) > 0) copy[random.int(0, copy.length - 1)] = random.int(0, 255)
      return random.int(0, 3) === 0 ? copy.subarray(0, random.int(1, copy.length)) : copy
    }
    const server = await fakeServer((socket) => {
      obliging(socket)
      socket.on('data', (chunk: Buffer) => {
        if (!chunk.includes('canary') && random.int(0, 2) > 0) socket.write(mutate(serverFrames()))
        if (random.int(0, 30) === 0) socket.destroy()
      })
    }, welcome(1))
    await withProxy(
      server.upstream,
      async (proxy) => {
        const CONVERSATIONS = 100
        for (let batch = 0; batch < CONVERSATIONS; batch += 20)
          await Promise.all(
            Array.from({ length: 20 }, async () => {
              const raw = await openRaw(proxy.address)
              raw.detach()
              raw.socket.on('error', () => undefined).resume()
              for (let i = random.int(1, 4); i > 0 && raw.socket.writable; i--) {
                raw.socket.write(mutate(clientFrames()))
                await new Promise((resolve) => setTimeout(resolve, random.int(0, 2)))
              }
              raw.socket.end()
            }),
          )
        // None hangs, and each has an end.
        await until(() => proxy.pids().length === 0)
        expect(proxy.sessions).toHaveLength(CONVERSATIONS)
        expect(proxy.sessions.every(({ endedMs }) => endedMs !== null)).toBe(true)
        // A byte in a hundred thousand makes a Terminate of what was broken otherwise: that one has said goodbye.
        expect(proxy.sessions.filter(({ trouble }) => trouble === null).length).toBeLessThan(CONVERSATIONS / 10)
        expect(proxy.sessions.some(({ trouble }) => trouble?.startsWith('malformed message'))).toBe(true)
        expect(proxy.sessions.filter(({ trouble }) => trouble?.includes('internal') === true)).toEqual([])
        await until(() => proxy.inFlightSinceMs === null)
      },
      options,
    )
    await server.close()
  })
})
