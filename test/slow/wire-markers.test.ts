/** Where one statement of a message ends and the next begins: what real servers say, and what is made of it. */
import { existsSync, readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { locate } from '../../src/branches/binaries.js'
import { branches, type Branch } from '../../src/branches/index.js'
import type { Address } from '../../src/pg/connect.js'
import { build } from '../../src/wire/client.js'
import { isMarker, isOurs, MARKERS, statementTimes } from '../../src/wire/markers.js'
import type { Exchange, ServerMessage, WireSession } from '../../src/wire/types.js'
import { connect } from '../support/postgres.js'
import { withRaw } from '../wire/support.js'

const { query } = build
/** How far off a boundary may be. */
const TOLERANCE_MS = 150

/** Debian's folders of what is installed here beside the packages. */
const LOCAL = '/usr/lib/postgresql'
const locally = existsSync(LOCAL)
  ? readdirSync(LOCAL).filter((major) => existsSync(`${LOCAL}/${major}/bin/postgres`))
  : []
const packaged = await Promise.all(
  [18, 16].map((major) =>
    locate(major).then(
      () => [{ major }],
      () => [],
    ),
  ),
)
const servers: { major: number; pgBin?: string }[] = packaged.flat()
for (const major of packaged.flat().length > 1 ? [] : locally.map(Number))
  if (major >= 15 && servers.every((server) => server.major !== major))
    servers.push({ major, pgBin: `${LOCAL}/${major}/bin` })

/** The last exchange of a new session after these messages. */
async function exchangeOf(address: Address, ...messages: Buffer[]): Promise<Exchange> {
  return withRaw({ ...address }, async (raw, proxy) => {
    for (const message of messages) await raw.exchange(message)
    const exchange = proxy.sessions[0]?.exchanges.at(-1)
    if (!exchange) throw new Error('no exchange')
    return exchange
  })
}

describe.each(servers)('PostgreSQL $major', ({ major, pgBin }) => {
  let branch: Branch
  beforeAll(async () => {
    const roles = { migrate: 'owner', app: 'app' }
    branch = await branches.embedded.open({ major, roles, ...(pgBin === undefined ? {} : { pgBin }) })
    const owner = connect(branch.address('migrate'))
    await owner.unsafe(`
      create table p (id int primary key);
      create table c (id int primary key, p int);
      create view v as select * from p;
      create rule r as on insert to v do instead (insert into p select new.id; select pg_sleep(0.2), count(*) from p);
      create function twice() returns void language plpgsql as $$begin perform pg_sleep(0.1); perform pg_sleep(0.1); end$$;
      create function once() returns int language sql as 'select pg_sleep(0.2); select 1'`)
    await owner.end()
  })
  afterAll(() => branch.close())

  describe.each(Object.entries(MARKERS))('with the settings for %s', (kind, settings) => {
    beforeAll(async () => {
      // Both are given by a superuser here, so that one role can have either.
      const admin = connect(branch.address('admin'))
      await admin.unsafe('alter role owner reset all')
      for (const [name, value] of Object.entries(settings))
        await admin.unsafe(`alter role owner set ${name} = '${value}'`)
      await admin.end()
      expect(kind === 'role' ? Object.keys(settings) : []).not.toContain('log_parser_stats')
    })

    const durations = async (sql: string, ...before: string[]): Promise<number[] | null> => {
      const exchange = await exchangeOf(branch.address('migrate'), ...before.map(query), query(sql))
      const times = statementTimes(exchange)
      if (times) {
        const [command] = exchange.commands
        expect(times[0]?.startMs).toBe(command?.sentMs)
        expect(times.at(-1)?.endMs).toBe((command?.error ?? command?.completed.at(-1))?.atMs)
        for (const { startMs, endMs } of times) expect(endMs).toBeGreaterThanOrEqual(startMs)
        for (const [index, { startMs }] of times.entries())
          expect(startMs).toBeGreaterThanOrEqual(times[index - 1]?.endMs ?? 0)
      }
      return times?.map(({ startMs, endMs }) => endMs - startMs) ?? null
    }
    const S = 'select pg_sleep(0.2)'

    test.each<[string, string, number[]]>([
      [
        'DDL and queries',
        `create table x (id int primary key); ${S}; alter table x add y int; ${S}; drop table x`,
        [0, 200, 0, 200, 0],
      ],
      [
        'DML',
        `insert into p values (1); ${S}; update p set id = 2; ${S}; delete from p; ${S}`,
        [0, 200, 0, 200, 0, 200],
      ],
      ['transactions', `begin; ${S}; commit; ${S}; begin; ${S}; rollback`, [0, 200, 0, 200, 0, 200, 0]],
      [
        'DO, whose statements announce themselves too',
        `do $$begin perform pg_sleep(0.1); perform 1; perform pg_sleep(0.1); end$$; ${S}; select 1`,
        [200, 200, 0],
      ],
      ['functions', `select twice(); ${S}; select once(); select twice(); select 1`, [200, 200, 200, 200, 0]],
      [
        'PREPARE and EXECUTE',
        `prepare q as ${S}; execute q; select 1; alter table c add x int; execute q; deallocate q; alter table c drop x`,
        [0, 200, 0, 0, 200, 0, 0],
      ],
      ['a cursor', `begin; declare z cursor for ${S}; select 1; fetch z; close z; commit`, [0, 0, 0, 200, 0, 0]],
      ['a rule that makes two of one', `insert into v values (7); ${S}; delete from p`, [200, 200, 0]],
      [
        'CREATE TABLE AS, views, materialized views',
        `create table x as select 1 as a from pg_sleep(0.2); create view w as select 1; create materialized view m as select 1 as a from pg_sleep(0.2); refresh materialized view m; drop materialized view m; drop view w; drop table x`,
        [200, 0, 200, 200, 0, 0, 0],
      ],
      ['EXPLAIN', `explain ${S}; explain analyze ${S}; select 1`, [0, 200, 0]],
      ['COPY of a query', `copy (${S}) to stdout; select 1; ${S}`, [200, 0, 200]],
      [
        'a foreign key, which is checked with a query',
        `create table x as select 1 as id; delete from p; insert into p values (1); alter table x add foreign key (id) references p; ${S}; drop table x; delete from p`,
        [0, 0, 0, 0, 200, 0, 0],
      ],
      [
        'functions that are made and dropped',
        `create function f() returns int language sql as 'select 1'; ${S}; drop function f()`,
        [0, 200, 0],
      ],
      ['an error in the middle', `select 1; ${S}; select 1/0; ${S}`, [0, 200, 0]],
      ['an error before the statement is marked', `${S}; select * from nowhere; ${S}`, [200, 0]],
      ['an error in the first', 'select * from nowhere; select 1', [0]],
      [
        'an error that comes late',
        `select 1; do $$begin perform pg_sleep(0.2); raise exception 'x'; end$$; select 1`,
        [0, 200],
      ],
      ['a message that cannot be parsed', `${S}; selec`, [0]],
      ['one statement', S, [200]],
      ['an empty message', '', [0]],
    ])('%s', async (_, sql, expected) => {
      const found = await durations(sql)
      expect(found).toHaveLength(expected.length)
      for (const [index, ms] of expected.entries())
        expect(
          Math.abs((found?.[index] ?? NaN) - ms),
          `statement ${index + 1} of ${JSON.stringify(found)}`,
        ).toBeLessThan(TOLERANCE_MS)
    })

    test('null where the client has turned the marks off, also for a part', async () => {
      expect(await durations(`select 1; ${S}; select 2`, 'set client_min_messages = warning')).toBeNull()
      expect(
        await durations(`select 1; set client_min_messages = error; ${S}; reset client_min_messages; select 2`),
      ).toBeNull()
      expect(await durations(`set client_min_messages = error; select 1`)).toBeNull()
      // They come back with the settings of the role, as tools do it between files.
      expect(await durations(`select 1; select 2`, 'set client_min_messages = warning', 'reset all')).toHaveLength(2)
    })

    test('the client is told nothing of it, and keeps its own notices', async () => {
      const exchange = await exchangeOf(
        branch.address('migrate'),
        query(
          `select 1; do $$begin raise notice 'n'; raise warning 'w'; raise info 'i'; end$$; create table x (id int primary key); drop table x`,
        ),
      )
      const kept = exchange.notices
        .filter(({ heldBack }) => !heldBack)
        .map(({ severity, message }) => `${severity} ${message}`)
      expect(kept).toEqual(['NOTICE n', 'WARNING w', 'INFO i'])
      const other = exchange.notices
        .filter((notice) => notice.heldBack && !isMarker(notice))
        .map(({ message }) => message)
      expect(other).toContain('building index "x_pkey" on table "x" serially')
      expect(other.filter((message) => /STATISTICS|tree/.test(message))).toEqual([])
    })

    test('in a pipelined batch a mark comes with each Parse, and answers with it', async () => {
      const each = (sql: string): Buffer[] => [build.parse(sql), build.bind(), build.execute()]
      const exchange = await exchangeOf(
        branch.address('migrate'),
        Buffer.concat([
          ...each(S),
          ...each('create table x (id int)'),
          ...each(S),
          ...each('drop table x'),
          build.sync(),
        ]),
      )
      const times = exchange.commands.map(({ completed }) => (completed[0]?.atMs ?? NaN) - exchange.sentMs)
      for (const [index, ms] of [200, 200, 400, 400].entries())
        expect(Math.abs((times[index] ?? NaN) - ms), `command ${index + 1} of ${JSON.stringify(times)}`).toBeLessThan(
          TOLERANCE_MS,
        )
      expect(exchange.notices.filter(isMarker).length).toBeGreaterThanOrEqual(4)
      const found = statementTimes(exchange)?.map(({ startMs, endMs }) => endMs - startMs) ?? []
      expect(found).toHaveLength(4)
      for (const [index, ms] of [200, 0, 200, 0].entries())
        expect(Math.abs((found[index] ?? NaN) - ms), JSON.stringify(found)).toBeLessThan(TOLERANCE_MS)
    })
  })

  test('without marks the server answers everything at once, and no times are made up', async () => {
    const admin = connect(branch.address('admin'))
    await admin.unsafe('alter role owner reset all')
    await admin.end()
    const exchange = await exchangeOf(branch.address('migrate'), query('select 1; select pg_sleep(0.2); select 2'))
    expect(statementTimes(exchange)).toBeNull()
    const alone = await exchangeOf(branch.address('migrate'), query('select pg_sleep(0.2)'))
    expect(statementTimes(alone)).toHaveLength(1)
  })
})

describe('statementTimes', () => {
  const session = {} as WireSession
  const mark = (atMs: number, context = false, message = 'PARSE ANALYSIS STATISTICS'): ServerMessage => ({
    atMs,
    severity: 'LOG',
    sqlstate: '00000',
    message,
    fields: new Map(context ? [['W', 'SQL function "f" statement 1']] : []),
    heldBack: true,
  })
  const exchange = (ends: number[], notices: ServerMessage[], errorMs?: number): Exchange => ({
    session,
    ordinal: 0,
    sentMs: 0,
    firstByteMs: 1,
    readyMs: 100,
    before: 'I',
    after: 'I',
    sql: null,
    commands: [
      {
        protocol: 'simple',
        sql: '',
        sentMs: 0,
        firstByteMs: 1,
        completed: ends.map((atMs) => ({ tag: 'SELECT 1', atMs })),
        error: errorMs === undefined ? null : { ...mark(errorMs), severity: 'ERROR' },
        parameters: null,
        copiedInBytes: 0,
        copiedOutBytes: 0,
        pieceOf: null,
      },
    ],
    notices,
    error: null,
  })
  const times = (ends: number[], notices: ServerMessage[], errorMs?: number): unknown =>
    statementTimes(exchange(ends, notices, errorMs))?.map(({ startMs, endMs }) => [startMs, endMs]) ?? null

  test('a statement begins with its mark', () => {
    expect(times([10, 20], [mark(1), mark(12)])).toEqual([
      [0, 10],
      [12, 20],
    ])
  })
  test('marks inside a statement are not the mark of the next', () => {
    expect(times([10, 20], [mark(1), mark(5), mark(6, true), mark(10)])).toEqual([
      [0, 10],
      [10, 20],
    ])
    expect(times([10, 20], [mark(1), mark(5), mark(12, true)])).toBeNull()
    expect(times([10, 20, 30], [mark(1), mark(10), mark(15)])).toBeNull()
  })
  test('of what is raised with the same words, only the server counts', () => {
    expect(times([10, 20], [mark(1), { ...mark(12), severity: 'NOTICE' }])).toBeNull()
    expect(times([10, 20], [mark(1), mark(12, false, 'REWRITER STATISTICS')])).toBeNull()
  })
  test('an error without a mark was found in the analysis; one that comes later has one', () => {
    expect(times([10], [mark(1)], 10.5)).toEqual([
      [0, 10],
      [10, 10.5],
    ])
    expect(times([10], [mark(1), mark(10)], 90)).toEqual([
      [0, 10],
      [10, 90],
    ])
  })
  test('null for one Execute, for a message taken apart, for nothing', () => {
    const one = exchange([10], [mark(1)])
    const [command] = one.commands
    if (!command) throw new Error('no command')
    expect(statementTimes({ ...one, commands: [command, command] })).toBeNull()
    expect(statementTimes({ ...one, commands: [{ ...command, protocol: 'extended' }] })).toBeNull()
    expect(statementTimes({ ...one, commands: [] })).toBeNull()
  })
})

test('what is ours goes by severity alone', () => {
  const of = (severity: string): boolean =>
    isOurs({ atMs: 0, severity, sqlstate: '00000', message: 'm', fields: new Map(), heldBack: false })
  expect(['DEBUG', 'DEBUG1', 'DEBUG5', 'LOG'].map(of)).toEqual([true, true, true, true])
  expect(['NOTICE', 'WARNING', 'INFO', 'ERROR', 'DEBUG6', 'LOGGER', ''].map(of)).toEqual(
    Array.from({ length: 7 }, () => false),
  )
})
