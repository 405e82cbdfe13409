/**
 * When the next operation of a release is due, and which one it is. Arrivals are a Poisson process whose rate is piecewise
 * linear in time and may be changed while it runs. They are made by time change (Çınlar, "Introduction to Stochastic
 * Processes", theorem 7.4): unit-rate exponential increments are carried through the integral of the rate, so the k-th
 * arrival's operation and parameters depend on the seed alone. Every phase begins with streams of its own: however long
 * the ones before lasted, the same seed gives the same arrivals at the same distance from the phase's start.
 */
import type { Random } from './random.js'

/** One piece of the rate: from `startMs` it goes linearly to `toPerMs` within `overMs` and then stays there. */
interface Piece {
  startMs: number
  fromPerMs: number
  toPerMs: number
  overMs: number
}

/** Instants are milliseconds on the caller's clock, rates are per second. */
export class ArrivalTimes {
  #gaps: Random
  #pieces: Piece[] = []
  /** Everything before this instant has been handed out. */
  #cursorMs = 0
  /** What is left of the current exponential increment at the cursor. */
  #need: number
  #next: number | null = null
  /** Nothing is due after this instant. */
  #untilMs = Infinity

  constructor(gaps: Random) {
    this.#gaps = gaps
    this.#need = this.#increment()
  }

  #increment(): number {
    // next() is in [0, 1), so the logarithm is finite.
    return -Math.log(1 - this.#gaps.next())
  }

  /**
   * The rate from `atMs` on; what was due before stays due at the old rate. `atMs` must not lie before an earlier change
   * or before an arrival that was already taken.
   */
  setRate(atMs: number, fromPerSecond: number, toPerSecond: number, overMs: number): void {
    if (!(
      fromPerSecond >= 0 &&
      toPerSecond >= 0 &&
      overMs >= 0 &&
      Number.isFinite(fromPerSecond + toPerSecond + overMs)
    ))
      throw new RangeError('a rate is a number from 0 on')
    const last = this.#pieces.at(-1)
    if (atMs < (last?.startMs ?? -Infinity) || atMs < this.#cursorMs) throw new RangeError('the past cannot be changed')
    if (last?.startMs === atMs) this.#pieces.pop()
    this.#pieces.push({ startMs: atMs, fromPerMs: fromPerSecond / 1000, toPerMs: toPerSecond / 1000, overMs })
    this.#next = null
  }

  /**
   * Begins anew at `atMs` with another stream; the rate stays. Nothing is due after `untilMs`, until the next restart.
   * What was due before and not taken is given up: take it first.
   */
  restart(gaps: Random, atMs: number, untilMs: number): void {
    if (atMs < this.#cursorMs) throw new RangeError('the past cannot be changed')
    this.#gaps = gaps
    this.#cursorMs = atMs
    this.#untilMs = untilMs
    this.#need = this.#increment()
    this.#next = null
  }

  /** Instant of the next arrival, Infinity while the rate is 0. */
  peekMs(): number {
    this.#next ??= this.#walk()
    return this.#next <= this.#untilMs ? this.#next : Infinity
  }

  /** Takes the next arrival. */
  pop(): number {
    const at = this.peekMs()
    if (at === Infinity) throw new RangeError('nothing is due while the rate is 0')
    this.#cursorMs = at
    this.#need = this.#increment()
    this.#next = null
    let current = 0
    while ((this.#pieces[current + 1]?.startMs ?? Infinity) <= at) current++
    if (current > 0) this.#pieces = this.#pieces.slice(current)
    return at
  }

  #walk(): number {
    let need = this.#need
    for (const leg of this.#legs()) {
      const startMs = Math.max(leg.fromMs, this.#cursorMs)
      if (startMs >= leg.toMs) continue
      const ratePerMs = leg.ratePerMs + leg.slope * (startMs - leg.fromMs)
      const afterMs = timeFor(need, ratePerMs, leg.slope)
      if (afterMs !== Infinity && startMs + afterMs <= leg.toMs) return startMs + afterMs
      const lengthMs = leg.toMs - startMs
      need -= ratePerMs * lengthMs + (leg.slope * lengthMs ** 2) / 2
    }
    return Infinity
  }

  /** The ramp of each piece and the constant rate after it, each until the next piece begins. */
  *#legs(): Generator<{ fromMs: number; toMs: number; ratePerMs: number; slope: number }> {
    for (const [i, { startMs, fromPerMs, toPerMs, overMs }] of this.#pieces.entries()) {
      const endMs = this.#pieces[i + 1]?.startMs ?? Infinity
      const rampEndMs = startMs + overMs
      if (overMs > 0) {
        const slope = (toPerMs - fromPerMs) / overMs
        yield { fromMs: startMs, toMs: Math.min(rampEndMs, endMs), ratePerMs: fromPerMs, slope }
      }
      if (rampEndMs < endMs) yield { fromMs: rampEndMs, toMs: endMs, ratePerMs: toPerMs, slope: 0 }
    }
  }
}

/**
 * How long a rate `r + k x` needs to accumulate `need`: the smaller root of `k x²/2 + r x = need` in the form that does not
 * cancel (Press et al., "Numerical Recipes", 5.6). Infinity when a falling rate reaches 0 first.
 */
function timeFor(need: number, r: number, k: number): number {
  const discriminant = r * r + 2 * k * need
  if (discriminant < 0) return Infinity
  const denominator = r + Math.sqrt(discriminant)
  return denominator > 0 ? (2 * need) / denominator : Infinity
}

/** One arrival: which operation is due when. `random` is its own stream for parameters. */
export interface Arrival {
  /** Ordinal within the release and phase, from 0. */
  index: number
  intendedMs: number
  /** Position in the list of operations. */
  operation: number
  random: Random
}

/** Arrivals of one release: times, and a choice by weight that only depends on the seed, the phase and the arrival's index. */
export class Schedule {
  readonly times: ArrivalTimes
  readonly #seed: Random
  readonly #cumulative: number[]
  #random: Random
  #choices: Random
  #index = 0

  /** `weights` are not negative and not all 0. */
  constructor(random: Random, weights: readonly number[]) {
    this.#seed = random
    this.#random = random
    this.#choices = random.fork('operations')
    this.times = new ArrivalTimes(random.fork('arrival times'))
    let sum = 0
    this.#cumulative = weights.map((weight) => (sum += weight))
    if (!(sum > 0) || weights.some((weight) => !(weight >= 0)))
      throw new RangeError('weights must not be negative, and one must be above 0')
  }

  /** A phase begins: streams of its own from here on, and nothing is due after `untilMs`. */
  phase(label: string, atMs: number, untilMs: number): void {
    this.#random = this.#seed.fork(label)
    this.#choices = this.#random.fork('operations')
    this.#index = 0
    this.times.restart(this.#random.fork('arrival times'), atMs, untilMs)
  }

  /** The next arrival if it is due at `nowMs`, else null. */
  take(nowMs: number): Arrival | null {
    const dueMs = this.times.peekMs()
    if (dueMs > nowMs || dueMs === Infinity) return null
    const intendedMs = this.times.pop()
    const index = this.#index++
    return { index, intendedMs, operation: this.#choose(), random: this.#random.fork(index) }
  }

  /** The first operation whose cumulative weight lies above a random point, by halving. */
  #choose(): number {
    const point = this.#choices.next() * (this.#cumulative.at(-1) ?? 0)
    let low = 0
    let high = this.#cumulative.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (point < (this.#cumulative[middle] ?? 0)) high = middle
      else low = middle + 1
    }
    return low
  }
}
