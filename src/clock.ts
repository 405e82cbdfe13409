/** A monotonic clock that starts at 0 when it is made: every instant of one pass is read from the same one. */
export interface Clock {
  /** Milliseconds since the clock was made, with sub-millisecond resolution. */
  nowMs(): number
}

export function startClock(): Clock {
  const origin = performance.now()
  return { nowMs: () => performance.now() - origin }
}

/** Resolves after `ms`, or at once when the signal is already aborted; never rejects. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve()
      return
    }
    const done = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, Math.max(0, ms))
    signal?.addEventListener('abort', done, { once: true })
  })
}
