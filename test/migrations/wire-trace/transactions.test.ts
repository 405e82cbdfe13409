/**
 * Transactions as the trace reads them from the wire, against what the server itself says: every statement answers with
 * the number of the transaction that it ran in, and the server knows afterwards what became of that number.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openRaw } from '../../../src/wire/client.js'
import { stepsOf, piecesOf } from '../../../src/migrations/wire-trace/steps.js'
import { transactionsOf, type StepsInTransactions } from '../../../src/migrations/wire-trace/transactions.js'
import type { Interposer, WireSession } from '../../../src/wire/types.js'
import { connect, startServer, type TestServer } from '../../support/postgres.js'
import { talk, throughProxy, type Message } from './build.js'

let server: TestServer
let admin: ReturnType<typeof connect>

beforeAll(async () => {
  server = await startServer({ settings: { max_prepared_transactions: '5' } })
  admin = connect(server.admin)
  const owner = connect(server.migrate)
  await owner.unsafe(`
    create table w (n int, xid text);
    create table d (id int unique deferrable initially deferred);`)
  await owner.end()
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})
beforeEach(async () => {
  await admin.unsafe('truncate w, d')
})

/** A statement that says in which transaction it runs. */
const w = (n: number): string =>
  `insert into w values (${n}, pg_current_xact_id()::text) returning n::text, xid, 'witness'`
const FAILS = 'select 1/0'
/** Fails at the end of its transaction only. */
const LATE = 'insert into d values (1), (1)'
const GONE = 'select pg_terminate_backend(pg_backend_pid())'

