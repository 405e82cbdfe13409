import { describe, expect, it } from 'vitest'
import * as u from '../src/units.js'
import { noise } from './fixtures/parts.js'

describe('formatMs', () => {
  it.each([
    [null, 'not measured'],
    [0, '0 ms'],
    [0.04, '< 0.1 ms'],
    [0.42, '0.4 ms'],
    [3.21, '3.2 ms'],
    [9.96, '10 ms'],
    [312.4, '312 ms'],
    [999.6, '1.00 s'],
    [3_104, '3.10 s'],
    [9_999, '10.0 s'],
    [13_040, '13.0 s'],
    [59_960, '1 min 00 s'],
    [125_000, '2 min 05 s'],
    [3_599_600, '1 h 00 min'],
    [3_900_000, '1 h 05 min'],
  ])('%s is %s', (ms, text) => expect(u.formatMs(ms)).toBe(text))
})

describe('formatBracket', () => {
  it.each([
    [null, 'not measured'],
    [{ lowMs: 0, highMs: 0 }, '0 ms'],
    [{ lowMs: 0, highMs: 12 }, '< 12 ms'],
    [{ lowMs: 0, highMs: 11.2 }, '< 12 ms'],
    [{ lowMs: 3_098.4, highMs: 3_101.6 }, '3.10 s ± 2 ms'],
    [{ lowMs: 2.2, highMs: 3 }, '2.6 ms ± 0.4 ms'],
    [{ lowMs: 1.2, highMs: 3 }, '1.2 – 3.0 ms'],
    [{ lowMs: 900, highMs: 2_100 }, '900 ms – 2.10 s'],
    [{ lowMs: 5, highMs: 5 }, '5.0 ms'],
    [{ lowMs: 12_700, highMs: 13_300 }, '13.0 s ± 300 ms'],
  ])('%j is %s', (bracket, text) => expect(u.formatBracket(bracket)).toBe(text))

  /** Reads a text back into the interval that it claims. */
  const claimed = (text: string): [number, number] => {
    const ms = (part: string): number => {
      const minutes = /^(\d+) min (\d+) s$/.exec(part)
      if (minutes) return (Number(minutes[1]) * 60 + Number(minutes[2])) * 1000
      const match = /^([\d.]+) (ms|s)$/.exec(part)
      if (!match) throw new Error(`cannot read ${part} of ${text}`)
      return Number(match[1]) * (match[2] === 's' ? 1000 : 1)
    }
    if (text.startsWith('< ')) return [0, ms(text.slice(2))]
    const [middle, half] = text.split(' ± ')
    if (half !== undefined && middle !== undefined) return [ms(middle) - ms(half), ms(middle) + ms(half)]
    const [low = '', high] = text.split(' – ')
    if (high === undefined) return [ms(low), ms(low)]
    return [ms(/s$/.test(low) ? low : `${low} ${high.split(' ').at(-1) ?? ''}`), ms(high)]
  }

  it('never claims less than the bracket, whatever its size', () => {
    const next = noise(5)
    for (let i = 0; i < 5_000; i++) {
      const middle = 10 ** (next() * 7 - 1)
      const half = middle * 10 ** (-5 * next())
      const bracket = { lowMs: middle - half, highMs: middle + half }
      const text = u.formatBracket(bracket)
      if (text.includes(' h ')) continue
      const [low, high] = claimed(text)
      expect(low, `${JSON.stringify(bracket)} as ${text}`).toBeLessThanOrEqual(bracket.lowMs + 1e-6)
      expect(high, `${JSON.stringify(bracket)} as ${text}`).toBeGreaterThanOrEqual(bracket.highMs - 1e-6)
    }
  })
})

describe('other quantities', () => {
  it('writes sizes as pg_size_pretty does, counts with commas, shares and ratios', () => {
    expect(u.formatBytes(null)).toBe('not measured')
    expect(u.formatBytes(512)).toBe('512 B')
    expect(u.formatBytes(6_430_720)).toBe('6.1 MB')
    expect(u.formatBytes(1024 ** 3 * 48)).toBe('48 GB')
    expect(u.formatBytes(1_048_000)).toBe('1.0 MB')
    expect(u.formatCount(50_000_000)).toBe('50,000,000')
    expect(u.formatCount(null)).toBe('not measured')
    expect(u.formatRatio(1.5)).toBe('1.50×')
    expect(u.formatShare(0.021)).toBe('2.1 %')
    expect(u.plural(1, 'session')).toBe('1 session')
    expect(u.plural(1_204, 'row')).toBe('1,204 rows')
  })

  it('writes a limit as somebody would', () => {
    expect(u.formatLimit(2_000, 'ms')).toBe('2 s')
    expect(u.formatLimit(1_500, 'ms')).toBe('1.5 s')
    expect(u.formatLimit(200, 'ms')).toBe('200 ms')
    expect(u.formatLimit(1.5, 'ratio')).toBe('1.5×')
    expect(u.formatLimit(null, 'ms')).toBe('–')
  })

  it('labels a projection', () => {
    const projection = {
      relation: 'orders',
      work: 'rewrite',
      rowsHere: 2,
      rowsInProduction: 10,
      measuredMs: 3,
      lowMs: 620_400,
      highMs: 969_600,
    } as const
    expect(u.formatRange(25_400, 230_000)).toBe('25.4 s – 3 min 50 s')
    expect(u.formatRange(1_000, 12_000)).toBe('1.00 – 12.0 s')
    expect(u.formatProjection(projection)).toBe('projected: 10 min 20 s – 16 min 10 s at 10 rows')
    expect(u.explainProjection(projection)).toMatch(/^Projected, not measured/)
  })
})
