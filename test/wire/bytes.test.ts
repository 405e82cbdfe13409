/** What goes through: every byte of the client, every byte of the server but the notices that are ours, and no more memory. */
import { createHash } from 'node:crypto'
import type net from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { build, openRaw, payloadOf, type RawConnection } from '../../src/wire/client.js'
import { clientLimit, frame, FrameReader, serverLimit, text } from '../../src/wire/frames.js'
import { readDataRow, readServerMessage } from '../../src/wire/messages.js'
import { NOTICE_BYTES, NoticeFilter } from '../../src/wire/notice-filter.js'
import { Random } from '../../src/traffic/random.js'
import { startServer, type TestServer } from '../support/postgres.js'
import { fakeServer, until, withProxy } from './support.js'

const noticeOf = (severity: string, message: string, detail = ''): Buffer =>
  frame(
    'N',
    ...[`S${severity}`, `V${severity}`, 'C00000', `M${message}`, ...(detail === '' ? [] : [`D${detail}`])].map(text),
    text(''),
  )

const bytesOf = (random: Random, length: number): Buffer =>
  Buffer.from(Array.from({ length }, () => random.int(0, 255)))

/** Cuts bytes at random, often within the first bytes of a frame. */
function* pieces(bytes: Buffer, random: Random): Generator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const step = random.int(0, 3) === 0 ? random.int(1, 70_000) : random.int(1, 7)
    yield bytes.subarray(at, at + step)
    at += step
  }
}

const collect = (socket: net.Socket): { bytes: () => Buffer } => {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk)).resume()
  return { bytes: () => Buffer.concat(chunks) }
}

/** A client whose socket is ours, past its authentication. */
async function bare(raw: RawConnection): Promise<net.Socket> {
  const rest = raw.detach()
  expect(rest).toHaveLength(0)
  raw.socket.on('error', () => undefined)
  return Promise.resolve(raw.socket)
}

describe('FrameReader', () => {
  test('reads the same frames however the stream is cut, and keeps what it was told to', () => {
    const random = new Random(7)
    const frames = Array.from({ length: 300 }, () => {
      const type = 'TDdCENZSt'[random.int(0, 8)] ?? 'D'
      return frame(type, bytesOf(random, random.int(0, 20) === 0 ? random.int(0, 20_000) : random.int(0, 12)))
    })
    const stream = Buffer.concat(frames)
    for (const keep of [0, 3, Infinity]) {
      const seen: Buffer[] = []
      const sizes: number[] = []
      const reader = new FrameReader({
        keep: () => keep,
        limit: serverLimit,
        onFrame: ({ bytes, size }) => {
          seen.push(Buffer.from(bytes))
          sizes.push(size)
        },
      })
      for (const piece of pieces(stream, random)) reader.push(piece, 0)
      expect(seen).toEqual(frames.map((bytes) => bytes.subarray(0, 5 + keep)))
      expect(sizes).toEqual(frames.map(({ length }) => length - 5))
      expect(reader.isInside).toBe(false)
    }
  })

  test('knows when a frame began and when it ended', () => {
    const times: number[][] = []
    const reader = new FrameReader({
      keep: () => 0,
      limit: serverLimit,
      onFrame: ({ startedMs }, endedMs) => times.push([startedMs, endedMs]),
    })
    const bytes = Buffer.concat([frame('D', Buffer.alloc(10)), frame('C'), frame('Z', Buffer.from('I'))])
    reader.push(bytes.subarray(0, 3), 1)
    reader.push(bytes.subarray(3, 9), 2)
    reader.push(bytes.subarray(9, 18), 3)
    reader.push(bytes.subarray(18), 4)
    expect(times).toEqual([
      [1, 3],
      [3, 4],
      [4, 4],
    ])
  })

  test.each([
    ['a length of 0', [0x51, 0, 0, 0, 0], 'length 0'],
    ['a length of 3', [0x51, 0, 0, 0, 3], 'length 3'],
    ['a negative length', [0x51, 0xff, 0xff, 0xff, 0xff], 'length -1'],
    ['a length of 2^31', [0x51, 0x80, 0, 0, 0], 'length -2147483648'],
    ['a length of 2^31 - 1', [0x51, 0x7f, 0xff, 0xff, 0xff], 'length 2147483647'],
    ['a Sync of 1 MB', [0x53, 0, 0x10, 0, 0], 'length 1048576'],
    ['an unknown type', [0x00, 0, 0, 0, 4], 'unknown type 0x00'],
    ['a type of the other side', [0x5a, 0, 0, 0, 5], 'unknown type 0x5a'],
  ])('refuses %s, in one piece and byte by byte', (_, bytes, reason) => {
    for (const size of [5, 1]) {
      const reader = new FrameReader({ keep: () => 9, limit: clientLimit, onFrame: () => undefined })
      expect(() => {
        for (let at = 0; at < bytes.length; at += size) reader.push(Buffer.from(bytes.slice(at, at + size)), 0)
      }).toThrow(`malformed message: ${reason}`)
    }
  })
})

