import { describe, expect, it } from 'vitest'
import { pgError } from '../../src/pg/errors.js'
import { GeneratorHealth, TrafficError, TrafficRow, TrafficSeries } from '../../src/recording.js'
import { SampleRecorder, type TrafficSamples } from '../../src/traffic/samples.js'
import { nearestRank, percentilesOf } from '../../src/traffic/percentiles.js'
import {
  bucketWidth,
  generatorHealth,
  phaseIndex,
  trafficErrors,
  trafficRows,
  trafficSeries,
} from '../../src/traffic/summary.js'

const phases = [
  { name: 'warmup', startMs: 5, endMs: 100, eventLoopUtilisation: 0.1, maxQueue: 0 },
  { name: 'baseline', startMs: 100, endMs: 300, eventLoopUtilisation: 0.25, maxQueue: 3 },
  { name: 'migrate', startMs: 300, endMs: 900, eventLoopUtilisation: 0.1, maxQueue: 80 },
] as const

interface Arrival {
  at: number
  operation?: number
  lag?: number
  wait?: number
  latency?: number
  error?: string
  dropped?: boolean
  hidden?: string
}

function samplesOf(arrivals: readonly Arrival[]): TrafficSamples {
  const recorder = new SampleRecorder([
    { release: 'old', name: 'read' },
    { release: 'old', name: 'write' },
    { release: 'new', name: 'read' },
  ])
  for (const { at, operation = 0, lag = 0, wait = lag, latency = 1, error, dropped, hidden } of arrivals) {
    const sample = recorder.arrive(at, operation, at + lag)
    if (dropped) recorder.drop(sample)
    else recorder.settle(sample, { startMs: at + wait, endMs: at + latency, error: error ? pgError(error) : null })
    if (hidden) recorder.hide(sample, pgError(hidden))
  }
  return recorder.finish()
}

describe('percentiles', () => {
  it('are nearest rank', () => {
    const values = Array.from({ length: 100 }, (_, i) => i + 1)
    expect(nearestRank(values, 0.5)).toBe(50)
    expect(nearestRank(values, 0.95)).toBe(95)
    expect(nearestRank(values, 0.99)).toBe(99)
    expect(nearestRank(values, 0.07)).toBe(7)
    expect(nearestRank([15, 20, 35, 40, 50], 0.3)).toBe(20)
    expect(nearestRank([15, 20, 35, 40, 50], 1)).toBe(50)
    expect(nearestRank([], 0.5)).toBeNaN()
  })
  it('are only given where there are enough samples', () => {
    const of = (n: number) => percentilesOf(Array.from({ length: n }, (_, i) => n - i))
    expect(of(0)).toBeNull()
    expect(of(1)).toEqual({ samples: 1, p50Ms: 1, p95Ms: null, p99Ms: null, maxMs: 1 })
    expect(of(19)).toMatchObject({ p50Ms: 10, p95Ms: null })
    expect(of(20)).toMatchObject({ p50Ms: 10, p95Ms: 19, p99Ms: null, maxMs: 20 })
    expect(of(100)).toMatchObject({ p95Ms: 95, p99Ms: 99, maxMs: 100 })
  })
})

describe('phases', () => {
  it('take every instant into exactly one', () => {
    expect([0, 5, 99.9, 100, 299, 300, 5000].map((ms) => phaseIndex(phases, ms))).toEqual([0, 0, 0, 1, 1, 2, 2])
  })
})

