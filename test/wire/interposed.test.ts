/** The quiet pass's way: one exchange after the other, questions in between, and messages taken apart. */
import pg from 'pg'
import postgres from 'postgres'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { build, openRaw, payloadOf, type Frame, type RawConnection } from '../../src/wire/client.js'
import { cString, readServerMessage } from '../../src/wire/messages.js'
import type { Proxy } from '../../src/wire/proxy.js'
import type { Exchange, Interposer, Pending } from '../../src/wire/types.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { fakeServer, until, withProxy, withRaw } from './support.js'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
  const admin = connect(server.admin)
  await admin.unsafe('alter role owner set client_min_messages = debug1')
  await admin.end()
  const owner = connect(server.migrate)
  await owner.unsafe(`
    create table t (id int primary key);
    create table d (id int unique deferrable initially deferred);
    create function shout() returns trigger language plpgsql as $$begin raise notice 'late'; return null; end$$;
    create constraint trigger late after insert on d deferrable initially deferred for each row execute function shout()`)
  await owner.end()
})
afterAll(() => server.stop())
beforeEach(async () => {
  const owner = connect(server.migrate)
  await owner.unsafe('truncate t; truncate d')
  await owner.end()
})

const { query, parse, bind, describe: about, execute, sync, flush } = build

const told = ({ commands, before, after, error }: Exchange): unknown => [
  `${before}${after ?? '-'}`,
  ...commands.map(
    (each) =>
      `${each.sql} -> ${each.completed.map(({ tag }) => tag).join(', ')}${each.error ? `! ${each.error.sqlstate}` : ''}`,
  ),
  ...(error ? [error.sqlstate] : []),
]
const story = (proxy: Proxy, session = 0): unknown[] => (proxy.sessions[session]?.exchanges ?? []).map(told)

/** Types of the messages, with what tells them apart. */
const shown = (frames: readonly Frame[]): string[] =>
  frames.map((each) => {
    const payload = payloadOf(each)
    if (each.type === 'C') return `C ${cString(payload).value}`
    if (each.type === 'Z') return `Z ${payload.toString()}`
    if (each.type === 'E' || each.type === 'N') {
      const { sqlstate, message } = readServerMessage(payload, 0)
      return each.type === 'E' ? `E ${sqlstate}` : `N ${message}`
    }
    return each.type
  })

/** Cuts at semicolons what has several statements. */
const splitting = (more: Partial<Interposer> = {}): Interposer => ({
  before: ({ sql, protocol }) => {
    const pieces = (sql ?? '').split(';').filter((piece) => piece.trim() !== '')
    return Promise.resolve(protocol === 'simple' && pieces.length > 1 ? pieces : null)
  },
  after: () => Promise.resolve(),
  ...more,
})

const watching = (more: Partial<Interposer> = {}): Interposer => ({
  before: () => Promise.resolve(null),
  after: () => Promise.resolve(),
  ...more,
})

