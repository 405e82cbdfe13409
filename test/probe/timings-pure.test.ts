/** What needs no server: intervals, how often something is run, identities of renamed things, words of changes. */
import { describe, expect, it } from 'vitest'
import { changesOf, sameShape } from '../../src/probe/timings/changes.js'
import { compareNames, type Catalog } from '../../src/probe/timings/names.js'
import { reduce, type RawPlan } from '../../src/probe/timings/plan.js'
import { measure, planRuns } from '../../src/probe/timings/rounds.js'
import type { TimingSession } from '../../src/probe/timings/session.js'
import { median, medianInterval, ratioOf, timingOf } from '../../src/probe/timings/statistics.js'
import { workOf } from '../../src/probe/timings/work.js'
import { Random } from '../../src/traffic/random.js'
import { parseScript } from '../../src/traffic/script.js'

describe('statistics', () => {
  it('median and MAD', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 2, 3])).toBe(2.5)
    expect(timingOf([1, 2, 3, 100])).toEqual({ samples: 4, medianMs: 2.5, madMs: 1 })
    expect(timingOf([])).toBeNull()
  })
  it('the ends of the interval are the tabulated order statistics of the sign test', () => {
    // Conover, table of the binomial distribution: the k-th smallest and k-th largest hold the median with 95 %.
    expect([5, 6, 8, 9, 10, 12, 20, 25].map(medianInterval)).toEqual([null, 1, 1, 2, 2, 3, 6, 8])
  })
  it('holds the true ratio in at least 95 % of all cases, and one disturbed round decides nothing', () => {
    const random = new Random(7)
    const noise = (): number => 1 + random.next() ** 3 * 4
    let held = 0
    const times = 2_000
    for (let i = 0; i < times; i++) {
      const rounds = (factor: number): number[][] =>
        Array.from({ length: 10 }, () => [factor * noise(), factor * noise(), factor * noise()])
      const ratio = ratioOf(rounds(1), rounds(2))
      if (ratio && ratio.low <= 2 && ratio.high >= 2) held++
    }
    expect(held / times).toBeGreaterThan(0.95)
    const quiet = Array.from({ length: 10 }, () => [1])
    const disturbed = quiet.map((round, i) => (i === 3 ? [50] : round))
    expect(ratioOf(quiet, disturbed)).toEqual({ value: 1, low: 1, high: 1, rounds: 10 })
    expect(ratioOf(quiet.slice(5), disturbed.slice(5))).toBeNull()
  })
})

it('what is slow is run less often, but warmed beyond the sixth run and in six rounds', () => {
  expect(planRuns(1, 600)).toEqual({ warm: 10, rounds: 10, perRound: 10 })
  expect(planRuns(10, 400)).toEqual({ warm: 10, rounds: 10, perRound: 3 })
  expect(planRuns(30, 500)).toEqual({ warm: 6, rounds: 10, perRound: 1 })
  expect(planRuns(1_000, 500)).toEqual({ warm: 6, rounds: 6, perRound: 1 })
})

describe('rounds', () => {
  const variables = { rows: 100, clientId: 0, seed: 1 }
  const script = '-- name: a\nselect 1;\n-- name: b\nselect 2;\n'
  const { works } = workOf(parseScript(script, 'a.sql', 'old'), variables, 1, () => false)
  /** Notes which copy ran what. */
  const noting = (copy: string, log: string[]): TimingSession => ({
    run: (execution) => {
      log.push(`${copy}${execution.kind === 'script' ? (execution.statements[0]?.text.at(-1) ?? '') : ''}`)
      return Promise.resolve(1)
    },
    rolledBack: () => Promise.reject(new Error('not here')),
    close: () => Promise.resolve(),
  })
  const allowance = { shareMs: 0, mostMs: 1_000, stopped: () => false }

  it('take turns who is first, and those of one operation are mixed with the others', async () => {
    const log: string[] = []
    const [one] = await measure(works, [noting('A', log), noting('B', log)], () => allowance)
    expect(one).toMatchObject({ failures: [null, null] })
    expect(typeof one === 'object' && one.rounds.map((rounds) => rounds.length)).toEqual([6, 6])
    const turns = log.slice(-24)
    expect(turns.slice(0, 8).join(' ')).toBe('A1 B1 A2 B2 B1 A1 B2 A2')
    expect(turns.slice(8, 16)).toEqual(turns.slice(0, 8))
    // Both were warmed as often, with the same values.
    expect(log.filter((run) => run === 'A1')).toHaveLength(log.filter((run) => run === 'B1').length)
  })
  it('end with what was measured when it is interrupted, or when there is no time', async () => {
    const log: string[] = []
    const sessions = [noting('A', log), noting('B', log)]
    expect(await measure(works, sessions, () => 'no time')).toEqual(['no time', 'no time'])
    expect(log).toEqual([])
    const stop = { ...allowance, stopped: () => log.length > 30 }
    const [first] = await measure(works, sessions, () => stop)
    expect(typeof first === 'object' && (first.rounds[0]?.length ?? 9)).toBeLessThan(6)
  })
  it('say what is too slow', async () => {
    const slow: TimingSession = {
      ...noting('A', []),
      run: () => new Promise((resolve) => setTimeout(() => resolve(30), 30)),
    }
    const [one] = await measure(works.slice(0, 1), [slow], () => ({ ...allowance, mostMs: 60 }))
    expect(one).toMatch(/^one run takes \d+ ms, too long/)
  })
})

