/** Memory of the generator over a long run: in a process of its own, so that nothing else is counted. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { whole, type Row } from './measure.js'

const RATE = 2_000

/** What the child prints, in MB and ms. */
export interface MemoryFound {
  beforeMb: number
  mostMb: number
  operations: number
  lagP99Ms: number
  busy: number
}

export async function memory(seconds: number): Promise<Row[]> {
  const child = fileURLToPath(new URL('./memory-child.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'jiti/register', child, String(seconds)])
  const { beforeMb, mostMb, operations, lagP99Ms, busy } = JSON.parse(stdout) as MemoryFound
  return [
    {
      what: `memory (RSS) at its highest, ${whole(seconds)} s at ${whole(RATE)}/s, summary included`,
      value: `${mostMb.toFixed(0)} MB after ${whole(operations)} operations (p99 late by ${lagP99Ms.toFixed(1)} ms, event loop busy ${(busy * 100).toFixed(0)} %)`,
      peer: `the same process before the traffic: ${beforeMb.toFixed(0)} MB`,
      ratio: (mostMb / beforeMb).toFixed(2),
      rounds: 1,
    },
  ]
}
