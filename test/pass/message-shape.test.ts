/** Whether the statements of a message can be told apart, or may be sent one by one instead. */
import { describe, expect, it } from 'vitest'
import { piecesOf } from '../../src/migrations/wire-trace/steps.js'
import { assignLooks, type LookKind } from '../../src/observe/looks.js'
import { lookKind, mayTakeApart, tellsApart } from '../../src/pass/message-shape.js'

const ALTER = 'alter table t add a int'
const INDEX = 'create index on t (a)'
const UPDATE = 'update t set a = 1'

describe('what is seen of a statement', () => {
  it.each<[LookKind, string[]]>([
    [
      'loud',
      [ALTER, INDEX, 'create table t ()', 'create table u as select 1', 'drop table t', 'comment on table t is $$x$$'],
    ],
    [
      'loud',
      ['grant select on t to app', 'refresh materialized view m', 'drop owned by app', 'alter table t rename to u'],
    ],
    [
      'silent',
      [UPDATE, 'insert into t values (1)', 'delete from t', 'truncate t', 'lock table t', 'cluster t', 'vacuum t'],
    ],
    [
      'silent',
      ['analyze t', 'set constraints all immediate', 'create role r', 'alter system set a = 1', 'do $$begin end$$'],
    ],
    [
      'silent',
      ['comment on role r is $$x$$', 'grant connect on database d to app', 'grant a to b', 'select 1', 'call p()'],
    ],
    [
      'silent',
      ['reindex table t', 'with x as (delete from t returning *) select * from x', 'reassign owned by a to b'],
    ],
    [
      'none',
      ["set lock_timeout = '1s'", 'reset all', 'set transaction read only', 'show all', 'discard all', 'notify n'],
    ],
    ['cut', ['begin', 'commit', 'rollback', 'savepoint s', 'release s', "prepare transaction 'x'", 'begin read only']],
    ['silent', ['selec 1']],
  ])('%s: %j', (kind, texts) => {
    for (const text of texts) expect([text, ...piecesOf(text).map(lookKind)]).toEqual([text, kind])
  })
})

describe('told apart by looks', () => {
  it.each<[string, string[], 'always' | 'in a transaction' | 'never']>([
    ['statements of DDL', [ALTER, INDEX, ALTER], 'always'],
    ['one other between two', [ALTER, UPDATE, INDEX], 'always'],
    ['settings anywhere', ["set a.b = 'x'", ALTER, 'reset a.b', UPDATE, 'show a.b', INDEX, 'reset all'], 'always'],
    ['one at the beginning', [UPDATE, ALTER], 'in a transaction'],
    ['one at the end', [ALTER, UPDATE], 'in a transaction'],
    ['one at the end but for a setting', [ALTER, UPDATE, 'reset all'], 'in a transaction'],
    ['one at the beginning, one at the end', [UPDATE, ALTER, UPDATE], 'in a transaction'],
    ['two side by side', [ALTER, UPDATE, UPDATE, INDEX], 'never'],
    ['two with a setting between', [ALTER, UPDATE, 'reset all', UPDATE, INDEX], 'never'],
    ['one of them before COMMIT', [ALTER, UPDATE, 'commit', INDEX], 'never'],
    ['one of them behind BEGIN', ['begin', UPDATE, ALTER, INDEX], 'never'],
    ['with BEGIN and COMMIT around', ['begin', ALTER, INDEX, 'commit'], 'always'],
    ['what may run anything', [ALTER, 'do $$begin end$$', INDEX], 'never'],
    ['a query, whose functions may do anything', [ALTER, 'select f()', INDEX], 'never'],
    ['REINDEX, which looks on some majors', [ALTER, 'reindex table t', INDEX], 'never'],
  ])('%s', (_, texts, when) => {
    const pieces = piecesOf(texts.join('; '))
    expect(tellsApart(pieces, true)).toBe(when !== 'never')
    expect(tellsApart(pieces, false)).toBe(when === 'always')
  })

  it('not where it does not parse', () => {
    expect(tellsApart(piecesOf('alter tabel t; create index'), true)).toBe(false)
  })
})

