import { describe, expect, it } from 'vitest'
import { pgError } from '../../src/pg/errors.js'
import { DROPPED, FIRST_ERROR, OK, SampleRecorder } from '../../src/traffic/samples.js'

const operations = [
  { release: 'old', name: 'read' },
  { release: 'new', name: 'write' },
] as const

describe('SampleRecorder', () => {
  it('keeps each arrival with its outcome', () => {
    const recorder = new SampleRecorder(operations)
    const ok = recorder.arrive(1000.25, 0, 1001)
    const dropped = recorder.arrive(1000.5, 1, 1000.5)
    const failed = recorder.arrive(1001, 1, 1001)
    recorder.settle(failed, { startMs: 1003, endMs: 1010, error: pgError('23505') })
    recorder.drop(dropped)
    recorder.hide(ok, pgError('0A000'))
    recorder.settle(ok, { startMs: 1002.25, endMs: 1004.25, error: null })
    const samples = recorder.finish()
    expect(samples.length).toBe(3)
    expect([...samples.intendedMs]).toEqual([1000.25, 1000.5, 1001])
    expect([...samples.lagMs]).toEqual([0.75, 0, 0])
    expect([...samples.waitMs]).toEqual([2, 0, 2])
    expect([...samples.latencyMs]).toEqual([4, 0, 9])
    expect([...samples.operation]).toEqual([0, 1, 1])
    expect([...samples.outcome]).toEqual([OK, DROPPED, FIRST_ERROR])
    expect(samples.errors.map(({ sqlstate }) => sqlstate)).toEqual(['23505', '0A000'])
    expect(samples.hidden).toEqual([{ sample: 0, error: 1 }])
  })

  it('learns operations while it runs, each once, and which arrivals were tried again', () => {
    const recorder = new SampleRecorder(operations)
    expect(recorder.operation({ release: 'old', name: 'read' })).toBe(0)
    expect(recorder.operation({ release: 'old', name: 'write' })).toBe(2)
    expect(recorder.operation({ release: 'old', name: 'write' })).toBe(2)
    const [a, b] = [recorder.arrive(1, 2, 1), recorder.arrive(2, 2, 2)]
    recorder.retry(b)
    recorder.retry(b)
    for (const sample of [a, b]) recorder.settle(sample, { startMs: 2, endMs: 3, error: null })
    expect(() => recorder.retry(b)).toThrow('already')
    const samples = recorder.finish()
    expect(samples.retried).toEqual([b])
    expect(samples.operations).toEqual([...operations, { release: 'old', name: 'write' }])
    const full = new SampleRecorder(Array.from({ length: 65_535 }, (_, i) => ({ release: 'old', name: `q${i}` })))
    expect(full.operation({ release: 'old', name: 'q65534' })).toBe(65_534)
    expect(() => full.operation({ release: 'new', name: 'q0' })).toThrow(RangeError)
  })

  it('grows beyond one chunk without mixing anything up', () => {
    const recorder = new SampleRecorder(operations)
    const count = 200_000
    for (let i = 0; i < count; i++) recorder.arrive(i, i % 2, i)
    for (let i = count - 1; i >= 0; i--) recorder.settle(i, { startMs: i, endMs: i + (i % 1000), error: null })
    const samples = recorder.finish()
    expect(samples.length).toBe(count)
    for (let i = 0; i < count; i += 997) {
      expect(samples.intendedMs[i]).toBe(i)
      expect(samples.latencyMs[i]).toBe(i % 1000)
      expect(samples.operation[i]).toBe(i % 2)
    }
  })

  it('lets no arrival go without exactly one outcome', () => {
    const recorder = new SampleRecorder(operations)
    const sample = recorder.arrive(0, 0, 0)
    expect(() => recorder.finish()).toThrow('arrival 0 has no outcome')
    recorder.drop(sample)
    expect(() => recorder.settle(sample, { startMs: 0, endMs: 1, error: null })).toThrow('already')
    expect(() => recorder.drop(5)).toThrow(RangeError)
  })

  it('keeps the list of errors short', () => {
    const recorder = new SampleRecorder(operations)
    for (let i = 0; i < 5_000; i++) {
      const sample = recorder.arrive(i, 0, i)
      recorder.settle(sample, { startMs: i, endMs: i, error: { ...pgError('42P01'), objects: [`t${i}`] } })
    }
    const samples = recorder.finish()
    expect(samples.errors.length).toBe(1_001)
    expect(samples.errors.at(-1)).toEqual({ ...pgError('42P01'), message: 'undefined table', objects: [] })
  })
})