describe('NoticeFilter', () => {
  const run = (stream: Buffer, cut: (bytes: Buffer) => Iterable<Buffer>) => {
    const filter = new NoticeFilter(({ severity }) => severity === 'LOG')
    const out: Buffer[] = []
    for (const piece of cut(stream)) out.push(...filter.push(piece, 0))
    const taken: string[] = []
    for (let notice = filter.take(); notice; notice = filter.take())
      taken.push(`${notice.heldBack ? '-' : '+'}${notice.message}`)
    return { out: Buffer.concat(out), taken }
  }

  test.each([1, 2, 3, 4, 5, 6, 7])('takes out what is ours and nothing else, in random pieces, seed %i', (seed) => {
    const random = new Random(seed)
    const parts: { bytes: Buffer; kept: boolean; message?: string }[] = []
    for (let i = 0; i < 200; i++) {
      const kind = random.int(0, 5)
      // A long DETAIL is decided about before its end is there.
      const detail = random.int(0, 9) === 0 ? 'x'.repeat(random.int(NOTICE_BYTES - 60, 3 * NOTICE_BYTES)) : ''
      if (kind === 0) parts.push({ bytes: noticeOf('LOG', `log ${i}`, detail), kept: false, message: `-log ${i}` })
      else if (kind === 1) parts.push({ bytes: noticeOf('NOTICE', `n ${i}`, detail), kept: true, message: `+n ${i}` })
      // A payload that looks like one of our notices.
      else if (kind === 2) parts.push({ bytes: frame('D', noticeOf('LOG', 'inside')), kept: true })
      else parts.push({ bytes: frame('d', bytesOf(random, random.int(0, 40))), kept: true })
    }
    const stream = Buffer.concat(parts.map(({ bytes }) => bytes))
    const expected = {
      out: Buffer.concat(parts.filter(({ kept }) => kept).map(({ bytes }) => bytes)),
      taken: parts.flatMap(({ message }) => message ?? []),
    }
    for (const cut of [(bytes: Buffer) => pieces(bytes, random), (bytes: Buffer) => [bytes]]) {
      const got = run(stream, cut)
      expect(got.out.equals(expected.out)).toBe(true)
      expect(got.taken).toEqual(expected.taken)
    }
  })

  test('passes on at once what is no notice, also the beginning of a header', () => {
    const filter = new NoticeFilter(() => true)
    const bytes = frame('D', Buffer.from('row'))
    for (const byte of bytes) expect(Buffer.concat(filter.push(Buffer.from([byte]), 0))).toEqual(Buffer.from([byte]))
    expect(filter.push(Buffer.from('N'), 0)).toEqual([])
  })
})

