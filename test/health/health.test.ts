import { describe, expect, it } from 'vitest'
import { sustainableRate, unhealthy } from '../../src/health.js'
import type { TimedPass } from '../../src/recording.js'
import * as p from '../fixtures/parts.js'
import { recording } from '../judge/build.js'

const pass = (over: {
  generator?: Partial<TimedPass['generator']>
  sampler?: Partial<TimedPass['sampler']>
  traffic?: TimedPass['traffic']
  migration?: Partial<TimedPass['migration']>
}): TimedPass => {
  const timed = recording().passes[1]
  if (timed?.kind !== 'timed') throw new Error('no timed pass')
  return {
    ...timed,
    traffic: over.traffic ?? timed.traffic,
    generator: { ...timed.generator, ...over.generator },
    sampler: { ...timed.sampler, ...over.sampler },
    migration: { ...timed.migration, ...over.migration },
  }
}
const causes = (over: Parameters<typeof pass>[0], budgets = {}) => unhealthy(pass(over), budgets).map((u) => u.cause)
const slow = (maxMs: number) => [
  p.trafficRow('old', 'get', 'baseline', 100, { latency: { samples: 100, p50Ms: 2, p95Ms: 5, p99Ms: 9, maxMs } }),
]

describe('unhealthy', () => {
  it.each<[string, Parameters<typeof pass>[0], string[]]>([
    ['a sound pass', {}, []],
    ['late by 25 ms', { generator: { lagP99Ms: 25 } }, []],
    ['late by more', { generator: { lagP99Ms: 25.1 } }, ['generator']],
    ['busy for 70 %', { generator: { eventLoopUtilisation: 0.7 } }, []],
    ['busy for more', { generator: { eventLoopUtilisation: 0.701 } }, ['generator']],
    ['dropped in the baseline', { generator: { baselineDropped: 1 } }, ['generator']],
    ['nothing known of the generator', { generator: { lagP99Ms: null, eventLoopUtilisation: null } }, []],
    [
      'everything at once',
      { generator: { lagP99Ms: 99, eventLoopUtilisation: 1, baselineDropped: 9 } },
      ['generator', 'generator', 'generator'],
    ],
    [
      'nothing completed in the baseline',
      { traffic: [p.trafficRow('old', 'get', 'baseline', 50, { completed: 0, failed: 50, latency: null })] },
      ['baseline'],
    ],
    ['nothing was asked for in the baseline', { traffic: [p.trafficRow('old', 'get', 'baseline', 0)] }, []],
    [
      'one of two operations never completed',
      {
        traffic: [
          p.trafficRow('old', 'get', 'baseline', 50),
          p.trafficRow('old', 'put', 'baseline', 5, { completed: 0, failed: 5 }),
        ],
      },
      [],
    ],
    ['slow as the budget allows', { traffic: slow(2_000) }, []],
    ['slower in the baseline', { traffic: slow(2_001) }, ['baseline']],
    [
      'slower, but not in the baseline',
      {
        traffic: [
          p.trafficRow('old', 'get', 'migrate', 9, {
            latency: { samples: 9, p50Ms: 2, p95Ms: null, p99Ms: null, maxMs: 9_999 },
          }),
        ],
      },
      [],
    ],
    ['the sampler never looked', { sampler: { polls: 0, maxGapMs: null } }, ['sampler']],
    ['a gap of 25 periods', { sampler: { periodMs: 10, maxGapMs: 250 } }, []],
    ['a longer gap', { sampler: { periodMs: 10, maxGapMs: 251 } }, ['sampler']],
    ['the migration ran nothing', { migration: { statements: [] } }, ['migration']],
    [
      'the migration ran nothing because it failed',
      { migration: { statements: [], outcome: p.failed(p.cachedPlan) } },
      [],
    ],
  ])('%s', (_, over, expected) => expect(causes(over)).toEqual(expected))

  it('the baseline is measured against the budget that is set', () => {
    expect(causes({ traffic: slow(150) }, { 'operation.blocked': { warn: null, fail: 100 } })).toEqual(['baseline'])
    expect(causes({ traffic: slow(99_999) }, { 'operation.blocked': { warn: 1, fail: null } })).toEqual([])
  })
})

describe('the rate that would work', () => {
  const rate = (generator: Partial<TimedPass['generator']>, traffic?: TimedPass['traffic']) =>
    sustainableRate(
      pass({
        generator: { ratePerSecond: 1_000, lagP99Ms: 5, eventLoopUtilisation: 0.2, ...generator },
        ...(traffic ? { traffic } : {}),
      }),
    )

  it('is always lower, with room to spare', () => {
    expect(rate({})).toBe(700)
    expect(rate({ lagP99Ms: null, eventLoopUtilisation: null })).toBe(700)
  })
  it('falls as the generator was late, busy or behind, by the worst of them', () => {
    expect(rate({ lagP99Ms: 50 })).toBe(350)
    expect(rate({ eventLoopUtilisation: 0.98 })).toBe(500)
    expect(rate({}, [p.trafficRow('old', 'get', 'baseline', 100, { completed: 50 })])).toBe(350)
    expect(rate({ lagP99Ms: 50, eventLoopUtilisation: 1 })).toBe(350)
  })
  it('is at least one a second, and no less than a tenth for what was done', () => {
    expect(rate({ lagP99Ms: 1e9 })).toBe(1)
    expect(rate({}, [p.trafficRow('old', 'get', 'baseline', 100, { completed: 0 })])).toBe(70)
    expect(rate({}, [p.trafficRow('old', 'get', 'baseline', 0)])).toBe(700)
  })
})
