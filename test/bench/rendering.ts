/** Judging and rendering a large recording: ten minutes at 2,000 operations a second, with thousands of waits. */
import type { Recording, TrafficSeries } from '../../src/recording.js'
import { indexBlocksWrites } from '../fixtures/index-blocks-writes.js'
import { judge, renderers } from './built.js'
import { interleave, median, ratios, spread, whole, type Row } from './measure.js'

const LENGTH_MS = 600_000
const BUCKETS = 1_000
const RATE = 2_000
/** As many as a recording lists. */
const WAITS = 5_000

export async function rendering(): Promise<Row[]> {
  const recording = large()
  const report = judge(recording)
  const timed = (step: () => unknown): Promise<number> => {
    const start = performance.now()
    step()
    return Promise.resolve(performance.now() - start)
  }
  const { html, json, judging } = await interleave(9, {
    html: () => timed(() => renderers.html(report)),
    json: () => timed(() => JSON.stringify(report, null, 2)),
    judging: () => timed(() => judge(recording)),
  })
  const size = (text: string): string => `${(Buffer.byteLength(text) / 1024).toFixed(0)} kB`
  return [
    {
      what: `report.html of ${whole((LENGTH_MS / 1000) * RATE)} operations and ${whole(WAITS)} waits`,
      value: `${median(html).toFixed(0)} ms, ${size(renderers.html(report))} (judging it before: ${median(judging).toFixed(1)} ms)`,
      peer: `JSON.stringify: ${median(json).toFixed(0)} ms, ${size(renderers.json(report))}`,
      ratio: spread(ratios(html, json), 1),
      rounds: html.length,
    },
  ]
}

/** A real story of the tests, blown up: as many slices and waits as a recording can have. */
function large(): Recording {
  const { recording } = indexBlocksWrites()
  return {
    ...recording,
    passes: recording.passes.map((pass) => {
      if (pass.kind !== 'timed') return pass
      const [pattern] = pass.waits
      if (!pattern) throw new Error('the story has no wait')
      return {
        ...pass,
        phases: pass.phases.map((phase) => ({
          ...phase,
          startMs: phase.name === 'rollout' || phase.name === 'settled' ? phase.startMs + LENGTH_MS / 2 : phase.startMs,
          endMs: phase.name === 'settled' ? LENGTH_MS : phase.name === 'migrate' ? LENGTH_MS / 2 + 16_240 : phase.endMs,
        })),
        waits: Array.from({ length: WAITS }, (_, i) => ({ ...pattern, connection: (i % 50) + 1 })),
        bucketMs: LENGTH_MS / BUCKETS,
        series: [series('old'), series('new')],
      }
    }),
  }
}

const series = (release: 'old' | 'new'): TrafficSeries => {
  const each = <T>(value: (i: number) => T): T[] => Array.from({ length: BUCKETS }, (_, i) => value(i))
  const perBucket = (RATE * LENGTH_MS) / 1000 / BUCKETS
  return {
    release,
    scheduled: each((i) => Math.round(perBucket * (1 + 0.1 * Math.sin(i * 12.9)))),
    completed: each((i) => Math.round(perBucket * (1 + 0.1 * Math.sin(i * 7.3)))),
    failed: each((i) => (i % 97 === 0 ? 3 : 0)),
    dropped: each(() => 0),
    p50Ms: each((i) => 2 + Math.sin(i * 3.1)),
    p99Ms: each((i) => 14 + 9 * Math.sin(i * 5.7)),
    maxMs: each((i) => 60 + 50 * Math.sin(i * 1.7)),
    blocked: each((i) => i % 13),
  }
}
