/** What is written down of messages that no driver makes so clear: batches, pipelines, COPY, errors in the middle. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { build, openRaw, type RawConnection } from '../../src/wire/client.js'
import { frame, int32 } from '../../src/wire/frames.js'
import type { Proxy } from '../../src/wire/proxy.js'
import type { Exchange } from '../../src/wire/types.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { until, withRaw } from './support.js'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
  const owner = connect(server.migrate)
  await owner.unsafe('create table t (id int primary key, v text)')
  await owner.end()
})
afterAll(() => server.stop())

const { parse, bind, describe: about, execute, sync, flush, close, query, copyData, copyDone, copyFail } = build

/** Sends everything at once and waits for so many ReadyForQuery. */
async function all(raw: RawConnection, messages: Buffer[], ready = 1): Promise<string> {
  raw.send(Buffer.concat(messages))
  let types = ''
  for (let left = ready; left > 0;) {
    const each = await raw.next()
    if (each === null) throw new Error(`the connection ended after ${types}`)
    types += each.type
    if (each.type === 'Z') left--
  }
  return types
}

const once = (sql: string): Buffer[] => [parse(sql), bind(), about('P'), execute()]

/** Everything that does not depend on time. */
const told = ({ before, after, commands, error, readyMs }: Exchange): unknown => ({
  status: `${before}${after ?? '-'}`,
  commands: commands.map(
    (each) =>
      `${each.sql} -> ${each.completed.map(({ tag }) => tag).join(', ')}${each.error ? `! ${each.error.sqlstate}` : ''}`,
  ),
  ...(error ? { error: error.sqlstate } : {}),
  ...(readyMs === null ? { open: true } : {}),
})
const story = (proxy: Proxy): unknown[] => (proxy.sessions[0]?.exchanges ?? []).map(told)

test('several Sync at once: each exchange has its own answer and status', async () => {
  await withRaw(server.migrate, async (raw, proxy) => {
    await all(
      raw,
      [
        ...once('begin'),
        sync(),
        ...once('select 1'),
        ...once('select 2'),
        sync(),
        ...once('commit'),
        sync(),
        query('select 3'),
      ],
      4,
    )
    expect(story(proxy)).toEqual([
      { status: 'IT', commands: ['begin -> BEGIN'] },
      { status: 'TT', commands: ['select 1 -> SELECT 1', 'select 2 -> SELECT 1'] },
      { status: 'TI', commands: ['commit -> COMMIT'] },
      { status: 'II', commands: ['select 3 -> SELECT 1'] },
    ])
  })
})

test('an error in a batch belongs to its command; the rest is passed over until Sync', async () => {
  await withRaw(server.migrate, async (raw, proxy) => {
    await all(
      raw,
      [...once('select 1'), ...once('select 1/0'), ...once('select 2'), sync(), ...once('select 3'), sync()],
      2,
    )
    expect(story(proxy)).toEqual([
      { status: 'II', commands: ['select 1 -> SELECT 1', 'select 1/0 -> ! 22012', 'select 2 -> '] },
      { status: 'II', commands: ['select 3 -> SELECT 1'] },
    ])
  })
})

test('an error of Parse belongs to the Execute that was sent with it, else to the exchange', async () => {
  await withRaw(server.migrate, async (raw, proxy) => {
    await all(raw, [...once('select * from nowhere'), sync()])
    raw.send(Buffer.concat([parse('selec 1'), flush()]))
    while ((await raw.next())?.type !== 'E');
    // Sent after the error is known: passed over as well.
    await all(raw, [bind(), execute(), sync()])
    expect(story(proxy)).toEqual([
      { status: 'II', commands: ['select * from nowhere -> ! 42P01'] },
      { status: 'II', commands: [' -> '], error: '42601' },
    ])
  })
})

test('a commit that fails at Sync belongs to the exchange', async () => {
  await withRaw(server.migrate, async (raw, proxy) => {
    await all(raw, [query('create table d (id int unique deferrable initially deferred); insert into d values (1)')])
    await all(raw, [...once('insert into d values (1)'), sync()])
    expect(story(proxy)[1]).toEqual({
      status: 'II',
      commands: ['insert into d values (1) -> INSERT 0 1'],
      error: '23505',
    })
  })
})