const numberOf = (sql: string): number | null => {
  const n = /^insert into w values \((\d+),/.exec(sql)?.[1]
  return n === undefined ? null : Number(n)
}

/** `committed 1 2`: statements of one transaction, by what the server said. */
async function truth(rows: readonly (string | null)[][]): Promise<string[]> {
  const groups = new Map<string, number[]>()
  for (const [n, xid, witness] of rows)
    if (witness === 'witness') groups.set(xid ?? '', [...(groups.get(xid ?? '') ?? []), Number(n)])
  const told: string[] = []
  for (const [xid, numbers] of groups) {
    const [row] = await admin<{ status: string }[]>`select pg_xact_status(${xid}::xid8) as status`
    told.push(`${row?.status === 'committed' ? 'committed' : 'rolled back'} ${numbers.join(' ')}`)
  }
  return told.sort(byNumber)
}

const byNumber = (a: string, b: string): number => Number(/\d+/.exec(a)?.[0]) - Number(/\d+/.exec(b)?.[0])

/** The same from the wire; statements that never answered have no witness and are left out. */
function traced(
  sessions: readonly WireSession[],
  answered: ReadonlySet<number>,
): { found: StepsInTransactions; told: string[]; kinds: string[] } {
  const steps = stepsOf(sessions.flatMap((session) => session.exchanges))
  const ids = steps.map((step) => {
    const n = numberOf(step.piece.sql)
    return n === null ? null : `w#${n}`
  })
  const found = transactionsOf(steps, ids, sessions)
  const own = found.transactions.map((one) => ({
    one,
    numbers: one.statements.map((id) => Number(id.slice(2))).filter((n) => answered.has(n)),
  }))
  const kept = own.filter(({ numbers }) => numbers.length > 0)
  return {
    found,
    told: kept
      .map(({ one, numbers }) => `${one.committed ? 'committed' : 'rolled back'} ${numbers.join(' ')}`)
      .sort(byNumber),
    kinds: kept.map(({ one }) => one.kind),
  }
}

const answeredBy = (rows: readonly (string | null)[][]): Set<number> =>
  new Set(rows.flatMap(([n, , witness]) => (witness === 'witness' ? [Number(n)] : [])))

async function compare(messages: readonly Message[], interpose?: Interposer): Promise<ReturnType<typeof traced>> {
  let rows: (string | null)[][] = []
  const sessions = await throughProxy(
    server.migrate,
    async (proxy) => {
      const raw = await openRaw(proxy.address)
      rows = await talk(raw, messages)
      await raw.end().catch(() => undefined)
    },
    interpose ? { interpose } : {},
  )
  const expected = await truth(rows)
  expect(expected.length).toBeGreaterThan(0)
  const result = traced(sessions, answeredBy(rows))
  expect(result.told).toEqual(expected)
  return result
}

describe('equal what the server says', () => {
  it.each<[string, Message[], string[]]>([
    ['autocommit', [w(1), w(2)], ['autocommit', 'autocommit']],
    ['a block', ['begin', w(1), w(2), 'commit'], ['explicit']],
    ['a block rolled back', ['begin', w(1), 'rollback', w(2)], ['explicit', 'autocommit']],
    ['END and ABORT', ['begin', w(1), 'end', 'start transaction', w(2), 'abort'], ['explicit', 'explicit']],
    ['a block that stays open', ['begin', w(1)], ['explicit']],
    ['one message', [`${w(1)}; ${w(2)}`], ['message']],
    ['one message that fails', [`${w(1)}; ${w(2)}; ${FAILS}; ${w(3)}`], ['message']],
    ['COMMIT in a message without a block', [`${w(1)}; commit; ${w(2)}; ${w(3)}`], ['message', 'message']],
    ['ROLLBACK in a message without a block', [`${w(1)}; rollback; ${w(2)}`], ['message', 'autocommit']],
    ['a block inside a message', [`begin; ${w(1)}; commit; ${w(2)}; ${w(3)}`], ['explicit', 'message']],
    ['COMMIT of an open block, then more', ['begin', `${w(1)}; commit; ${w(2)}; ${w(3)}`], ['explicit', 'message']],
    ['COMMIT of an open block, then one', ['begin', w(1), `commit; ${w(2)}`], ['explicit', 'autocommit']],
    ['ROLLBACK of an open block, then more', ['begin', `${w(1)}; rollback; ${w(2)}`], ['explicit', 'autocommit']],
    [
      'BEGIN takes in what stands before it',
      [`${w(1)}; begin; ${w(2)}; rollback; ${w(3)}`],
      ['explicit', 'autocommit'],
    ],
    ['BEGIN at the end of a message', [`${w(1)}; begin`, w(2), 'commit'], ['explicit']],
    ['a message that fails behind its COMMIT', [`begin; ${w(1)}; commit; ${w(2)}; ${FAILS}`], ['explicit', 'message']],
    ['a message that fails in a block', ['begin', `${w(1)}; ${FAILS}`, 'rollback', w(2)], ['explicit', 'autocommit']],
    ['COMMIT of a failed block', ['begin', w(1), FAILS, w(9), 'commit', w(2)], ['explicit', 'autocommit']],
    ['COMMIT of a block that failed in a message', [`begin; ${w(1)}; ${FAILS}`, 'commit'], ['explicit']],
    ['COMMIT AND CHAIN', ['begin', w(1), 'commit and chain', w(2), 'rollback'], ['explicit', 'explicit']],
    ['ROLLBACK AND CHAIN', ['begin', w(1), 'rollback and chain', w(2), 'commit'], ['explicit', 'explicit']],
    [
      'COMMIT AND CHAIN of a failed block',
      ['begin', w(1), FAILS, 'commit and chain', w(2), 'commit'],
      ['explicit', 'explicit'],
    ],
    ['AND CHAIN inside a message', [`begin; ${w(1)}; commit and chain; ${w(2)}`, 'rollback'], ['explicit', 'explicit']],
    ['a savepoint', ['begin', w(1), 'savepoint s', w(2), 'release s', w(3), 'commit'], ['explicit']],
    [
      'ROLLBACK TO after an error',
      ['begin', w(1), 'savepoint s', FAILS, 'rollback to s', w(2), 'commit'],
      ['explicit'],
    ],
    [
      'ROLLBACK TO after an error and COMMIT in one message',
      ['begin', w(1), 'savepoint s', FAILS, `rollback to s; ${w(2)}; commit`],
      ['explicit'],
    ],
    [
      'ROLLBACK TO after an error, then another error',
      ['begin', w(1), 'savepoint s', FAILS, 'rollback to s', w(2), FAILS, 'commit'],
      ['explicit'],
    ],
    ['a savepoint without a block', [`${w(1)}; savepoint s; ${w(2)}`, w(3)], ['message', 'autocommit']],
    ['a deferred constraint at COMMIT', ['begin', w(1), LATE, 'commit', w(2)], ['explicit', 'autocommit']],
    ['a deferred constraint at the end of a message', [`${w(1)}; ${LATE}`, w(2)], ['message', 'autocommit']],
    [
      'a deferred constraint at a COMMIT inside',
      [`begin; ${LATE}; ${w(1)}; commit; ${w(2)}`, w(3)],
      ['explicit', 'autocommit'],
    ],
    ['a pipeline', [[w(1), w(2)]], ['message']],
    ['a pipeline that fails', [[w(1), FAILS, w(2)], w(3)], ['message', 'autocommit']],
    ['a pipeline with a block', [['begin', w(1), 'commit', w(2)]], ['explicit', 'autocommit']],
    ['a deferred constraint at the end of a pipeline', [[w(1), LATE], w(2)], ['message', 'autocommit']],
    ['a pipeline that ends a block', ['begin', [w(1), 'commit', w(2), w(3)]], ['explicit', 'message']],
    ['a connection lost in a block', ['begin', w(1), `${w(2)}; ${GONE}; ${w(3)}`], ['explicit']],
    ['a connection lost in a message', [w(1), `${w(2)}; ${GONE}; ${w(3)}`], ['autocommit', 'message']],
    ['a connection lost behind a COMMIT', [`begin; ${w(1)}; commit; ${w(2)}; ${GONE}`], ['explicit', 'message']],
    ['a connection lost in a pipeline', [[w(1), GONE, w(2)]], ['message']],
    [
      'PREPARE TRANSACTION and COMMIT PREPARED',
      ['begin', w(1), `prepare transaction 'kept'`, w(2), `commit prepared 'kept'`],
      ['explicit', 'autocommit'],
    ],
    [
      'PREPARE TRANSACTION and ROLLBACK PREPARED',
      ['begin', w(1), `prepare transaction 'gone'`, w(2), `rollback prepared 'gone'`],
      ['explicit', 'autocommit'],
    ],
    [
      'PREPARE TRANSACTION of a failed block',
      ['begin', w(1), FAILS, `prepare transaction 'none'`, w(2)],
      ['explicit', 'autocommit'],
    ],
    ['warnings that change nothing', ['commit', w(1), 'begin', 'begin', w(2), 'commit'], ['autocommit', 'explicit']],
  ])('%s', async (_, messages, kinds) => {
    const { found, kinds: told } = await compare(messages)
    expect(told).toEqual(kinds)
    for (const one of found.transactions) {
      expect(one.startMs).toBeLessThanOrEqual(one.end.sentMs)
      expect(one.end.sentMs).toBeLessThanOrEqual(one.end.readyMs)
    }
    expect(found.transactions.map((one) => one.ordinal)).toEqual(found.transactions.map((_one, index) => index + 1))
  })

  /** Sends every statement of a message by itself, as the quiet pass does. */
  const apart: Interposer = {
    before: ({ sql, protocol }) => {
      const pieces = piecesOf(sql ?? '').map((piece) => piece.sql)
      return Promise.resolve(protocol === 'simple' && pieces.length > 1 ? pieces : null)
    },
    after: () => Promise.resolve(),
  }
  it.each<[string, Message[]]>([
    ['all of it', [`${w(1)}; ${w(2)}`, w(3)]],
    ['one that fails', [`${w(1)}; ${FAILS}; ${w(2)}`, w(3)]],
    ['a deferred constraint', [`${w(1)}; ${LATE}`, w(3)]],
    ['in a block', ['begin', `${w(1)}; ${w(2)}`, 'commit']],
    ['in a block that fails', ['begin', `${w(1)}; ${FAILS}`, 'commit', w(3)]],
  ])('sent in pieces: %s', async (_, messages) => {
    const { kinds } = await compare(messages, apart)
    expect(kinds[0]).toBe(messages[0] === 'begin' ? 'explicit' : 'message')
  })

  it('two sessions at once', async () => {
    const rows: (string | null)[][] = []
    const sessions = await throughProxy(server.migrate, async (proxy) => {
      const [one, other] = [await openRaw(proxy.address), await openRaw(proxy.address)]
      rows.push(...(await talk(one, ['begin', w(1)])))
      rows.push(...(await talk(other, ['begin', w(2), `${w(3)}; ${w(4)}`])))
      rows.push(...(await talk(one, [w(5), 'rollback', w(6)])))
      rows.push(...(await talk(other, ['commit', `${w(7)}; ${w(8)}`])))
      await Promise.all([one.end(), other.end()])
    })
    const { told } = traced(sessions, answeredBy(rows))
    expect(told).toEqual(await truth(rows))
    expect(told).toEqual(['rolled back 1 5', 'committed 2 3 4', 'committed 6', 'committed 7 8'])
  })
})

describe('their times', () => {
  it('a failed block has let go with its error, a good one with the answer to COMMIT', async () => {
    const { found } = await compare([
      'begin',
      w(1),
      FAILS,
      'select pg_sleep(0.05)',
      'rollback',
      'begin',
      w(2),
      'select pg_sleep(0.05)',
      'commit',
    ])
    const [failed, good] = found.transactions
    expect(failed).toMatchObject({ committed: false })
    expect(good).toMatchObject({ committed: true })
    expect((good?.end.readyMs ?? 0) - (good?.startMs ?? 0)).toBeGreaterThan(50)
    expect((good?.end.sentMs ?? 0) - (good?.startMs ?? 0)).toBeGreaterThan(50)
  })

  it('a COMMIT inside a message ends before the rest of it', async () => {
    const { found } = await compare([`begin; ${w(1)}; commit; select pg_sleep(0.2); ${w(2)}`])
    const [first, second] = found.transactions
    expect((second?.end.readyMs ?? 0) - (first?.startMs ?? 0)).toBeGreaterThan(200)
    // Its locks were gone before the pause: what is said of it may be too late, but never too early.
    expect(first?.end.readyMs).toBeLessThanOrEqual(second?.end.readyMs ?? 0)
  })
})
