import { describe, expect, it } from 'vitest'
import { announcements } from '../../src/observe/announcements.js'
import { cyclePids, deadlocks } from '../../src/observe/deadlocks.js'
import { ConnectionPids } from '../../src/observe/uses.js'
import { granted, look, run, waiting } from './build.js'

const DETAIL = [
  'Process 41 waits for AccessExclusiveLock on relation 16384 of database 5; blocked by process 7.',
  'Process 7 waits for ROW EXCLUSIVE on relation 16390 of database 5; blocked by process 41.',
  'Process 41: lock table a',
  "Process 7: update b set name = 'Process 99'",
].join('\n')

describe('deadlocks', () => {
  it('the processes of the cycle, each once', () => {
    expect(
      cyclePids('Process 41 waits for x; blocked by process 7.\nProcess 7 waits for y; blocked by process 41.'),
    ).toEqual([41, 7])
    expect(cyclePids('')).toEqual([])
  })

  it('a text in a query of the cycle is no process of it', () => {
    expect(cyclePids(DETAIL)).toEqual([41, 7])
  })

  const statementAt = (atMs: number): string | null => (atMs === 5 ? 'a#9' : null)
  const nameOf = (pid: number): string | null => (pid === 7 ? 'old put' : null)

  it('traffic is the victim of a cycle with the migration', () => {
    expect(
      deadlocks([{ atMs: 5, pid: 7, detail: DETAIL, by: 'new get', statement: null }], [41], nameOf, statementAt),
    ).toEqual([
      { atMs: 5, victim: 'new get', participants: ['migration', 'new get'], involvesMigration: true, statement: 'a#9' },
    ])
  })

  it('the migration is the victim; the other is named by what it was seen doing', () => {
    expect(
      deadlocks([{ atMs: 5, pid: 41, detail: DETAIL, by: 'migration', statement: 'a#2' }], [41], nameOf, statementAt),
    ).toEqual([
      {
        atMs: 5,
        victim: 'migration',
        participants: ['migration', 'old put'],
        involvesMigration: true,
        statement: 'a#2',
      },
    ])
  })

  it('a cycle of traffic alone, with somebody whom nobody saw', () => {
    const [found] = deadlocks(
      [{ atMs: 5, pid: 7, detail: DETAIL, by: 'new get', statement: null }],
      [1],
      () => null,
      statementAt,
    )
    expect(found).toMatchObject({
      participants: ['another session', 'new get'],
      involvesMigration: false,
      statement: null,
    })
  })

  it('without a detail there is only the victim', () => {
    const report = { atMs: 5, pid: null, detail: '', statement: null }
    expect(
      deadlocks(
        [
          { ...report, by: 'old put' },
          { ...report, by: 'migration' },
        ],
        [1],
        nameOf,
        statementAt,
      ),
    ).toMatchObject([
      { participants: ['old put'], involvesMigration: false },
      { participants: ['migration'], involvesMigration: true },
    ])
  })
})

describe('announcements', () => {
  const notices = (...messages: string[]) => messages.map((message, i) => ({ atMs: 100 + i, message }))
  const statements = [run('a#1', 99, 101), run('a#2', 102, 110)]

  it.each([
    ['rewriting table "orders"', 'orders'],
    ['verifying table "orders"', 'orders'],
    ['building index "orders_idx" on table "orders" serially', 'orders'],
    ['building index "orders_idx" on table "orders" with request for 1 parallel workers', 'orders'],
    ['rewriting table "orders"', 'sales.orders'],
  ])('%s', (message, table) => {
    const announced = announcements(notices(message), statements)
    expect(announced('a#1', table)).toBe(100)
    expect(announced('a#2', table)).toBeNull()
    expect(announced('a#1', 'users')).toBeNull()
  })

  it('the first of several counts, and only within its statement', () => {
    const announced = announcements(
      [
        ...notices('verifying table "orders"', 'rewriting table "orders"', 'rewriting table "orders"'),
        { atMs: 500, message: 'rewriting table "users"' },
      ],
      statements,
    )
    expect(announced('a#1', 'orders')).toBe(100)
    expect(announced('a#2', 'orders')).toBe(102)
    expect(announced('a#2', 'users')).toBeNull()
  })

  it('other notices say nothing about a lock', () => {
    const announced = announcements(
      notices('table "orders" does not exist, skipping', 'CREATE TABLE will create implicit sequence "orders"'),
      statements,
    )
    expect(announced('a#1', 'orders')).toBeNull()
  })
})