test('named statements and portals, portals in pieces, closing and replacing', async () => {
  await withRaw(server.migrate, async (raw, proxy) => {
    await all(
      raw,
      [
        query('begin'),
        parse('select generate_series(1, 3)', 's1'),
        parse('select 7', 's2'),
        bind([], 's1', 'p1'),
        bind([], 's2', 'p2'),
        execute('p1', 2),
        execute('p2'),
        execute('p1', 0),
        close('P', 'p1'),
        close('S', 's1'),
        sync(),
        // A name that is in use: the failed Parse leaves the old statement in place.
        parse('select 8', 's2'),
        sync(),
      ],
      3,
    )
    await all(raw, [query('rollback'), bind([], 's2'), execute(), sync()], 2)
    expect(story(proxy)).toEqual([
      { status: 'IT', commands: ['begin -> BEGIN'] },
      {
        status: 'TT',
        commands: [
          'select generate_series(1, 3) -> suspended',
          'select 7 -> SELECT 1',
          'select generate_series(1, 3) -> SELECT 1',
        ],
      },
      { status: 'TE', commands: [], error: '42P05' },
      { status: 'EI', commands: ['rollback -> ROLLBACK'] },
      { status: 'II', commands: ['select 7 -> SELECT 1'] },
    ])
  })
})

test('an empty query, a function call, a Sync alone', async () => {
  await withRaw(server.migrate, async (raw, proxy) => {
    // int4abs has the OID 1397.
    const call = frame('F', int32(1397), Buffer.from([0, 0, 0, 1]), int32(2), Buffer.from('-5'), Buffer.from([0, 0]))
    await all(raw, [query(''), ...once(''), sync(), call, sync(), frame('F', int32(1), Buffer.alloc(6))], 5)
    expect(story(proxy)).toEqual([
      { status: 'II', commands: [' -> '] },
      { status: 'II', commands: [' -> '] },
      { status: 'II', commands: [' -> '] },
      { status: 'II', commands: [] },
      { status: 'II', commands: [expect.stringMatching(/^ -> ! /)] },
    ])
    expect(
      proxy.sessions[0]?.exchanges.map(({ commands }) => [commands[0]?.protocol, commands[0]?.completed.length]),
    ).toEqual([
      ['simple', 1],
      ['extended', 1],
      ['function', 0],
      [undefined, undefined],
      ['function', 0],
    ])
  })
})

test('a Query inside a batch: with it, and passed over after an error', async () => {
  await withRaw(server.migrate, async (raw, proxy) => {
    await all(raw, [...once('select 1'), query('select 2')])
    await all(raw, [...once('select 1/0'), query('select 3'), sync()])
    // The server counts the two as one transaction that goes on, until the next Sync.
    expect(story(proxy)).toEqual([
      { status: 'IT', commands: ['select 1 -> SELECT 1', 'select 2 -> SELECT 1'] },
      { status: 'TI', commands: ['select 1/0 -> ! 22012', 'select 3 -> '] },
    ])
    expect(proxy.inFlightSinceMs).toBeNull()
  })
})