describe('rows', () => {
  it('count by intended start, and add up', () => {
    const samples = samplesOf([
      { at: 1 },
      { at: 150, latency: 500, wait: 450 },
      { at: 299.9, latency: 400, error: '42703', wait: 0.5 },
      { at: 160, dropped: true },
      { at: 310, hidden: '0A000' },
      { at: 320, operation: 2 },
    ])
    const rows = trafficRows(samples, phases)
    for (const row of rows) {
      TrafficRow.parse(row)
      expect(row.scheduled).toBe(row.completed + row.failed + row.dropped)
    }
    expect(rows.map(({ release, operation, phase }) => `${release} ${operation} ${phase}`)).toEqual([
      'old read warmup',
      'old read baseline',
      'old read migrate',
      'new read migrate',
    ])
    expect(rows[1]).toMatchObject({ scheduled: 3, completed: 1, failed: 1, dropped: 1, reprepared: 0 })
    expect(rows[1]?.latency).toMatchObject({ samples: 2, p50Ms: 400, maxMs: 500 })
    expect(rows[1]?.service).toMatchObject({ samples: 2, p50Ms: 50, maxMs: 399.5 })
    expect(rows[2]).toMatchObject({ completed: 1, reprepared: 1 })
  })

  it('have no latency when everything was dropped', () => {
    expect(trafficRows(samplesOf([{ at: 1, dropped: true }]), phases)[0]).toMatchObject({
      latency: null,
      service: null,
    })
  })
})

describe('errors', () => {
  it('are grouped by operation and error, the retried ones apart', () => {
    const errors = trafficErrors(
      samplesOf([
        { at: 310, error: '42703', latency: 2 },
        { at: 250, error: '42703', latency: 200 },
        { at: 320, error: '42703', operation: 1 },
        { at: 330, error: '0A000' },
        { at: 340, hidden: '0A000', latency: 3 },
        { at: 350, hidden: '0A000', latency: 3 },
        { at: 360, error: '0A000' },
      ]),
      phases,
    )
    for (const error of errors) TrafficError.parse(error)
    expect(errors.map(({ operation, error, count, hidden }) => [operation, error.sqlstate, count, hidden])).toEqual([
      ['read', '42703', 2, false],
      ['write', '42703', 1, false],
      ['read', '0A000', 2, false],
      ['read', '0A000', 2, true],
    ])
    expect(errors[0]).toMatchObject({ phases: { baseline: 1, migrate: 1 }, firstMs: 312, lastMs: 450 })
    expect(errors[3]).toMatchObject({ firstMs: 343, lastMs: 353, phases: { migrate: 2 } })
  })
})

describe('series', () => {
  it('have at most 1,000 buckets of at least 100 ms', () => {
    expect(bucketWidth(0)).toBe(100)
    expect(bucketWidth(100_000)).toBe(100)
    expect(bucketWidth(100_001)).toBe(200)
    expect(bucketWidth(600_000)).toBe(1_000)
    for (const hours of [1, 5, 20, 100])
      expect((hours * 3_600_000) / bucketWidth(hours * 3_600_000)).toBeLessThanOrEqual(1_000)
  })

  it('count arrivals by intended start and the rest by end', () => {
    const series = trafficSeries(
      samplesOf([
        { at: 10, latency: 5 },
        { at: 20, latency: 400 },
        { at: 110, dropped: true },
        { at: 120, latency: 1300, error: '57014' },
        { at: 130, operation: 2, latency: 7 },
      ]),
      1_500,
    )
    for (const one of series) TrafficSeries.parse(one)
    const [old, next] = series

    expect(old?.scheduled).toHaveLength(15)
    expect(old?.scheduled.slice(0, 3)).toEqual([2, 2, 0])
    expect(old?.completed.slice(0, 5)).toEqual([1, 0, 0, 0, 1])
    expect(old?.failed[14]).toBe(1)
    expect(old?.dropped.slice(0, 3)).toEqual([0, 1, 0])
    expect(old?.maxMs.slice(0, 5)).toEqual([5, null, null, null, 400])
    expect(old?.p50Ms[14]).toBe(1300)
    expect(old?.blocked.every((value) => value === null)).toBe(true)
    expect(next).toMatchObject({ release: 'new' })
    expect(next?.scheduled[1]).toBe(1)
    for (const column of [old?.completed, old?.failed, old?.dropped, old?.p99Ms]) expect(column).toHaveLength(15)
  })

  it('exist without any sample', () => {
    expect(trafficSeries(samplesOf([]), 900)[0]?.scheduled).toEqual(Array.from({ length: 9 }, () => 0))
  })
})

