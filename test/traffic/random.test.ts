import { describe, expect, it } from 'vitest'
import { hash32, Random } from '../../src/traffic/random.js'

const draw = (count: number, next: () => number): number[] => Array.from({ length: count }, next)

/** Share of the draws for each value from `min` to `max`. */
function shares(count: number, min: number, max: number, next: () => number): number[] {
  const found = new Array<number>(max - min + 1).fill(0)
  for (const value of draw(count, next)) found[value - min] = (found[value - min] ?? NaN) + 1 / count
  return found
}

describe('Random', () => {
  it('gives the same numbers on every machine', () => {
    const random = new Random(1)
    expect(draw(4, () => random.int(1, 1_000_000))).toMatchInlineSnapshot(`
      [
        55281,
        775546,
        746501,
        272093,
      ]
    `)
  })

  it('repeats itself for one seed and not for another', () => {
    const of = (seed: number | string): number[] => {
      const random = new Random(seed)
      return draw(20, () => random.next())
    }
    expect(of(7)).toEqual(of(7))
    expect(of(7)).not.toEqual(of(8))
    expect(new Set([of(1)[0], of(2)[0], of(3)[0], of('a')[0], of('b')[0]]).size).toBe(5)
  })

  it('is uniform in [0, 1): chi-square over 64 cells, and serial pairs', () => {
    const random = new Random('uniform')
    const count = 64_000
    const cells = new Array<number>(64).fill(0)
    let previous = 0
    let product = 0
    for (let i = 0; i < count; i++) {
      const value = random.next()
      expect(value >= 0 && value < 1).toBe(true)
      const cell = Math.floor(value * 64)
      cells[cell] = (cells[cell] ?? 0) + 1
      product += (value - 0.5) * (previous - 0.5)
      previous = value
    }
    const chi2 = cells.reduce((sum, found) => sum + (found - 1000) ** 2 / 1000, 0)
    // 63 degrees of freedom: 0.01 % of samples lie above 113.
    expect(chi2).toBeLessThan(113)
    expect(chi2).toBeGreaterThan(30)
    expect(Math.abs((product / count) * 12)).toBeLessThan(0.02)
  })

  it('reaches both ends of a range and refuses impossible ones', () => {
    const random = new Random(1)
    expect([...new Set(draw(200, () => random.int(-1, 1)))].sort((a, b) => a - b)).toEqual([-1, 0, 1])
    expect(random.int(5, 5)).toBe(5)
    expect(() => random.int(2, 1)).toThrow('empty range given to random: 2 is above 1')
    expect(() => random.int(0.5, 1)).toThrow(RangeError)
    expect(() => random.int(0, 2 ** 53)).toThrow(RangeError)
  })

  it('picks every item, and cannot pick from nothing', () => {
    const random = new Random(1)
    expect(new Set(draw(100, () => random.pick([1, 2, 3])))).toEqual(new Set([1, 2, 3]))
    expect(() => random.pick([])).toThrow(RangeError)
  })

  it('forks by label, whatever was drawn before', () => {
    const a = new Random(1)
    const b = new Random(1)
    a.next()
    expect(a.fork('x').next()).toBe(b.fork('x').next())
    expect(a.fork('x').next()).not.toBe(b.fork('y').next())
    expect(a.fork(1).fork(2).next()).not.toBe(a.fork(2).fork(1).next())
    expect(a.fork('x').next()).not.toBe(b.next())
  })

  it('gaussian has the documented share in the middle', () => {
    // Documentation: with parameter 4, 67 % of values are from the middle 1 / parameter of the range, 95 % from 2 / parameter.
    const random = new Random('gauss')
    const values = draw(20_000, () => random.gaussian(1, 1000, 4))
    const inside = (share: number): number =>
      values.filter((v) => Math.abs(v - 500.5) <= (1000 * share) / 2).length / values.length
    expect(inside(1 / 4)).toBeCloseTo(0.683, 1)
    expect(inside(2 / 4)).toBeCloseTo(0.954, 1)
    expect(Math.abs(values.reduce((a, b) => a + b, 0) / values.length - 500.5)).toBeLessThan(5)
  })

  it('exponential has the documented probabilities', () => {
    const parameter = 3
    const random = new Random('exp')
    const found = shares(40_000, 1, 10, () => random.exponential(1, 10, parameter))
    const f = (x: number): number => Math.exp((-parameter * (x - 1)) / 10) / (1 - Math.exp(-parameter))
    found.forEach((share, i) => expect(share).toBeCloseTo(f(i + 1) - f(i + 2), 1.5))
  })

  it('zipfian has the documented ratio of neighbours', () => {
    const random = new Random('zipf')
    const found = shares(40_000, 1, 5, () => random.zipfian(1, 5, 1.5))
    const total = [1, 2, 3, 4, 5].reduce((sum, k) => sum + k ** -1.5, 0)
    found.forEach((share, i) => expect(share).toBeCloseTo((i + 1) ** -1.5 / total, 1.5))
    expect(random.zipfian(4, 4, 1.5)).toBe(4)
  })

  it.each([
    ['gaussian', 1.99],
    ['gaussian', NaN],
    ['exponential', 0],
    ['zipfian', 1],
    ['zipfian', 1001],
  ] as const)('%s refuses the parameter %d', (name, parameter) => {
    expect(() => new Random(1)[name](1, 10, parameter)).toThrow(RangeError)
  })
})

describe('hash32', () => {
  it('spreads near texts over all bits', () => {
    const values = draw(1000, () => 0).map((_, i) => hash32(`label ${i}`))
    expect(new Set(values).size).toBe(1000)
    for (let bit = 0; bit < 32; bit++) {
      const set = values.filter((v) => (v >>> bit) & 1).length
      expect(set).toBeGreaterThan(400)
      expect(set).toBeLessThan(600)
    }
  })
})
