import { describe, expect, it } from 'vitest'
import { Random } from '../../src/traffic/random.js'
import { ArrivalTimes, Schedule } from '../../src/traffic/schedule.js'

const upTo = (times: ArrivalTimes, endMs: number): number[] => {
  const all: number[] = []
  while (times.peekMs() <= endMs) all.push(times.pop())
  return all
}
const within = (all: readonly number[], fromMs: number, toMs: number): number =>
  all.filter((ms) => ms >= fromMs && ms < toMs).length
/** A Poisson count is within five standard deviations of its mean, but for two seeds in a million. */
const expectCount = (count: number, mean: number): void => {
  expect(Math.abs(count - mean)).toBeLessThan(5 * Math.sqrt(mean))
}

describe('arrivals at a constant rate', () => {
  const times = new ArrivalTimes(new Random(1))
  times.setRate(0, 200, 200, 0)
  const all = upTo(times, 100_000)

  it('come at that rate', () => expectCount(all.length, 20_000))

  it('have exponential gaps (Kolmogorov-Smirnov)', () => {
    const gaps = all.map((ms, i) => ms - (all[i - 1] ?? 0)).sort((a, b) => a - b)
    const n = gaps.length
    const distance = Math.max(
      ...gaps.map((gap, i) => {
        const cdf = 1 - Math.exp(-gap / 5)
        return Math.max(Math.abs(cdf - i / n), Math.abs(cdf - (i + 1) / n))
      }),
    )
    // Critical value at the level 0.001.
    expect(distance).toBeLessThan(1.95 / Math.sqrt(n))
  })

  it('fall into windows like a Poisson process: variance equals mean', () => {
    const counts = Array.from({ length: 1000 }, (_, i) => within(all, i * 100, (i + 1) * 100))
    const mean = counts.reduce((a, b) => a + b) / counts.length
    const variance = counts.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (counts.length - 1)
    expect(variance / mean).toBeGreaterThan(0.8)
    expect(variance / mean).toBeLessThan(1.2)
  })
})

describe('a rate that changes', () => {
  it('follows ramps up and down, and the constant rate after them', () => {
    const times = new ArrivalTimes(new Random(2))
    times.setRate(0, 0, 1000, 10_000)
    times.setRate(20_000, 1000, 0, 10_000)
    const all = upTo(times, 100_000)
    expectCount(within(all, 0, 5_000), 1_250)
    expectCount(within(all, 5_000, 10_000), 3_750)
    expectCount(within(all, 10_000, 20_000), 10_000)
    expectCount(within(all, 20_000, 25_000), 3_750)
    expectCount(within(all, 25_000, 30_000), 1_250)
    expect(within(all, 30_000, Infinity)).toBe(0)
    expect(times.peekMs()).toBe(Infinity)
    expect(() => times.pop()).toThrow(RangeError)
  })

  it('carries the unit-rate increments exactly through the integral', () => {
    // Constant 1/ms turns the increments themselves into times; the ramp of 0..2/ms over 1000 ms has the integral t²/1000.
    const unit = new ArrivalTimes(new Random(3))
    unit.setRate(0, 1000, 1000, 0)
    const ramp = new ArrivalTimes(new Random(3))
    ramp.setRate(0, 0, 2000, 1000)
    for (let i = 0; i < 900; i++) {
      const expected = unit.pop()
      const t = ramp.pop()
      expect(t ** 2 / 1000).toBeCloseTo(expected, 6)
    }
    const falling = new ArrivalTimes(new Random(3))
    falling.setRate(0, 2000, 0, 1000)
    const again = new ArrivalTimes(new Random(3))
    again.setRate(0, 1000, 1000, 0)
    for (let i = 0; i < 900; i++) {
      const t = falling.pop()
      expect(2 * t - t ** 2 / 1000).toBeCloseTo(again.pop(), 6)
    }
  })

  it('leaves what was due before the change due at its old time, and resumes after a pause', () => {
    const plain = new ArrivalTimes(new Random(4))
    plain.setRate(0, 100, 100, 0)
    const before = upTo(plain, 1_000)
    const changed = new ArrivalTimes(new Random(4))
    changed.setRate(0, 100, 100, 0)
    // Set late: nothing was taken yet, as when the event loop was busy.
    changed.setRate(1_000, 0, 0, 0)
    changed.setRate(3_000, 50, 50, 0)
    const all = upTo(changed, 100_000)
    expect(all.slice(0, before.length)).toEqual(before)
    expect(within(all, 1_000, 3_000)).toBe(0)
    expectCount(within(all, 3_000, 100_000), 4_850)
  })

  it('refuses a change in the past and impossible rates', () => {
    const times = new ArrivalTimes(new Random(5))
    expect(times.peekMs()).toBe(Infinity)
    times.setRate(100, 1000, 1000, 0)
    expect(times.peekMs()).toBeGreaterThanOrEqual(100)
    expect(() => times.setRate(50, 1, 1, 0)).toThrow(RangeError)
    const taken = times.pop()
    expect(() => times.setRate(taken - 0.001, 1, 1, 0)).toThrow(RangeError)
    expect(() => times.setRate(5_000, -1, 1, 0)).toThrow(RangeError)
    expect(() => times.setRate(5_000, NaN, 1, 0)).toThrow(RangeError)
  })
})

