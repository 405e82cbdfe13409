/** From messages to the statements in them: which of them ran, when, and what became of each. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { build, openRaw } from '../../../src/wire/client.js'
import { canonical, piecesOf, relationsIn, stepsOf, type Step } from '../../../src/migrations/wire-trace/steps.js'
import type { Exchange } from '../../../src/wire/types.js'
import { connect, startServer, type TestServer } from '../../support/postgres.js'
import { conversation, talk, throughProxy, type Message } from './build.js'

const told = (steps: readonly Step[]): string[] =>
  steps.map(
    ({ piece, tag, error, index, of, boundary }) =>
      `${index + 1}/${of} ${boundary}: ${piece.sql} -> ${error ? `! ${error.sqlstate}` : (tag ?? '?')}`,
  )

describe('the pieces of a message', () => {
  it.each<[string, string, string[]]>([
    ['one statement', ' alter table t add x int ; ', ['alter table t add x int']],
    ['several', 'select 1;\nselect 2', ['select 1', 'select 2']],
    ['empty ones between', ';;select 1;;select 2;', ['select 1', 'select 2']],
    ['comments around', '-- a\nselect 1 -- b\n; /* c */ select 2 /* d */', ['select 1', 'select 2']],
    ['a semicolon in a text', "select ';'; do $$begin; end$$", ["select ';'", 'do $$begin; end$$']],
    ['letters of several bytes', "select 'äöü€𝄞'; select 2", ["select 'äöü€𝄞'", 'select 2']],
    ['nothing but comments', '-- nothing\n/* here */ ;', []],
    ['nothing', '  ', []],
    ['what does not parse', 'selec 1; select 2', ['selec 1; select 2']],
    ['a NUL character', 'select 1\0; select 2', ['select 1\0; select 2']],
  ])('%s', (_, sql, pieces) => {
    expect(piecesOf(sql).map((piece) => piece.sql)).toEqual(pieces)
    // The second time it is remembered.
    expect(piecesOf(sql).map((piece) => piece.sql)).toEqual(pieces)
  })

  it('facts of those that parse only', () => {
    expect(piecesOf('commit and chain')[0]?.facts).toMatchObject({ transaction: 'commit', chains: true })
    expect(piecesOf('selec 1')).toEqual([{ sql: 'selec 1', facts: null, node: null }])
  })

  it('equal whatever their layout', () => {
    expect(canonical('alter  table "t" /* x */\n add y int;;')).toBe(canonical('alter table "t" add y int'))
    expect(canonical("select 'a  b'")).not.toBe(canonical("select 'a b'"))
    expect(canonical('select "a"')).not.toBe(canonical("select 'a'"))
  })

  it.each<[string, string[]]>([
    ['alter table a.t add x int', ['a.t']],
    ['create index i on t (x)', ['t']],
    ['insert into a select * from b join c.d using (x)', ['a', 'b', 'c.d']],
    ['drop table if exists a.t, u', ['a.t', 'u']],
    ['drop index concurrently i', ['i']],
    ['select 1', []],
  ])('names of relations: %s', (sql, names) => {
    const found = relationsIn(piecesOf(sql)[0]?.node ?? null)
    expect(found.map(({ schema, name }) => (schema === null ? name : `${schema}.${name}`))).toEqual(names)
  })
})

describe('statements that the server came to', () => {
  const [a, b, c] = ['create table a ()', 'create table b ()', 'create table c ()']
  const three = `${a}; ${b}; ${c}`
  const DONE = 'CREATE TABLE'

  it('all of a message, without marks of the server', () => {
    const [tool] = conversation()
    const exchange = tool?.says(three, [DONE, DONE, DONE])
    const steps = stepsOf(exchange ? [exchange] : [])
    expect(told(steps)).toEqual([
      `1/3 message: ${a} -> ${DONE}`,
      `2/3 message: ${b} -> ${DONE}`,
      `3/3 message: ${c} -> ${DONE}`,
    ])
    for (const step of steps) expect([step.startMs, step.endMs]).toEqual([exchange?.sentMs, exchange?.readyMs])
  })

  it('with them each has its own times', () => {
    const [tool] = conversation()
    const exchange = tool?.says(three, [DONE, DONE, DONE], { marked: true })
    const steps = stepsOf(exchange ? [exchange] : [])
    expect(steps.map(({ boundary }) => boundary)).toEqual(['server', 'server', 'server'])
    expect(steps.map(({ sentMs }) => sentMs)).toEqual([1, 1, 1])
    // Sent at 1; marks at 2, 4, 6; complete at 3, 5, 7.
    expect(steps.map(({ startMs, endMs }) => [startMs, endMs])).toEqual([
      [1, 3],
      [4, 5],
      [6, 7],
    ])
  })

  it('the one after the last complete one failed, the rest was never looked at', () => {
    const [tool] = conversation()
    tool?.says(three, [DONE], { fails: '42P07' })
    expect(told(stepsOf(tool?.session.exchanges ?? []))).toEqual([
      `1/3 server: ${a} -> ${DONE}`,
      `2/3 server: ${b} -> ! 42P07`,
    ])
  })

  it('a connection that ended: one more may have been under way', () => {
    const [tool] = conversation()
    tool?.says(three, [DONE], { after: null, error: '57P01' })
    const steps = stepsOf(tool?.session.exchanges ?? [])
    expect(told(steps)).toEqual([`1/3 server: ${a} -> ${DONE}`, `2/3 message: ${b} -> ! 57P01`])
    expect(steps.at(-1)?.endMs).toBe(tool?.session.endedMs)
  })

  it('pieces sent apart have the times of their own messages', () => {
    const [tool] = conversation()
    const exchange = tool?.pieces([
      { sql: a, tags: [DONE], pieceOf: `${a}; ${b}` },
      { sql: b, tags: [], error: '42P07', pieceOf: `${a}; ${b}` },
    ])
    const steps = stepsOf(exchange ? [exchange] : [])
    expect(told(steps)).toEqual([`1/1 client: ${a} -> ${DONE}`, `1/1 client: ${b} -> ! 42P07`])
    expect(steps.map(({ position }) => position)).toEqual([0, 1])
    expect(steps[0]?.endMs).toBe(exchange?.commands[0]?.completed[0]?.atMs)
  })

  it('sessions in the order of sending', () => {
    const [one, other] = conversation(2)
    other?.says(a, [DONE])
    one?.says(b, [DONE])
    other?.says(c, [DONE])
    const exchanges = [...(one?.session.exchanges ?? []), ...(other?.session.exchanges ?? [])]
    expect(stepsOf(exchanges).map((step) => step.piece.sql)).toEqual([a, b, c])
  })
})