describe('work', () => {
  const variables = { rows: 100, clientId: 0, seed: 1 }
  const script = (text: string, release: 'old' | 'new' = 'old') => parseScript(text, 'a.sql', release)
  it('is the same for the same statements and values, touched tables first, by weight', () => {
    const operations = [
      ...script(
        '-- name: a; weight: 2\n\\set x random(1, 9)\nselect :x;\n-- name: b; weight: 9\nselect 2;\n-- name: c\nselect 3;\n',
      ),
      ...script('-- name: d\n\\set x random(1, 9)\nselect :x;\n-- name: e\n\\set x random(1, 8)\nselect :x;\n', 'new'),
    ]
    const { works, failed } = workOf(operations, variables, 1, ({ name }) => name === 'c')
    expect(works.map((work) => work.operations.map((o) => o.name))).toEqual([['c'], ['b'], ['a', 'd'], ['e']])
    expect(failed).toEqual([])
    expect(works[2]?.execution(4)).toEqual(works[2]?.execution(4))
    expect(works[2]?.execution(4)).not.toEqual(works[2]?.execution(5))
  })
  it('has no BEGIN, COMMIT and pause of its own, and says what cannot be drawn', () => {
    const text =
      '-- name: a\nbegin;\nselect 1;\n\\sleep 1 s\nsavepoint s;\ncommit;\n-- name: z\n\\set x 1 / 0\nselect :x;\n'
    const { works, failed } = workOf(script(text), variables, 1, () => false)
    const execution = works[0]?.execution(0)
    expect(execution?.kind === 'script' && execution.statements.map((s) => s.text)).toEqual(['select 1', 'savepoint s'])
    expect(failed.map(({ operation }) => operation.name)).toEqual(['z'])
  })
})

const catalog = (
  relations: Record<number, string>,
  indexes: [oid: number, name: string, table: number, definition: string][] = [],
  columns: [key: string, name: string, analysed: boolean][] = [],
): Catalog => ({
  relations: new Map(Object.entries(relations).map(([oid, name]) => [Number(oid), name])),
  indexes: indexes.map(([oid, name, table, definition]) => ({ oid, name, table, definition })),
  columns: new Map(columns.map(([key, name, analysed]) => [key, { table: Number(key.split('.')[0]), name, analysed }])),
  deferred: false,
})

describe('names', () => {
  it('go by OID: renamed tables and indexes are what they were', () => {
    const names = compareNames(
      catalog({ 1: 'orders', 2: 'users' }, [[10, 'orders_idx', 1, 'a']]),
      catalog({ 1: 'purchases', 2: 'users' }, [[10, 'purchases_idx', 1, 'a']]),
    )
    expect([names.relation('purchases'), names.relation('users'), names.relation('new')]).toEqual([
      'orders',
      'users',
      'new',
    ])
    expect(names.index('purchases_idx')).toBe('orders_idx')
    expect(names.isThere('orders_idx')).toBe(true)
  })
  it('a table that took the place of another has its name', () => {
    const names = compareNames(catalog({ 1: 'orders' }), catalog({ 1: 'orders_old', 2: 'orders' }))
    expect([names.relation('orders'), names.relation('orders_old')]).toEqual(['orders', 'orders_old'])
  })
  it('an index made anew is the same by its definition, unless the old one is still there', () => {
    const before = catalog({ 1: 'o' }, [[10, 'a_idx', 1, 'x']])
    const anew = compareNames(before, catalog({ 1: 'o' }, [[11, 'b_idx', 1, 'x']]))
    expect([anew.index('b_idx'), anew.isThere('a_idx')]).toEqual(['a_idx', true])
    const both = catalog({ 1: 'o' }, [[10, 'a_idx', 1, 'x'], [11, 'b_idx', 1, 'x']]) // prettier-ignore
    expect(compareNames(before, both).index('b_idx')).toBeNull()
    expect(compareNames(before, catalog({ 1: 'o' }, [[11, 'b_idx', 1, 'y']])).isThere('a_idx')).toBe(false)
  })
})