describe('sent one by one', () => {
  it.each<[string, boolean, boolean]>([
    // text, outside a transaction, inside one
    [`${UPDATE}; ${UPDATE}`, true, true],
    [`${UPDATE}; set local lock_timeout = 1`, true, true],
    [`${UPDATE}; do $$begin end$$`, true, true],
    [`${UPDATE}; commit; ${UPDATE}`, false, false],
    [`begin; ${UPDATE}`, false, false],
    [`${UPDATE}; savepoint s`, false, false],
    [`${UPDATE}; create index concurrently on t (a)`, false, false],
    [`${UPDATE}; vacuum t`, false, false],
    ['set transaction isolation level serializable; select 1', false, false],
    ['selec 1; select 2', false, false],
    // Alone: in a block of ours its locks can be asked for.
    [UPDATE, true, false],
    [ALTER, true, false],
    ['create index concurrently on t (a)', false, false],
    ['call p()', false, false],
    ['do $$begin commit; end$$', false, false],
    ["set lock_timeout = '1s'", false, false],
    ['reindex table t', false, false],
    ['cluster t', false, false],
    ['vacuum t', false, false],
    ['alter subscription s refresh publication', false, false],
  ])('%s', (text, outside, inside) => {
    expect([mayTakeApart(piecesOf(text), false), mayTakeApart(piecesOf(text), true)]).toEqual([outside, inside])
  })
})

describe('looks put to their statements', () => {
  const look = (event: 'start' | 'end', n: number): { event: string; n: number } => ({
    event: `ddl_command_${event}`,
    n,
  })
  const pair = (n: number): { event: string; n: number }[] => [look('start', n), look('end', n)]
  const told = (...given: Parameters<typeof assignLooks<{ event: string; n: number }>>): unknown =>
    assignLooks(...given).map((one) => one && [one.before.n, one.after.n])
  const [first, last] = [
    { event: '', n: 0 },
    { event: '', n: 99 },
  ]

  it.each<[string, LookKind[], { event: string; n: number }[], number | null, unknown]>([
    [
      'its own pair',
      ['loud', 'loud'],
      [...pair(1), ...pair(2)],
      null,
      [
        [1, 1],
        [2, 2],
      ],
    ],
    [
      'between its neighbours',
      ['loud', 'silent', 'loud'],
      [...pair(1), ...pair(2)],
      null,
      [
        [1, 1],
        [1, 2],
        [2, 2],
      ],
    ],
    [
      'from the start to the end',
      ['silent', 'loud', 'silent'],
      pair(1),
      null,
      [
        [0, 1],
        [1, 1],
        [1, 99],
      ],
    ],
    ['over settings', ['none', 'silent', 'none', 'loud'], pair(1), null, [null, [0, 1], null, [1, 1]]],
    ['two side by side are not told apart', ['silent', 'silent', 'loud'], pair(1), null, [null, null, [1, 1]]],
    [
      'statements inside a statement',
      ['loud', 'loud'],
      [look('start', 1), ...pair(7), look('end', 1), ...pair(2)],
      null,
      [
        [1, 1],
        [2, 2],
      ],
    ],
    ['one that fails has no end', ['loud', 'loud', 'loud'], [...pair(1), look('start', 2)], 1, [[1, 1], null, null]],
    ['one that fails before it looks', ['loud', 'loud'], pair(1), 1, [[1, 1], null]],
    ['one that does not look fails', ['loud', 'silent', 'loud'], pair(1), 1, [[1, 1], null, null]],
    ['more looks than expected: nothing is certain', ['loud', 'silent'], [...pair(1), ...pair(2)], null, [null, null]],
    ['fewer: nothing either', ['loud', 'loud'], pair(1), null, [null, null]],
  ])('%s', (_, kinds, looks, failedAt, expected) => {
    expect(told(kinds, looks, first, failedAt === null ? last : null, failedAt)).toEqual(expected)
  })

  it('outside a transaction nothing is known of before and after', () => {
    expect(told(['silent', 'loud', 'silent'], pair(1), null, null)).toEqual([null, [1, 1], null])
  })
})