describe('questions', () => {
  test('before and after each exchange, in a transaction or not, and the client sees nothing of them', async () => {
    const asked: unknown[] = []
    const interpose = watching({
      before: async ({ sql, protocol, status, asker }: Pending) => {
        const rows = await asker.ask<{ n: string; pid: number; ok: boolean; real: number; nothing: null }>(
          `select count(*) as n, pg_backend_pid() as pid, true as ok, 1.5::float8 as real, null as nothing from t`,
        )
        expect(rows).toEqual([{ n: expect.any(String) as string, pid: asker.pid, ok: true, real: 1.5, nothing: null }])
        asked.push([protocol, status, sql, Number(rows[0]?.n)])
        return null
      },
      after: async ({ after }, asker) => {
        asked.push([after, Number((await asker.ask<{ n: string }>('select count(*) as n from t'))[0]?.n)])
      },
    })
    await withRaw(
      server.migrate,
      async (raw, proxy) => {
        const answers = [
          await raw.exchange(query('begin')),
          await raw.exchange(
            Buffer.concat([parse('insert into t values ($1)', 's', [23]), bind(['1'], 's'), execute(), sync()]),
          ),
          await raw.exchange(Buffer.concat([bind(['2'], 's'), execute(), sync()])),
          await raw.exchange(query('commit; create temp table x (id int primary key)')),
        ]
        expect(answers.map(shown)).toEqual([
          ['C BEGIN', 'Z T'],
          ['1', '2', 'C INSERT 0 1', 'Z T'],
          ['2', 'C INSERT 0 1', 'Z T'],
          ['C COMMIT', 'C CREATE TABLE', 'Z I'],
        ])
        expect(asked).toEqual([
          ['simple', 'I', 'begin', 0],
          ['T', 0],
          ['extended', 'T', 'insert into t values ($1)', 0],
          ['T', 1],
          ['extended', 'T', 'insert into t values ($1)', 1],
          ['T', 2],
          ['simple', 'T', 'commit; create temp table x (id int primary key)', 2],
          ['I', 2],
        ])
        expect(story(proxy)).toEqual([
          ['IT', 'begin -> BEGIN'],
          ['TT', 'insert into t values ($1) -> INSERT 0 1'],
          ['TT', 'insert into t values ($1) -> INSERT 0 1'],
          ['TI', 'commit; create temp table x (id int primary key) -> COMMIT, CREATE TABLE'],
        ])
        const prepared = await raw.exchange(
          query(`select name from pg_prepared_statements where name like 'rehearse%'`),
        )
        expect(shown(prepared)).toEqual(['T', 'C SELECT 0', 'Z I'])
      },
      { interpose },
    )
  })

  test('a question that fails rejects with the error of the server and leaves the transaction whole', async () => {
    const errors: unknown[] = []
    const interpose = watching({
      after: async (_, asker) => {
        await asker.ask('select * from nowhere').catch((error: unknown) => errors.push(error))
        await asker.ask('select 1/0').catch((error: unknown) => errors.push(error))
        errors.push(await asker.ask('select 1 as one'))
      },
    })
    await withRaw(
      server.migrate,
      async (raw) => {
        expect(shown(await raw.exchange(query('begin')))).toEqual(['C BEGIN', 'Z T'])
        expect(errors).toMatchObject([
          { code: '42P01', severity: 'ERROR', message: 'relation "nowhere" does not exist' },
          { code: '22012', severity: 'ERROR' },
          [{ one: 1 }],
        ])
        expect(shown(await raw.exchange(query('insert into t values (1)')))).toEqual(['C INSERT 0 1', 'Z T'])
        expect(shown(await raw.exchange(query('commit')))).toEqual(['C COMMIT', 'Z I'])
        expect(shown(await raw.exchange(query('select id from t')))).toEqual(['T', 'D', 'C SELECT 1', 'Z I'])
      },
      { interpose },
    )
  })

  test('in a failed transaction, and when it is too late, a question is refused without being sent', async () => {
    const codes: unknown[] = []
    const kept: Pending['asker'][] = []
    const interpose = watching({
      after: async (_, asker) => {
        kept.push(asker)
        await asker.ask('select 1').then(
          () => codes.push('ok'),
          (error: unknown) => codes.push((error as { code?: string }).code),
        )
      },
    })
    await withRaw(
      server.migrate,
      async (raw) => {
        await raw.exchange(query('begin; select 1/0'))
        expect(codes).toEqual(['25P02'])
        await raw.exchange(query('rollback'))
        expect(codes).toEqual(['25P02', 'ok'])
        await expect(kept[0]?.ask('select 1')).rejects.toThrow('only between two exchanges')
      },
      { interpose },
    )
  })

  test('postgres.js describes before it binds: its unnamed statement lives on', async () => {
    const seen: (string | null)[] = []
    const interpose = watching({
      before: async ({ sql, asker }) => {
        seen.push(sql)
        await asker.ask('select 1')
        return null
      },
      after: async (_, asker) => {
        await asker.ask('select 2')
      },
    })
    await withProxy(
      server.migrate,
      async (proxy) => {
        const sql = postgres({
          ...proxy.address,
          username: proxy.address.user,
          max: 2,
          fetch_types: false,
          prepare: false,
        })
        const numbers = Array.from({ length: 40 }, (_, i) => i)
        const answers = await Promise.all(
          numbers.map((n) => sql`select ${n}::int as n`.then(([row]) => row?.['n'] as number)),
        )
        expect(answers).toEqual(numbers)
        await sql.begin(async (tx) => {
          await tx`insert into t values (${1})`
          await tx`insert into t values (${2})`
        })
        await sql.end()
        expect(seen.filter((text) => text === 'select $1::int as n')).toHaveLength(40)
        expect(proxy.sessions.map(({ trouble }) => trouble)).toEqual([null, null])
      },
      { interpose },
    )
    // Parse, Describe and Sync, and only in the next exchange Bind.
    await withRaw(
      server.migrate,
      async (raw) => {
        expect(shown(await raw.exchange(Buffer.concat([parse('select 7'), about('S'), sync()])))).toEqual([
          '1',
          't',
          'T',
          'Z I',
        ])
        expect(shown(await raw.exchange(Buffer.concat([bind(), execute(), sync()])))).toEqual([
          '2',
          'D',
          'C SELECT 1',
          'Z I',
        ])
      },
      { interpose },
    )
  })

  test('what is pipelined waits for what is before it', async () => {
    const order: string[] = []
    const interpose = watching({
      before: async ({ sql }) => {
        order.push(`before ${sql ?? ''}`)
        await new Promise((resolve) => setTimeout(resolve, 5))
        return null
      },
      after: async ({ commands }) => {
        order.push(`after ${commands[0]?.sql ?? ''}`)
        await new Promise((resolve) => setTimeout(resolve, 5))
      },
    })
    await withRaw(
      server.migrate,
      async (raw, proxy) => {
        const batch = (sql: string): Buffer[] => [parse(sql), bind(), execute(), sync()]
        raw.send(
          Buffer.concat([
            ...batch('select 1'),
            query('select 2'),
            ...batch('select 3/0'),
            sync(),
            ...batch('select 4'),
          ]),
        )
        const answers: Frame[] = []
        while (answers.filter(({ type }) => type === 'Z').length < 5) {
          const each = await raw.next()
          if (each) answers.push(each)
        }
        expect(shown(answers).join(' ')).toBe(
          '1 2 D C SELECT 1 Z I T D C SELECT 1 Z I 1 E 22012 Z I Z I 1 2 D C SELECT 1 Z I',
        )
        expect(order).toEqual(
          ['select 1', 'select 2', 'select 3/0', '', 'select 4'].flatMap((sql) => [`before ${sql}`, `after ${sql}`]),
        )
        expect(story(proxy)).toHaveLength(5)
      },
      { interpose },
    )
  })

  test('a batch that waits for its answers (Flush), COPY both ways, a Query that is passed over', async () => {
    await withRaw(
      server.migrate,
      async (raw, proxy) => {
        raw.send(Buffer.concat([parse('select 1'), about('S'), flush()]))
        const first: string[] = []
        while (first.at(-1) !== 'T') first.push((await raw.next())?.type ?? 'end')
        expect(first).toEqual(['1', 't', 'T'])
        expect(shown(await raw.exchange(Buffer.concat([bind(), execute(), sync()])))).toEqual([
          '2',
          'D',
          'C SELECT 1',
          'Z I',
        ])

        const rows = [build.copyData(Buffer.from('1\n2\n')), build.copyDone()]
        const copies: Buffer[][] = [
          [query('truncate t; copy t from stdin'), ...rows],
          [parse('truncate t'), bind(), execute(), sync()],
          [parse('copy t from stdin'), bind(), execute(), sync(), ...rows, sync()],
          [query('copy t to stdout')],
        ]
        const answers: string[] = []
        for (const messages of copies) answers.push(shown(await raw.exchange(Buffer.concat(messages))).join(' '))
        expect(answers).toEqual([
          'G C TRUNCATE TABLE C COPY 2 Z I'.replace('G C TRUNCATE TABLE', 'C TRUNCATE TABLE G'),
          '1 2 C TRUNCATE TABLE Z I',
          '1 2 G C COPY 2 Z I',
          'H d d c C COPY 2 Z I',
        ])
        // As libpq does it: the data only when the server has asked.
        await raw.exchange(query('truncate t'))
        raw.send(Buffer.concat([parse('copy t from stdin'), bind(), execute(), sync()]))
        while ((await raw.next())?.type !== 'G');
        expect(shown(await raw.exchange(Buffer.concat([...rows, sync()])))).toEqual(['C COPY 2', 'Z I'])

        expect(shown(await raw.exchange(Buffer.concat([parse('selec'), query('select 1'), sync()])))).toEqual([
          'E 42601',
          'Z I',
        ])
        expect(proxy.inFlightSinceMs).toBeNull()
      },
      { interpose: watching() },
    )
  })
})