describe('of a real server', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startServer()
    const owner = connect(server.migrate)
    await owner.unsafe(
      'create table t (id int primary key); create table d (id int unique deferrable initially deferred)',
    )
    await owner.end()
  })
  afterAll(() => server.stop())

  async function stepsFor(messages: readonly Message[]): Promise<{ steps: Step[]; exchanges: Exchange[] }> {
    const sessions = await throughProxy(server.migrate, async (proxy) => {
      const raw = await openRaw(proxy.address)
      await talk(raw, messages)
      await raw.end().catch(() => undefined)
    })
    const exchanges = sessions.flatMap((session) => session.exchanges)
    return { steps: stepsOf(exchanges), exchanges }
  }
  const GONE = 'select pg_terminate_backend(pg_backend_pid())'

  it.each<[string, Message[], string[]]>([
    ['one alone', ['select 1'], ['1/1 client: select 1 -> SELECT 1']],
    ['comments only', ['-- nothing', ''], []],
    ['several', ['select 1; select 2'], ['1/2 server: select 1 -> SELECT 1', '2/2 server: select 2 -> SELECT 1']],
    [
      'one that fails',
      ['select 1; select 1/0; select 3'],
      ['1/3 server: select 1 -> SELECT 1', '2/3 server: select 1/0 -> ! 22012'],
    ],
    [
      'one that fails in its analysis',
      ['select 1; select * from nowhere; select 3'],
      ['1/3 server: select 1 -> SELECT 1', '2/3 server: select * from nowhere -> ! 42P01'],
    ],
    ['a syntax error', ['select 1; selec 2'], ['1/1 client: select 1; selec 2 -> ! 42601']],
    [
      'a constraint that fails at the end of the message',
      ['select 1; insert into d values (1), (1)'],
      ['1/2 server: select 1 -> SELECT 1', '2/2 server: insert into d values (1), (1) -> ! 23505'],
    ],
    [
      'in a failed block',
      ['begin', 'select 1/0', 'select 1; select 2', 'rollback'],
      [
        '1/1 client: begin -> BEGIN',
        '1/1 client: select 1/0 -> ! 22012',
        '1/2 server: select 1 -> ! 25P02',
        '1/1 client: rollback -> ROLLBACK',
      ],
    ],
    [
      'a pipeline',
      [['select 1', 'select 2']],
      ['1/1 server: select 1 -> SELECT 1', '1/1 server: select 2 -> SELECT 1'],
    ],
    [
      'a pipeline that fails',
      [['select 1', 'select 1/0', 'select 3']],
      ['1/1 server: select 1 -> SELECT 1', '1/1 server: select 1/0 -> ! 22012'],
    ],
    [
      'a connection lost in a message',
      [`select 1; ${GONE}; select 3`],
      ['1/3 server: select 1 -> SELECT 1', `2/3 server: ${GONE} -> ! 57P01`],
    ],
    [
      'a connection lost in a pipeline',
      [['select 1', GONE, 'select 3', 'select 4']],
      ['1/1 server: select 1 -> SELECT 1', `1/1 server: ${GONE} -> ! 57P01`],
    ],
  ])('%s', async (_, messages, expected) => {
    const { steps } = await stepsFor(messages)
    expect(told(steps)).toEqual(expected)
    for (const step of steps) {
      expect(step.startMs).toBeLessThanOrEqual(step.endMs)
      expect(step.sentMs).toBeLessThanOrEqual(step.startMs)
    }
  })

  it('a statement that sleeps in a message is as long as it slept, its neighbours are not', async () => {
    const { steps } = await stepsFor(['create temp table x (); select pg_sleep(0.3); create temp table y ()'])
    const [before, sleeping, after] = steps
    expect((sleeping?.endMs ?? 0) - (sleeping?.startMs ?? 0)).toBeGreaterThanOrEqual(299)
    for (const other of [before, after]) expect((other?.endMs ?? 0) - (other?.startMs ?? 0)).toBeLessThan(299)
  })

  it('a client that goes without a word: the server goes on, and so does the record', async () => {
    const sessions = await throughProxy(server.migrate, async (proxy) => {
      const raw = await openRaw(proxy.address)
      raw.send(build.query('insert into t values (1); select pg_sleep(0.3); insert into t values (2)'))
      while (proxy.sessions[0]?.exchanges.length !== 1) await new Promise((resolve) => setTimeout(resolve, 2))
      raw.socket.destroy()
    })
    const owner = connect(server.migrate)
    const rows = await owner<{ id: number }[]>`select id from t order by id`
    await owner.end()
    expect(rows.map(({ id }) => id)).toEqual([1, 2])
    expect(stepsOf(sessions.flatMap((session) => session.exchanges)).map(({ tag }) => tag)).toEqual([
      'INSERT 0 1',
      'SELECT 1',
      'INSERT 0 1',
    ])
  })
})