describe('generator health', () => {
  it('is that of the baseline', () => {
    const arrivals: Arrival[] = Array.from({ length: 100 }, (_, i) => ({ at: 101 + i, lag: i + 1, latency: 200 }))
    arrivals.push(
      { at: 1, lag: 5_000, latency: 6_000 },
      { at: 301, lag: 900, latency: 901 },
      { at: 110, lag: 0, dropped: true },
    )
    const health = generatorHealth(samplesOf(arrivals), phases, { ratePerSecond: 100, connections: 10 })
    GeneratorHealth.parse(health)
    expect(health).toEqual({
      ratePerSecond: 100,
      connections: 10,
      lagP50Ms: 50,
      lagP99Ms: 99,
      eventLoopUtilisation: 0.25,
      baselineMaxQueue: 3,
      baselineDropped: 1,
      phases: [
        { name: 'warmup', scheduled: 1, lagP50Ms: 5_000, lagP99Ms: 5_000, eventLoopUtilisation: 0.1, maxQueue: 0 },
        { name: 'baseline', scheduled: 101, lagP50Ms: 50, lagP99Ms: 99, eventLoopUtilisation: 0.25, maxQueue: 3 },
        { name: 'migrate', scheduled: 1, lagP50Ms: 900, lagP99Ms: 900, eventLoopUtilisation: 0.1, maxQueue: 80 },
      ],
    })
  })
  it('leaves out what programs did by themselves, and has no lag where nothing was due', () => {
    const recorder = new SampleRecorder()
    const mine = recorder.operation({ release: 'old', name: 'mine' })
    const theirs = recorder.operation({ release: 'old', name: 'theirs', scheduled: false })
    recorder.drop(recorder.arrive(150, mine, 157))
    recorder.drop(recorder.arrive(160, theirs, 160))
    recorder.drop(recorder.arrive(400, theirs, 400))
    const health = generatorHealth(recorder.finish(), phases, { ratePerSecond: 1, connections: 1 })
    expect(health).toMatchObject({ lagP50Ms: 7, lagP99Ms: 7, baselineDropped: 1 })
    expect(health.phases.map(({ scheduled, lagP99Ms }) => [scheduled, lagP99Ms])).toEqual([
      [0, null],
      [1, 7],
      [0, null],
    ])
  })
  it('is unknown without a baseline', () => {
    const nominal = { ratePerSecond: 1, connections: 1 }
    expect(generatorHealth(samplesOf([{ at: 1 }]), phases.slice(0, 1), nominal)).toMatchObject({
      lagP50Ms: null,
      eventLoopUtilisation: null,
      baselineMaxQueue: null,
    })
  })
})

describe('rows, errors and series', () => {
  it('count the same', () => {
    const samples = samplesOf(
      Array.from({ length: 800 }, (_, i) => ({
        at: i,
        operation: i % 3,
        latency: i % 50,
        ...(i % 7 === 0
          ? { error: '42703' }
          : i % 11 === 0
            ? { dropped: true }
            : i % 13 === 0
              ? { hidden: '0A000' }
              : {}),
      })),
    )
    const rows = trafficRows(samples, phases)
    const errors = trafficErrors(samples, phases)
    // Shorter than the last operation: nothing may be lost.
    const series = trafficSeries(samples, 700)
    const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0)
    for (const count of ['scheduled', 'completed', 'failed', 'dropped'] as const) {
      const inRows = sum(rows.map((row) => row[count]))
      expect(sum(series.map((one) => sum(one[count])))).toBe(inRows)
      if (count === 'scheduled') expect(inRows).toBe(800)
    }
    const counted = (hidden: boolean): number => sum(errors.filter((e) => e.hidden === hidden).map((e) => e.count))
    expect(counted(false)).toBe(sum(rows.map((row) => row.failed)))
    expect(counted(true)).toBe(sum(rows.map((row) => row.reprepared)))
  })

  it('of a pass without phases are empty', () => {
    const samples = samplesOf([{ at: 1, error: '42703' }])
    expect(trafficRows(samples, [])).toEqual([])
    expect(trafficErrors(samples, [])).toEqual([])
  })
})
