import { describe, expect, it } from 'vitest'
import { Random } from '../../src/traffic/random.js'
import { rampAt, restOfRamp, sharesOf } from '../../src/traffic/rates.js'
import { Schedule } from '../../src/traffic/schedule.js'
import { script } from './operations.js'

const operations = [
  script('a', () => [], { weight: 1 }),
  script('b', () => [], { weight: 3 }),
  script('own', () => [], { ratePerSecond: 50 }),
]

describe('shares', () => {
  it('are weights alone where no operation has a rate of its own', () => {
    expect(sharesOf(operations.slice(0, 2), undefined)).toEqual({ weights: [1, 3], factor: 1 })
  })

  it("put an operation's own rate on top of what the others share", () => {
    expect(sharesOf(operations, 200)).toEqual({ weights: [50, 150, 50], factor: 1.25 })
    expect(sharesOf(operations.slice(2), 200)).toEqual({ weights: [50], factor: 0.25 })
  })

  it('come out in the arrivals, at half of the rate too', () => {
    const { weights, factor } = sharesOf(operations, 200)
    const schedule = new Schedule(new Random(1), weights)
    schedule.times.setRate(0, 100 * factor, 100 * factor, 0)
    const counts = [0, 0, 0]
    for (let next = schedule.take(400_000); next; next = schedule.take(400_000))
      counts[next.operation] = (counts[next.operation] ?? 0) + 1
    for (const [i, mean] of [10_000, 30_000, 10_000].entries())
      expect(Math.abs((counts[i] ?? 0) - mean)).toBeLessThan(5 * Math.sqrt(mean))
  })

  it('need the rate at full traffic', () => {
    expect(() => sharesOf(operations, undefined)).toThrow(RangeError)
    expect(() => sharesOf(operations, 0)).toThrow(RangeError)
  })
})

describe('a ramp', () => {
  const ramp = { fromPerSecond: 10, toPerSecond: 110, overMs: 1_000 }
  it('goes linearly from one rate to the other and stays', () => {
    expect([-5, 0, 250, 1_000, 9_000].map((ms) => rampAt(ramp, ms))).toEqual([10, 10, 35, 110, 110])
    expect(rampAt({ ...ramp, overMs: 0 }, 0)).toBe(110)
    expect(rampAt({ fromPerSecond: 100, toPerSecond: 50, overMs: 100 }, 50)).toBe(75)
  })
  it('can be taken up at any instant', () => {
    expect(restOfRamp(ramp, 250)).toEqual({ fromPerSecond: 35, toPerSecond: 110, overMs: 750 })
    expect(restOfRamp(ramp, 2_000)).toEqual({ fromPerSecond: 110, toPerSecond: 110, overMs: 0 })
  })
})