describe('the choice of operations', () => {
  const take = (schedule: Schedule, count: number): { operation: number; first: number; index: number }[] =>
    Array.from({ length: count }, () => {
      const arrival = schedule.take(Infinity)
      if (!arrival) throw new Error('nothing is due')
      return { index: arrival.index, operation: arrival.operation, first: arrival.random.next() }
    })
  const make = (seed: number, weights = [1, 0, 3, 6]): Schedule => new Schedule(new Random(seed), weights)

  it('is the same for the same seed, whatever the rates and however late it is asked', () => {
    const a = make(7)
    a.times.setRate(0, 100, 100, 0)
    const b = make(7)
    b.times.setRate(500, 3, 900, 700)
    const first = take(a, 500)
    expect(take(b, 500)).toEqual(first)
    expect(first.map(({ index }) => index)).toEqual(first.map((_, i) => i))
    const other = make(8)
    other.times.setRate(0, 100, 100, 0)
    expect(take(other, 500)).not.toEqual(first)
  })

  it('follows the weights, and 0 means never', () => {
    const schedule = make(9)
    schedule.times.setRate(0, 100, 100, 0)
    const chosen = take(schedule, 10_000)
    const count = (operation: number): number => chosen.filter((arrival) => arrival.operation === operation).length
    expectCount(count(0), 1_000)
    expect(count(1)).toBe(0)
    expectCount(count(2), 3_000)
    expectCount(count(3), 6_000)
  })

  it('begins anew with each phase: what came before does not change it, and it ends in time', () => {
    const phases = (warmUpMs: number): unknown[][] => {
      const schedule = make(12)
      schedule.phase('warm up', 50, Infinity)
      schedule.times.setRate(50, 100, 100, 0)
      while (schedule.take(warmUpMs));
      return [1, 2].map((n) => {
        const startMs = warmUpMs * n
        schedule.phase(`phase ${n}`, startMs, startMs + 900)
        schedule.times.setRate(startMs, 100, 200, 500)
        const found: unknown[] = []
        for (let next = schedule.take(Infinity); next; next = schedule.take(Infinity)) {
          expect(next.intendedMs).toBeGreaterThanOrEqual(startMs)
          expect(next.intendedMs).toBeLessThanOrEqual(startMs + 900)
          found.push([next.index, next.operation, next.random.next(), (next.intendedMs - startMs).toFixed(3)])
        }
        return found
      })
    }
    const [first, second] = phases(1_000)
    expectCount(first?.length ?? 0, 155)
    expect(second).not.toEqual(first)
    expect(phases(1_234.567)).toEqual([first, second])
  })

  it('gives parameters that do not repeat between arrivals', () => {
    const schedule = make(10)
    schedule.times.setRate(0, 100, 100, 0)
    expect(new Set(take(schedule, 1_000).map(({ first }) => first)).size).toBe(1_000)
  })

  it('gives nothing before it is due', () => {
    const schedule = make(11)
    schedule.times.setRate(0, 10, 10, 0)
    const due = schedule.times.peekMs()
    expect(schedule.take(due - 0.001)).toBeNull()
    expect(schedule.take(due)).toMatchObject({ index: 0, intendedMs: due })
  })

  it('refuses weights that choose nothing', () => {
    expect(() => make(1, [])).toThrow(RangeError)
    expect(() => make(1, [0, 0])).toThrow(RangeError)
    expect(() => make(1, [2, -1])).toThrow(RangeError)
  })
})
