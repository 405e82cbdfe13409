/**
 * Seeded random numbers: the same seed gives the same data and the same traffic on every machine.
 *
 * The generator is sfc32 (Chris Doty-Humphrey's Small Fast Counting generator of PractRand, 128 bits of state). Its
 * state is filled from the seed by FNV-1a and the finaliser of MurmurHash3, so that near seeds give unrelated streams.
 * The distributions follow the pgbench documentation, section "Built-In Functions" and "Random Functions".
 */

/** Smallest and largest parameters that pgbench accepts for its distributions. */
const MIN_GAUSSIAN = 2
const MIN_ZIPFIAN = 1.001
const MAX_ZIPFIAN = 1000

/** A deterministic stream of random numbers. Ranges include both ends. An impossible range throws a RangeError. */
export class Random {
  readonly #label: string
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number | string) {
    this.#label = String(seed)
    this.#a = hash32(this.#label, 0x9e3779b9)
    this.#b = hash32(this.#label, 0x243f6a88)
    this.#c = hash32(this.#label, 0xb7e15162)
    for (let i = 0; i < 15; i++) this.#next32()
  }

  /** A number in [0, 1) with 53 random bits. */
  next(): number {
    const high = this.#next32() >>> 5
    const low = this.#next32() >>> 6
    return (high * 0x4000000 + low) / 0x20000000000000
  }

  /** A whole number in [min, max], all equally likely. */
  int(min: number, max: number): number {
    if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max))
      throw new RangeError(`bounds must be whole numbers below 2^53: ${min}, ${max}`)
    if (min > max) throw new RangeError(`empty range given to random: ${min} is above ${max}`)
    return this.#scaled(min, max, this.next())
  }

  /** One of the items, all equally likely. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.int(0, items.length - 1)]
    return item as T
  }

  /** An independent stream that depends on this stream's seed and the label only, not on how much was drawn before. */
  fork(label: string | number): Random {
    return new Random(`${this.#label}/${label}`)
  }

  /** This stream from its beginning, however much was drawn. */
  again(): Random {
    return new Random(this.#label)
  }

  /**
   * A whole number in [min, max] around the middle: the normal distribution with standard deviation
   * (max - min + 1) / (2 * parameter), cut at the ends. `parameter` is at least 2. By the Box-Muller transform.
   */
  gaussian(min: number, max: number, parameter: number): number {
    if (!(parameter >= MIN_GAUSSIAN))
      throw new RangeError(`gaussian parameter must be at least ${MIN_GAUSSIAN}: ${parameter}`)
    if (min > max) throw new RangeError(`empty range given to random: ${min} is above ${max}`)
    let deviation: number
    do deviation = Math.sqrt(-2 * Math.log(1 - this.next())) * Math.sin(2 * Math.PI * this.next())
    while (deviation < -parameter || deviation >= parameter)
    return this.#scaled(min, max, (deviation + parameter) / (parameter * 2))
  }

  /**
   * A whole number in [min, max], smaller ones more often: value i with probability
   * exp(-parameter * (i - min) / (max - min + 1)) - the same for i + 1, over 1 - exp(-parameter). `parameter` is above 0.
   */
  exponential(min: number, max: number, parameter: number): number {
    if (!(parameter > 0)) throw new RangeError(`exponential parameter must be greater than zero: ${parameter}`)
    if (min > max) throw new RangeError(`empty range given to random: ${min} is above ${max}`)
    const cut = Math.exp(-parameter)
    const uniform = 1 - this.next()
    return this.#scaled(min, max, -Math.log(cut + (1 - cut) * uniform) / parameter)
  }

  /**
   * A whole number in [min, max], value k as often as (k - min + 1) ^ -parameter, by rejection: Luc Devroye,
   * "Non-Uniform Random Variate Generation", pp. 550-551. `parameter` is from 1.001 to 1000, as in pgbench.
   */
  zipfian(min: number, max: number, parameter: number): number {
    if (!(parameter >= MIN_ZIPFIAN && parameter <= MAX_ZIPFIAN))
      throw new RangeError(`zipfian parameter must be from ${MIN_ZIPFIAN} to ${MAX_ZIPFIAN}: ${parameter}`)
    if (min > max) throw new RangeError(`empty range given to random: ${min} is above ${max}`)
    const n = max - min + 1
    if (n <= 1) return min
    const b = Math.pow(2, parameter - 1)
    for (;;) {
      const u = 1 - this.next()
      const v = this.next()
      const x = Math.floor(Math.pow(u, -1 / (parameter - 1)))
      const t = Math.pow(1 + 1 / x, parameter - 1)
      if ((v * x * (t - 1)) / (b - 1) <= t / b && x <= n) return min + x - 1
    }
  }

  /** Where a share of [0, 1) falls in [min, max]. */
  #scaled(min: number, max: number, share: number): number {
    return Math.min(max, min + Math.floor((max - min + 1) * share))
  }

  #next32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + t) | 0
    return t >>> 0
  }
}

/** FNV-1a over the text's UTF-16 units, then the finaliser of MurmurHash3. */
export function hash32(text: string, basis = 0x811c9dc5): number {
  let hash = basis | 0
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
