/** How the application treats its connections. */
import type { Manners } from '../recording.js'

export interface PoolManners {
  queueTimeoutMs: number | null
  pooling: 'session' | 'transaction'
  retries: { tries: number; delayMs: number; on: readonly string[] }
  settings: Readonly<Record<string, string>>
}

export const mannersOf = ({ queueTimeoutMs, pooling, retries, settings }: PoolManners, poolSize: number): Manners => ({
  poolSize,
  queueTimeoutMs,
  pooling,
  retries: retries.tries,
  retryOn: [...retries.on],
  settings: { ...settings },
})