describe('COPY', () => {
  const ROWS = Buffer.from('1\ta\n2\tb\n')
  const told = (proxy: Proxy): unknown =>
    proxy.sessions[0]?.exchanges.map(({ commands, after }) => [
      after,
      ...commands.map(({ sql, completed, error, copiedInBytes, copiedOutBytes }) => [
        sql,
        error?.sqlstate ?? completed.map(({ tag }) => tag).join(', '),
        copiedInBytes,
        copiedOutBytes,
      ]),
    ])

  test('simple: in, out, and both among other statements', async () => {
    await withRaw(server.migrate, async (raw, proxy) => {
      await all(raw, [query('truncate t; copy t from stdin; select 1'), copyData(ROWS), copyDone()])
      await all(raw, [query('copy t to stdout')])
      expect(told(proxy)).toEqual([
        ['I', ['truncate t; copy t from stdin; select 1', 'TRUNCATE TABLE, COPY 2, SELECT 1', 8, 0]],
        ['I', ['copy t to stdout', 'COPY 2', 0, 8]],
      ])
    })
  })

  test.each<[string, Buffer[], unknown, number]>([
    ['the client gives up', [copyData(ROWS), copyFail('no')], '57014', 8],
    ['a row is wrong, and data still come', [copyData(Buffer.from('x\n')), copyData(ROWS), copyDone()], '22P02', 10],
  ])('simple: %s', async (_, data, sqlstate, bytes) => {
    await withRaw(server.migrate, async (raw, proxy) => {
      await all(raw, [query('truncate t')])
      raw.send(query('copy t from stdin'))
      while ((await raw.next())?.type !== 'G');
      await all(raw, data)
      await all(raw, [query('select 1')])
      expect(told(proxy)).toEqual([
        ['I', ['truncate t', 'TRUNCATE TABLE', 0, 0]],
        ['I', ['copy t from stdin', sqlstate, bytes, 0]],
        ['I', ['select 1', 'SELECT 1', 0, 0]],
      ])
    })
  })

  test.each([
    ['as libpq does: Sync sent before the data is not answered, the one behind it is', true],
    ['as the documentation says: Sync behind the data', false],
  ])('extended, %s', async (_, early) => {
    for (const waits of [true, false])
      await withRaw(server.migrate, async (raw, proxy) => {
        await all(raw, [query('truncate t')])
        const start = [...once('copy t from stdin'), ...(early ? [sync()] : [flush()])]
        const rest = [copyData(ROWS), copyDone(), sync()]
        if (waits) {
          raw.send(Buffer.concat(start))
          while ((await raw.next())?.type !== 'G');
          await all(raw, rest)
        } else await all(raw, [...start, ...rest])
        await all(raw, [query('select 1')])
        expect(told(proxy), waits ? 'waiting' : 'at once').toEqual([
          ['I', ['truncate t', 'TRUNCATE TABLE', 0, 0]],
          ['I', ['copy t from stdin', 'COPY 2', 8, 0]],
          ['I', ['select 1', 'SELECT 1', 0, 0]],
        ])
        expect(proxy.inFlightSinceMs).toBeNull()
      })
  })

  test('extended, with an error in the data', async () => {
    await withRaw(server.migrate, async (raw, proxy) => {
      raw.send(Buffer.concat([...once('copy t from stdin'), sync()]))
      while ((await raw.next())?.type !== 'G');
      await all(raw, [copyData(Buffer.from('x\n')), copyData(ROWS), copyDone(), sync()])
      await all(raw, [query('select 1')])
      expect(told(proxy)).toEqual([
        ['I', ['copy t from stdin', '22P02', 10, 0]],
        ['I', ['select 1', 'SELECT 1', 0, 0]],
      ])
    })
  })
})

test('times are in the order of things', async () => {
  await withRaw(server.migrate, async (raw, proxy) => {
    raw.send(Buffer.concat([...once('select pg_sleep(0.1)'), flush()]))
    while ((await raw.next())?.type !== 'C');
    expect(proxy.inFlightSinceMs).toBe(proxy.sessions[0]?.exchanges[0]?.sentMs)
    await all(raw, [...once('select 2'), sync()])
    const [exchange] = proxy.sessions[0]?.exchanges ?? []
    const [slow, fast] = exchange?.commands ?? []
    const times = [
      proxy.sessions[0]?.startedMs,
      exchange?.sentMs,
      exchange?.firstByteMs,
      slow?.firstByteMs,
      slow?.completed[0]?.atMs,
      fast?.sentMs,
      fast?.firstByteMs,
      fast?.completed[0]?.atMs,
      exchange?.readyMs,
    ].map((ms) => ms ?? NaN)
    expect(times).toEqual([...times].sort((a, b) => a - b))
    expect((slow?.completed[0]?.atMs ?? 0) - (slow?.sentMs ?? 0)).toBeGreaterThan(90)
  })
})

test('an exchange that the client leaves unfinished', async () => {
  await withRaw(server.migrate, async (_raw, proxy) => {
    const other = await openRaw(proxy.address)
    other.send(Buffer.concat([...once('select 1'), flush()]))
    while ((await other.next())?.type !== 'C');
    await other.end()
    await until(() => proxy.pids().length === 1)
    expect(proxy.sessions[1]?.exchanges.map(told)).toEqual([
      { status: 'I-', commands: ['select 1 -> SELECT 1'], open: true },
    ])
    expect(proxy.inFlightSinceMs).toBeNull()
  })
})
