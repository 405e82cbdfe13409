import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startClock } from '../../src/clock.js'
import { connect, disconnect, type Sql } from '../../src/pg/connect.js'
import { FrameReader, Tap } from '../../src/wire/tap.js'
import { startServer, type TestServer } from '../support/postgres.js'

/** One frame of the protocol: type, length of itself and the payload, payload. */
const frame = (type: string, payload: Buffer | string = ''): Buffer => {
  const body = Buffer.from(payload)
  const head = Buffer.alloc(5)
  head.write(type, 0, 'latin1')
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

const read = (chunks: Buffer[]): string[] => {
  const seen: string[] = []
  const reader = new FrameReader((type, first) => seen.push(`${String.fromCharCode(type)}${first}`))
  for (const chunk of chunks) reader.push(chunk)
  return seen
}

/** Cuts at every `size` bytes. */
const cut = (bytes: Buffer, size: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))

describe('FrameReader', () => {
  const conversation = Buffer.concat([
    frame('T', 'x'.repeat(37)),
    frame('D', 'row'),
    frame('I'),
    frame('C', 'SELECT 1\0'),
    frame('N', Buffer.alloc(300_000, 'Z')),
    // A payload that looks like frames must not be taken for one.
    frame('D', frame('Z', 'E')),
    frame('n'),
    frame('E', 'SERROR\0'),
    frame('Z', 'T'),
    frame('1'),
    frame('Z', 'I'),
  ])
  const expected = ['T120', 'D114', 'I0', 'C83', 'N90', 'D90', 'n0', 'E83', 'Z84', '10', 'Z73']

  it.each([1, 2, 3, 4, 5, 6, 7, 11, 64, 1_000, 65_536, 10_000_000])('reads the same in pieces of %i bytes', (size) => {
    expect(read(cut(conversation, size))).toEqual(expected)
  })

  it('reads the same wherever the stream is cut in two', () => {
    const short = Buffer.concat([frame('C', 'DO\0'), frame('I'), frame('Z', 'T'), frame('E', 'S'), frame('Z', 'E')])
    for (let at = 0; at <= short.length; at++)
      expect(read([short.subarray(0, at), short.subarray(at)]), `cut at ${at}`).toEqual([
        'C68',
        'I0',
        'Z84',
        'E83',
        'Z69',
      ])
  })

  it('tells of a frame as soon as its first payload byte is there, and of an empty one after its header', () => {
    const seen: number[] = []
    const reader = new FrameReader((type) => seen.push(type))
    const row = frame('D', 'abc')
    reader.push(row.subarray(0, 5))
    expect(seen).toEqual([])
    reader.push(row.subarray(5, 6))
    expect(seen).toEqual([0x44])
    reader.push(Buffer.concat([row.subarray(6), frame('1')]))
    expect(seen).toEqual([0x44, 0x31])
  })

  it('skips the payload of a frame of a gigabyte without keeping it', () => {
    const seen: string[] = []
    const reader = new FrameReader((type, first) => seen.push(`${String.fromCharCode(type)}${first}`))
    const size = 2 ** 30 + 12_345
    const head = Buffer.alloc(5)
    head.write('D')
    head.writeUInt32BE(size + 4, 1)
    reader.push(head)
    const piece = Buffer.alloc(2 ** 20, 'Z')
    for (let left = size; left > 0; left -= piece.length) reader.push(piece.subarray(0, Math.min(left, piece.length)))
    reader.push(frame('Z', 'I'))
    expect(seen).toEqual(['D90', 'Z73'])
  })

  it('reads a length beyond 2^31 as unsigned', () => {
    const seen: number[] = []
    const reader = new FrameReader((type) => seen.push(type))
    reader.push(Buffer.from([0x44, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]))
    reader.push(frame('Z', 'I'))
    expect(seen).toEqual([0x44])
  })
})

describe('Tap on a real connection', () => {
  let server: TestServer
  let tap: Tap
  let sql: Sql
  const clock = startClock()

  beforeAll(async () => {
    server = await startServer()
    tap = new Tap(clock)
    sql = connect(server.migrate, {
      applicationName: 'tap',
      socket: () => tap.connect(server.migrate.host, server.migrate.port),
    })
    await sql.unsafe('create table t (id int primary key)').simple()
  })
  afterAll(async () => {
    await disconnect(sql)
    await server.stop()
  })

  const exchange = async (text: string) => {
    tap.expect()
    await sql
      .unsafe(text)
      .simple()
      .catch(() => undefined)
    return tap.take()
  }

  it.each([
    ['select 1', { status: 'I', completed: 1, failed: false }],
    ['', { status: 'I', completed: 1, failed: false }],
    ['-- nothing', { status: 'I', completed: 1, failed: false }],
    ['select 1; select 2; select 3', { status: 'I', completed: 3, failed: false }],
    ['select 1; select 2; select 1/0; select 4', { status: 'I', completed: 2, failed: true }],
    ['selekt', { status: 'I', completed: 0, failed: true }],
    ['begin', { status: 'T', completed: 1, failed: false }],
    ["select repeat('x', 3000000)", { status: 'T', completed: 1, failed: false }],
    ['insert into t values (1)', { status: 'T', completed: 1, failed: false }],
    ['insert into t values (1)', { status: 'E', completed: 0, failed: true }],
    ['select 1', { status: 'E', completed: 0, failed: true }],
    ['commit', { status: 'I', completed: 1, failed: false }],
  ] as const)('%j', async (text, expected) => {
    const before = clock.nowMs()
    const got = await exchange(text)
    const after = clock.nowMs()
    expect(got).toMatchObject(expected)
    expect(tap.status).toBe(expected.status)
    if (!got) throw new Error('no exchange')
    expect(got.sentMs).toBeGreaterThanOrEqual(before)
    expect(got.readyMs).toBeGreaterThanOrEqual(got.sentMs)
    expect(got.readyMs).toBeLessThanOrEqual(after)
  })

  it('knows since when a request is under way, and calls back when its first byte leaves', async () => {
    expect(tap.inFlightSinceMs).toBeNull()
    const calls: (number | null)[] = []
    tap.onSend = () => calls.push(tap.inFlightSinceMs)
    const done = exchange('select pg_sleep(0.05)')
    await new Promise((resolve) => setTimeout(resolve, 10))
    expect(calls).toHaveLength(1)
    expect(tap.inFlightSinceMs).toBe(calls[0])
    const got = await done
    tap.onSend = null
    expect(got?.sentMs).toBe(calls[0])
    expect((got?.readyMs ?? 0) - (got?.sentMs ?? 0)).toBeGreaterThanOrEqual(49)
    expect(tap.inFlightSinceMs).toBeNull()
  })

  it('keeps only announced exchanges', async () => {
    await exchange('select 1')
    const first = tap.take()
    await sql.unsafe('select 1; select 2').simple()
    expect(tap.take()).toEqual(first)
    tap.expect()
    expect(tap.take()).toBeNull()
    await sql.unsafe('select 1').simple()
  })

  it('has no exchange when the server ends the connection', async () => {
    const own = new Tap(clock)
    const victim = connect(server.migrate, {
      applicationName: 'victim',
      socket: () => own.connect(server.migrate.host, server.migrate.port),
    })
    await victim.unsafe('select 1').simple()
    own.expect()
    await expect(victim.unsafe('select pg_terminate_backend(pg_backend_pid())').simple()).rejects.toThrow()
    expect(own.take()).toBeNull()
    await disconnect(victim)
  })

  it('passes an error of connecting on', async () => {
    await expect(new Tap(clock).connect('127.0.0.1', 1)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})