describe('a message taken apart', () => {
  /** The same message to the server itself and through the proxy: the client must not be able to tell. */
  const both = async (
    sql: string,
    prepare: string[] = [],
    data: Buffer[] = [],
  ): Promise<{ direct: string[]; split: string[]; proxy: unknown[] }> => {
    const run = async (raw: RawConnection): Promise<string[]> => {
      for (const each of prepare) await raw.exchange(query(each))
      const frames = await raw.exchange(Buffer.concat([query(sql), ...data]))
      const after = await raw.exchange(query('select count(*) from t'))
      await raw.exchange(query('rollback'))
      await raw.exchange(query('truncate t; truncate d'))
      const isTheirs = (text: string): boolean => !/^N (?:building|index|.* will create)/.test(text)
      return [
        ...shown(frames),
        ...after.map((each) => (each.type === 'D' ? payloadOf(each).toString('utf8', 6) : '')),
        ...shown(after),
      ].filter((text) => text !== '' && isTheirs(text))
    }
    const raw = await openRaw(server.migrate)
    const direct = await run(raw)
    await raw.end()
    return withRaw(
      server.migrate,
      async (through, proxy) => ({
        direct,
        split: await run(through),
        proxy: story(proxy).slice(prepare.length, prepare.length + 1),
      }),
      { interpose: splitting() },
    )
  }

  test.each<[string, string, string[], string[]]>([
    [
      'two statements',
      'insert into t values (1); insert into t values (2)',
      [],
      ['II', 'insert into t values (1) -> INSERT 0 1', ' insert into t values (2) -> INSERT 0 1'],
    ],
    [
      'rows',
      'select 1; insert into t values (1); select id from t',
      [],
      ['II', 'select 1 -> SELECT 1', ' insert into t values (1) -> INSERT 0 1', ' select id from t -> SELECT 1'],
    ],
    [
      'the second fails, the first is undone',
      'insert into t values (1); select 1/0; select 3',
      [],
      ['II', 'insert into t values (1) -> INSERT 0 1', ' select 1/0 -> ! 22012'],
    ],
    ['the first fails', 'select 1/0; select 3', [], ['II', 'select 1/0 -> ! 22012']],
    [
      'in a transaction',
      'insert into t values (1); insert into t values (2)',
      ['begin'],
      ['TT', 'insert into t values (1) -> INSERT 0 1', ' insert into t values (2) -> INSERT 0 1'],
    ],
    [
      'fails in a transaction',
      'insert into t values (1); select 1/0',
      ['begin'],
      ['TE', 'insert into t values (1) -> INSERT 0 1', ' select 1/0 -> ! 22012'],
    ],
    ['in a failed transaction', 'select 1; select 2', ['begin', 'select 1/0'], ['EE', 'select 1 -> ! 25P02']],
    [
      'what cannot run in a transaction',
      'select 1; create index concurrently on t (id)',
      [],
      ['II', 'select 1 -> SELECT 1', ' create index concurrently on t (id) -> ! 25001'],
    ],
    [
      'a deferred constraint fails at the end',
      'insert into d values (1); insert into d values (1)',
      [],
      ['II', 'insert into d values (1) -> INSERT 0 1', ' insert into d values (1) -> INSERT 0 1', '23505'],
    ],
    [
      'a deferred trigger speaks at the end',
      'insert into t values (1); insert into d values (1)',
      [],
      ['II', 'insert into t values (1) -> INSERT 0 1', ' insert into d values (1) -> INSERT 0 1'],
    ],
  ])('%s', async (_, sql, prepare, record) => {
    const { direct, split, proxy } = await both(sql, prepare)
    expect(split).toEqual(direct)
    expect(proxy).toEqual([record])
  })

  test('with COPY data among the statements', async () => {
    const { direct, split, proxy } = await both(
      'insert into t values (9); copy t from stdin; select 1',
      [],
      [build.copyData(Buffer.from('1\n2\n')), build.copyDone()],
    )
    expect(split).toEqual(direct)
    expect(proxy).toEqual([
      ['II', 'insert into t values (9) -> INSERT 0 1', ' copy t from stdin -> COPY 2', ' select 1 -> SELECT 1'],
    ])
  })

  test('node-postgres gets the same results', async () => {
    await withProxy(
      server.migrate,
      async (proxy) => {
        const client = new pg.Client(proxy.address)
        await client.connect()
        const results = (await client.query('select 1 as a; select 2 as b, 3 as c')) as unknown as pg.QueryResult[]
        expect(results.map(({ rows, command }) => [command, rows as unknown])).toEqual([
          ['SELECT', [{ a: 1 }]],
          ['SELECT', [{ b: 2, c: 3 }]],
        ])
        await client.end()
      },
      { interpose: splitting() },
    )
  })

  test('the interposer is asked around each piece, in the transaction that the piece is in', async () => {
    const seen: unknown[] = []
    const count = async ({ asker }: Pending): Promise<number> =>
      Number((await asker.ask<{ n: string }>('select count(*) as n from t'))[0]?.n)
    const interpose = splitting({
      beforePiece: async (pending, index) => void seen.push(['before', index, await count(pending)]),
      afterPiece: async (pending, index, failed) =>
        void seen.push([
          'after',
          index,
          failed,
          await count(pending).catch((error: unknown) => (error as { code: string }).code),
        ]),
      after: async (exchange, asker) => {
        seen.push([told(exchange), exchange.commands[0]?.pieceOf, await asker.ask('select count(*)::int as n from t')])
      },
    })
    await withRaw(
      server.migrate,
      async (raw) => {
        const whole = 'insert into t values (1);insert into t values (2);select 1/0;select 2'
        await raw.exchange(query(whole))
        expect(seen).toEqual([
          ['before', 0, 0],
          ['after', 0, false, 1],
          ['before', 1, 1],
          ['after', 1, false, 2],
          ['before', 2, 2],
          ['after', 2, true, '25P02'],
          [
            [
              'II',
              'insert into t values (1) -> INSERT 0 1',
              'insert into t values (2) -> INSERT 0 1',
              'select 1/0 -> ! 22012',
            ],
            whole,
            [{ n: 0 }],
          ],
        ])
      },
      { interpose },
    )
  })

  test('our BEGIN and COMMIT are in no record, and each piece has its own times', async () => {
    await withRaw(
      server.migrate,
      async (raw, proxy) => {
        await raw.exchange(query('select pg_sleep(0.15);select pg_sleep(0.05);select 1'))
        const [exchange] = proxy.sessions[0]?.exchanges ?? []
        expect(exchange?.commands.map(({ sql }) => sql)).toEqual([
          'select pg_sleep(0.15)',
          'select pg_sleep(0.05)',
          'select 1',
        ])
        const times = exchange?.commands.map(({ sentMs, completed }) => (completed[0]?.atMs ?? NaN) - sentMs) ?? []
        expect(times[0]).toBeGreaterThan(140)
        expect(times[1]).toBeGreaterThan(40)
        expect(times[0]).toBeGreaterThan(times[1] ?? 0)
      },
      { interpose: splitting() },
    )
  })
})