describe('through the proxy', () => {
  test('the bytes of the client arrive as they were sent', async () => {
    const random = new Random(11)
    const server = await fakeServer()
    await withProxy(server.upstream, async (proxy) => {
      const raw = await openRaw(proxy.address)
      const socket = await bare(raw)
      const sent: Buffer[] = []
      for (let i = 0; i < 400; i++)
        sent.push(
          [
            () => build.query(`select ${i}`),
            () => build.parse(`select $1 -- ${'ü'.repeat(random.int(0, 50))}`, `s${i}`, [23, 4_000_000_000]),
            () => build.bind(['a', null, 'c'], `s${i}`, `p${i}`),
            () => build.describe('P', `p${i}`),
            () => build.execute(`p${i}`, 10),
            () => build.close('S', `s${i}`),
            () => build.copyData(bytesOf(random, random.int(0, 3_000))),
            () => build.sync(),
            () => build.flush(),
            () => frame('F', bytesOf(random, 30)),
            () => build.copyFail('because'),
            () => build.copyDone(),
          ][random.int(0, 11)]?.() ?? build.sync(),
        )
      // Nonsense inside a frame is the server's business.
      sent.push(
        frame('B', bytesOf(random, 200)),
        frame('P', Buffer.from('no zero byte')),
        frame('E'),
        frame('C'),
        frame('D'),
      )
      const all = Buffer.concat(sent)
      for (const piece of pieces(all, random)) {
        socket.write(piece)
        if (random.int(0, 40) === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      const connection = server.connections[0]
      await until(() => (connection?.received.reduce((sum, { length }) => sum + length, 0) ?? 0) >= all.length)
      expect(Buffer.concat(connection?.received ?? []).equals(all)).toBe(true)
      expect(proxy.sessions[0]?.trouble).toBeNull()
      socket.destroy()
    })
    await server.close()
  })

  test('the startup parameters arrive, with user and database of the server', async () => {
    const server = await fakeServer()
    await withProxy(server.upstream, async (proxy) => {
      const parameters = { application_name: 'tool', search_path: 'a, b', options: '-c x=y' }
      const raw = await openRaw(proxy.address, parameters)
      await raw.end()
      const startup = server.connections[0]?.startup.toString('utf8', 8).split('\0') ?? []
      const pairs: Record<string, string> = {}
      for (let i = 0; startup[i]; i += 2) pairs[startup[i] ?? ''] = startup[i + 1] ?? ''
      expect(pairs).toEqual({ ...parameters, user: 'owner', database: 'rehearsal' })
    })
    await server.close()
  })

  test('the client gets the pid of the server and a key that is not the key of the server', async () => {
    const server = await fakeServer()
    await withProxy(server.upstream, async (proxy) => {
      const raw = await openRaw(proxy.address)
      expect(raw.pid).toBe(4711)
      expect(raw.key).toHaveLength(4)
      expect(raw.key).not.toEqual(Buffer.from('abcd'))
      await raw.cancel()
      expect(server.cancels).toEqual([build.cancelRequest(4711, Buffer.from('abcd'))])
      await raw.end()
    })
    await server.close()
  })

  test('a notice in the greeting is decided about as well', async () => {
    const greeting = (notices: Buffer[]): Buffer =>
      Buffer.concat([frame('R', Buffer.alloc(4)), ...notices, frame('Z', Buffer.from('I'))])
    const server = await fakeServer(() => undefined, greeting([noticeOf('LOG', 'ours'), noticeOf('WARNING', 'theirs')]))
    await withProxy(server.upstream, async (proxy) => {
      const raw = await openRaw(proxy.address)
      const messages = raw.greeting.map((each) => readServerMessage(payloadOf(each), 0).message)
      expect(messages).toEqual(['theirs'])
      expect(proxy.sessions[0]?.notices.map(({ message, heldBack }) => [message, heldBack])).toEqual([
        ['ours', true],
        ['theirs', false],
      ])
      await raw.end()
    })
    await server.close()
  })

  test('a client that does not read stops the server, and a server that does not read stops the client', async () => {
    const BLOCK = Buffer.alloc(64 * 1024)
    /** Writes until the kernel has refused for a while; returns how much it took. */
    const flood = async (socket: net.Socket, block: Buffer): Promise<number> => {
      let written = 0
      while (written < 200e6) {
        if (!socket.write(block)) {
          const drained = new Promise((resolve) => socket.once('drain', () => resolve(true)))
          const waited = new Promise((resolve) => setTimeout(() => resolve(false), 500))
          if (!(await Promise.race([drained, waited]))) break
        }
        written += block.length
      }
      return written
    }
    const server = await fakeServer()
    await withProxy(server.upstream, async (proxy) => {
      const client = await bare(await openRaw(proxy.address))
      const upstream = server.connections[0]?.socket
      if (!upstream) throw new Error('no connection')
      client.pause()
      // Kernel buffers of two connections, and no more than that again.
      expect(await flood(upstream, frame('d', BLOCK))).toBeLessThan(40e6)
      upstream.pause()
      expect(await flood(client, frame('d', BLOCK))).toBeLessThan(40e6)
      // Both go on.
      const [toClient, toServer] = [collect(client), collect(upstream)]
      await until(() => toClient.bytes().length > 1e6 && toServer.bytes().length > 1e6)
      expect(proxy.sessions[0]?.trouble).toBeNull()
      client.destroy()
    })
    await server.close()
  })
})

describe('COPY of 100 MB', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server.stop())

  test('in and out, byte for byte, in flat memory', async () => {
    const random = new Random(5)
    const LINES = 1_000
    // Lines of 100 bytes, in blocks that do not end with one.
    const block = Buffer.from(
      Array.from({ length: LINES }, () => `${random.int(1e8, 9e8)}\t${'z'.repeat(89)}\n`).join(''),
    )
    const blocks = Math.ceil(100e6 / block.length)
    await withProxy(server.migrate, async (proxy) => {
      const raw = await openRaw(proxy.address)
      await raw.exchange(build.query('create unlogged table big (id bigint, v text)'))
      raw.send(build.query('copy big from stdin'))
      while ((await raw.next())?.type !== 'G');
      const before = process.memoryUsage()
      let peak = 0
      const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().arrayBuffers)), 10)
      const sent = createHash('sha256')
      for (let i = 0; i < blocks; i++) {
        sent.update(block)
        for (const cut of [block.subarray(0, 33_333), block.subarray(33_333)])
          if (!raw.send(build.copyData(cut))) await new Promise((resolve) => raw.socket.once('drain', resolve))
      }
      raw.send(build.copyDone())
      while ((await raw.next())?.type !== 'Z');
      expect(peak - before.arrayBuffers).toBeLessThan(50e6)

      peak = 0
      raw.send(build.query('copy big to stdout'))
      const received = createHash('sha256')
      let size = 0
      for (;;) {
        const each = await raw.next()
        if (each === null || each.type === 'Z') break
        if (each.type !== 'd') continue
        received.update(payloadOf(each))
        size += each.size
      }
      clearInterval(watch)
      expect(peak - before.arrayBuffers).toBeLessThan(50e6)
      expect(size).toBe(blocks * block.length)
      expect(received.digest('hex')).toBe(sent.digest('hex'))
      const count = (await raw.exchange(build.query('select count(*) from big'))).find(({ type }) => type === 'D')
      expect(count && readDataRow(payloadOf(count))).toEqual([String(blocks * LINES)])
      expect(proxy.sessions[0]?.exchanges.slice(1, 3).map(({ commands }) => commands[0])).toMatchObject([
        { completed: [{ tag: `COPY ${blocks * LINES}` }], copiedInBytes: size, copiedOutBytes: 0 },
        { completed: [{ tag: `COPY ${blocks * LINES}` }], copiedInBytes: 0, copiedOutBytes: size },
      ])
      await raw.end()
    })
  })

  test('a Query of 20 MB reaches the server whole and the record cut off', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const raw = await openRaw(proxy.address)
      const text = `select length('${'x'.repeat(20e6)}')`
      const answer = (await raw.exchange(build.query(text))).find(({ type }) => type === 'D')
      expect(answer && readDataRow(payloadOf(answer))).toEqual(['20000000'])
      const kept = proxy.sessions[0]?.exchanges[0]?.commands[0]?.sql ?? ''
      expect(kept).toHaveLength(16 * 2 ** 20)
      expect(text.startsWith(kept)).toBe(true)
      await raw.end()
    })
  })
})