describe('changes', () => {
  type Json = Record<string, unknown>
  const node = (type: string, rows: number, over: Json = {}, below: Json[] = []): Json => ({
    'Node Type': type,
    'Actual Rows': rows,
    'Plan Rows': rows,
    'Actual Loops': 1,
    'Shared Hit Blocks': 3,
    'Temp Read Blocks': 0,
    'Temp Written Blocks': 0,
    Filter: '(secret = 1)',
    'Total Cost': 99,
    ...over,
    Plans: below,
  })
  const on = (relation: string, index?: string): Json => ({
    Schema: 'public',
    'Relation Name': relation,
    ...(index === undefined ? {} : { 'Index Name': index }),
  })
  const names = compareNames(
    catalog({ 1: 'orders' }, [[10, 'a_idx', 1, 'x'], [11, 'b_idx', 1, 'y']], [['1.3', 'status', true]]), // prettier-ignore
    catalog({ 1: 'orders' }, [[10, 'a_idx', 1, 'x'], [11, 'b_idx', 1, 'y']], [['1.3', 'status', false]]), // prettier-ignore
  )
  const texts = (before: RawPlan, after: RawPlan): string[] =>
    changesOf(before, after, names).map((change) => change.text)
  const byIndex = (index: string) => reduce(node('Index Scan', 5, on('orders', index)))

  it('only what may be told leaves a plan', () => {
    const { plan } = reduce(node('Index Scan', 5, { ...on('orders', 'a_idx'), 'Rows Removed by Filter': 7 }))
    expect(JSON.stringify(plan)).not.toMatch(/secret|99/)
    expect(plan.nodes).toEqual([
      { node: 'Index Scan', relation: 'orders', index: 'a_idx', depth: 0, rows: 5, expectedRows: 5, rowsRead: 12 },
    ])
    expect(plan.pagesHit).toBe(3)
  })
  it('of indexes', () => {
    const scan = reduce(node('Seq Scan', 5, on('orders')))
    expect(texts(byIndex('a_idx'), scan)).toEqual(['index a_idx is no longer used', 'new sequential scan of orders'])
    expect(texts(byIndex('a_idx'), byIndex('b_idx'))).toEqual(['index a_idx is no longer used: b_idx is used instead'])
    expect(texts(scan, byIndex('b_idx'))).toEqual(['index b_idx is used now'])
    expect(texts(byIndex('a_idx'), byIndex('a_idx'))).toEqual([])
  })
  it('of estimates that were right, of sorts, loops and temporary files', () => {
    const wrong = reduce(node('Index Scan', 34_000, { ...on('orders', 'a_idx'), 'Plan Rows': 1 }))
    const right = reduce(node('Index Scan', 34_000, on('orders', 'a_idx')))
    expect(texts(right, wrong)).toEqual(['statistics of orders.status are gone: 1 row expected, 34,000 came'])
    expect(texts(wrong, wrong)).toEqual([])
    const plain = node('Seq Scan', 34_000, on('orders'))
    expect(texts(reduce(plain), reduce(node('Sort', 34_000, { 'Temp Written Blocks': 8 }, [plain])))).toEqual([
      'new sort of 34,000 rows',
      'writes to temporary files: 8 pages written and read',
    ])
    const inner = node('Index Scan', 1, on('orders', 'a_idx'))
    const loop = reduce(node('Nested Loop', 34_000, {}, [plain, inner]))
    expect(texts(reduce(node('Hash Join', 34_000, {}, [plain, inner])), loop)).toEqual(['nested loop over 34,000 rows'])
  })
  it('of other nodes', () => {
    const join = (kind: string) => reduce(node(kind, 3, {}, [node('Seq Scan', 3, on('orders'))]))
    expect(texts(join('Merge Join'), join('Hash Join'))).toEqual(['Hash Join instead of Merge Join'])
    expect(sameShape(join('Hash Join'), join('Hash Join'), names)).toBe(true)
    expect(sameShape(join('Merge Join'), join('Hash Join'), names)).toBe(false)
  })
})