describe('when something goes wrong', () => {
  const bad = (): never => {
    throw Object.assign(new Error('canary'), { code: 'EBAD' })
  }
  test.each<[string, Partial<Interposer>]>([
    ['before', { before: bad }],
    ['before, later', { before: () => Promise.reject(new TypeError('canary')) }],
    ['after', { after: bad }],
    ['beforePiece', { beforePiece: bad }],
    ['afterPiece', { afterPiece: bad }],
  ])('an interposer that throws in %s: the client goes on, and it is said', async (_, part) => {
    await withRaw(
      server.migrate,
      async (raw, proxy) => {
        for (let round = 0; round < 2; round++)
          expect(shown(await raw.exchange(query('select 1;select 2')))).toEqual([
            'T',
            'D',
            'C SELECT 1',
            'T',
            'D',
            'C SELECT 1',
            'Z I',
          ])
        expect(proxy.sessions[0]?.trouble).toMatch(
          /^the interposer failed in (before|after|beforePiece|afterPiece) \((EBAD|TypeError)\)$/,
        )
      },
      { interpose: splitting(part) },
    )
  })

  test('an interposer that never comes back: the proxy can be closed all the same', async () => {
    await withProxy(
      server.migrate,
      async (proxy) => {
        const raw = await openRaw(proxy.address)
        const running = raw.exchange(query('select 1'))
        await new Promise((resolve) => setTimeout(resolve, 30))
        await Promise.all([proxy.close(), expect(running).rejects.toThrow()])
        expect(proxy.pids()).toEqual([])
      },
      { interpose: watching({ before: () => new Promise(() => undefined) }) },
    )
  })

  test('the backend is terminated in the middle of a piece, of a question, of nothing', async () => {
    const admin = connect(server.admin)
    const kill = (pid: number): Promise<unknown> => admin`select pg_terminate_backend(${pid})`
    const asked: unknown[] = []
    const interpose = splitting({
      after: async (_, asker) => {
        if (asked.length > 0) return
        const asking = asker.ask('select pg_sleep(60)').catch((error: unknown) => asked.push(error))
        await kill(asker.pid)
        await asking
      },
    })
    await withProxy(
      server.migrate,
      async (proxy) => {
        const inQuestion = await openRaw(proxy.address)
        await expect(inQuestion.exchange(query('select 1'))).rejects.toThrow('closed the connection')
        await until(() => asked.length === 1)

        const inPiece = await openRaw(proxy.address)
        const running = inPiece.exchange(query('select 1;select pg_sleep(60)'))
        running.catch(() => undefined)
        await until(() => proxy.sessions[1]?.exchanges[0]?.commands.length === 2)
        await kill(proxy.sessions[1]?.pid ?? 0)
        await expect(running).rejects.toThrow('closed the connection')

        const idle = await openRaw(proxy.address)
        await kill(proxy.sessions[2]?.pid ?? 0)
        expect((await idle.next())?.type).toBe('E')
        await until(() => proxy.pids().length === 0)
        expect(proxy.sessions.map(({ trouble }) => trouble)).toEqual(
          Array.from({ length: 3 }, () => 'the server ended the session (57P01)'),
        )
        expect(story(proxy, 1)).toEqual([['I-', 'select 1 -> SELECT 1', 'select pg_sleep(60) -> ! 57P01', '57P01']])
      },
      { interpose },
    )
    await admin.end()
  })

  test('a client that sends, says goodbye and goes: what it sent is still done', async () => {
    await withProxy(
      server.migrate,
      async (proxy) => {
        const raw = await openRaw(proxy.address)
        raw.socket.end(
          Buffer.concat([query('insert into t values (1)'), query('insert into t values (2)'), build.terminate()]),
        )
        await until(() => proxy.sessions[0]?.endedMs !== null)
        expect(story(proxy)).toEqual([
          ['II', 'insert into t values (1) -> INSERT 0 1'],
          ['II', 'insert into t values (2) -> INSERT 0 1'],
        ])
        expect(proxy.sessions[0]?.trouble).toBeNull()
      },
      { interpose: watching() },
    )
  })

  test('malformed messages of either side end the session', async () => {
    const fake = await fakeServer((socket) => socket.on('data', () => socket.write(Buffer.from([0x44, 0, 0, 0, 1]))))
    await withProxy(
      fake.upstream,
      async (proxy) => {
        const [a, b] = [await openRaw(proxy.address), await openRaw(proxy.address)]
        a.send(Buffer.from([0x51, 0, 0, 0, 0]))
        b.send(query('select 1'))
        expect(shown([(await a.next()) as Frame, (await b.next()) as Frame])).toEqual(['E 08P01', 'E 08P01'])
        await until(() => proxy.pids().length === 0)
        expect(proxy.sessions.map(({ trouble }) => trouble)).toEqual([
          'malformed message: length 0 from the client',
          'malformed message: length 1 from the server',
        ])
      },
      { interpose: watching() },
    )
    await fake.close()
  })
})
