import { describe, expect, it } from 'vitest'
import { isMetric, level, limits, METRICS } from '../../src/judge/budgets.js'
import { project } from '../../src/judge/projection.js'

describe('level', () => {
  const limit = { warn: 100, fail: 1_000 }
  it.each<[number, number, string]>([
    [0, 0, 'ok'],
    [100, 100, 'ok'],
    [100.1, 100.1, 'warn'],
    [1_000, 1_000, 'warn'],
    [1_000.1, 1_000.1, 'fail'],
    // Only what is proved fails.
    [999, 1_001, 'warn'],
    [50, 1_001, 'warn'],
    [50, 1_000, 'ok'],
    // The high end beyond the warning alone proves nothing.
    [99, 900, 'ok'],
    [1_001, 5_000, 'fail'],
  ])('[%d, %d] is %s', (low, high, expected) => expect(level({ low, high }, limit)).toBe(expected))

  it.each<[string, { warn: number | null; fail: number | null }, number, string]>([
    ['no failing limit', { warn: 100, fail: null }, 1e9, 'warn'],
    ['no warning limit', { warn: null, fail: 100 }, 99, 'ok'],
    ['no warning limit', { warn: null, fail: 100 }, 101, 'fail'],
    ['no limit', { warn: null, fail: null }, 1e9, 'ok'],
    ['a limit of zero', { warn: 0, fail: 0 }, 0.1, 'fail'],
  ])('%s', (_, limits, value, expected) => expect(level({ low: value, high: value }, limits)).toBe(expected))
})

describe('limits', () => {
  it("the recording's own win over the defaults, one by one", () => {
    expect(limits('lock.held', {})).toEqual({ warn: 100, fail: 1_000 })
    expect(limits('operation.blocked', {})).toEqual({ warn: 200, fail: 2_000 })
    expect(limits('statement.underLock', {})).toEqual({ warn: 5_000, fail: null })
    expect(limits('lock.held', { 'lock.held': { warn: null, fail: 7 } })).toEqual({ warn: null, fail: 7 })
    expect(limits('operation.blocked', { 'lock.held': { warn: null, fail: 7 } })).toEqual({ warn: 200, fail: 2_000 })
  })
  it('know their metrics, and no property of objects', () => {
    for (const metric of Object.keys(METRICS)) expect(isMetric(metric)).toBe(true)
    expect(isMetric('toString')).toBe(false)
    expect(isMetric('nope')).toBe(false)
  })
})

describe('project', () => {
  const input = {
    relation: 'orders',
    work: 'scan' as const,
    rowsHere: 1_000,
    rowsInProduction: 100_000,
    durationsMs: [50],
    constantMs: 2,
  }

  it('less the constant part, times the ratio of sizes, half to three times', () => {
    expect(project(input)).toEqual({
      relation: 'orders',
      work: 'scan',
      rowsHere: 1_000,
      rowsInProduction: 100_000,
      measuredMs: 50,
      lowMs: (50 - 2) * 100 * 0.5,
      highMs: 50 * 100 * 3,
    })
  })
  it('the shortest duration for the low end, the longest for the high end', () => {
    expect(project({ ...input, durationsMs: [60, 40, 50] })).toMatchObject({
      measuredMs: 60,
      lowMs: (40 - 2) * 50,
      highMs: 60 * 300,
    })
  })
  it.each([
    ['scan', 3],
    ['rewrite', 3],
    ['rows written', 3],
    ['index build', 4],
  ] as const)('%s may be %i times slower', (work, times) => {
    expect(project({ ...input, work })?.highMs).toBe(50 * 100 * times)
  })
  it('a statement that costs no more than the constant grows from nothing', () => {
    expect(project({ ...input, durationsMs: [1.5] })?.lowMs).toBe(0)
  })
  it.each([1_000, 10, 0])('production of %i rows is no bigger: what was measured stays', (rowsInProduction) => {
    expect(project({ ...input, rowsInProduction, durationsMs: [40, 60] })).toMatchObject({
      measuredMs: 60,
      lowMs: 40,
      highMs: 60,
    })
  })
  it('nothing without rows here or without a duration', () => {
    expect(project({ ...input, rowsHere: 0 })).toBeNull()
    expect(project({ ...input, durationsMs: [] })).toBeNull()
  })
})