describe('which session was which', () => {
  const sessions = new Map([
    [2, { release: 'old' as const, connection: 1, operation: 'get', sampleIndex: 12 }],
    [3, { release: 'new' as const, connection: 4, operation: null, sampleIndex: null }],
  ])
  const pids = new ConnectionPids()
  for (const one of [
    look(100, [granted(2, 'orders', 'SHARE')]),
    look(110, [waiting(2, 'orders', 'SHARE', [3, 1]), granted(1, 'orders', 'SHARE')]),
    look(120, [
      waiting(2, 'orders', 'SHARE', [3]),
      waiting(3, 'orders', 'SHARE', [99]),
      waiting(99, 'users', 'SHARE', [1]),
    ]),
  ])
    pids.look(one, (pid) => sessions.get(pid) ?? null)

  it('keeps who waits and who stands in the way', () => {
    expect(pids.uses.map((uses) => [...uses.keys()])).toEqual([[], [2, 3], [2, 3]])
    expect(pids.uses[1]?.get(2)).toEqual({ release: 'old', connection: 1, operation: 'get' })
  })

  it('counts the waiting sessions of the traffic, by release', () => {
    expect([0, 1, 2, 3].map((i) => [pids.waitingAt(i), pids.waitingAt(i, 'old'), pids.waitingAt(i, 'new')])).toEqual([
      [0, 0, 0],
      [1, 1, 0],
      [2, 1, 1],
      [0, 0, 0],
    ])
  })

  it('names them', () => {
    expect([1, 0, 2, 3, 99].map((pid) => pids.name(pid, 1, [1]))).toEqual([
      'migration',
      'a prepared transaction',
      'old #1 get',
      'new #4 (between operations)',
      'another session',
    ])
    expect(pids.name(2, 0, [1])).toBe('another session')
  })

  it('a look is read late: what waited may have ended meanwhile, and others after it', () => {
    const own = new ConnectionPids()
    const ended = (operation: string, startMs: number, endMs: number) =>
      own.ended({ pid: 2, release: 'old', connection: 1, operation, startMs, endMs, failed: false })
    ended('before', 50, 99)
    ended('put', 99.1, 100.8)
    ended('next', 100.9, 101.1)
    own.look(look(100, [waiting(2, 'orders', 'SHARE', [1])], 2), () => sessions.get(2) ?? null)
    expect(own.uses[0]?.get(2)?.operation).toBe('put')
    expect(own.settled).toMatchObject([{ operation: 'put' }])
    // Still running when the look is read.
    own.look(look(200, [waiting(2, 'orders', 'SHARE', [1])], 2), () => sessions.get(2) ?? null)
    expect(own.uses[1]?.get(2)?.operation).toBe('get')
    ended('get', 199, 300)
    expect(own.settled).toMatchObject([{ operation: 'put' }, { operation: 'get' }])
  })

  it('keeps no operation that was never seen waiting', () => {
    const own = new ConnectionPids()
    own.ended({ pid: 2, release: 'old', connection: 1, operation: 'get', startMs: 1, endMs: 2, failed: false })
    own.look(look(100), () => null)
    expect(own.settled).toEqual([])
  })

  it('knows who somebody was around an instant', () => {
    expect(pids.at(2, 100)).toBe('old get')
    expect(pids.at(3, 500)).toBe('new (between operations)')
    expect(pids.at(2, 20)).toBeNull()
    expect(pids.at(77, 500)).toBeNull()
  })
})
