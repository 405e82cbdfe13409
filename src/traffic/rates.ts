/** How a release's rate is shared among its operations, and how it rises. Pure. */
import type { Operation } from './operation.js'

/** Of all arrivals of a release: each operation's weight, and how many there are for one of the release's rate. */
export interface Shares {
  weights: number[]
  factor: number
}

/**
 * Operations share the release's rate by weight; those with a rate of their own come on top, scaled as the release's rate
 * is: at half of `nominalPerSecond` they have half of theirs. Independent Poisson streams that are scaled alike are one
 * Poisson stream whose arrivals are marked at random in proportion to the rates (Kingman, "Poisson Processes",
 * superposition and colouring theorems), so one stream and weights are enough. Throws a RangeError when an operation has
 * its own rate and the nominal one is not known.
 */
export function sharesOf(operations: readonly Operation[], nominalPerSecond: number | undefined): Shares {
  const own = operations.reduce((sum, { ratePerSecond = 0 }) => sum + ratePerSecond, 0)
  if (own === 0) return { weights: operations.map(({ weight }) => weight), factor: 1 }
  if (nominalPerSecond === undefined || !(nominalPerSecond > 0))
    throw new RangeError("an operation has a rate of its own, and the release's rate at full traffic is not known")
  const sharing = operations.filter(({ ratePerSecond }) => ratePerSecond === undefined)
  const sum = sharing.reduce((total, { weight }) => total + weight, 0)
  return {
    weights: operations.map(
      ({ weight, ratePerSecond }) => ratePerSecond ?? (sum > 0 ? (weight / sum) * nominalPerSecond : 0),
    ),
    factor: (own + (sum > 0 ? nominalPerSecond : 0)) / nominalPerSecond,
  }
}

/** A rate that rises or falls linearly from the pass's start and then stays. */
export interface Ramp {
  fromPerSecond: number
  toPerSecond: number
  overMs: number
}

/** The rate at an instant of the pass, per second. */
export function rampAt({ fromPerSecond, toPerSecond, overMs }: Ramp, atMs: number): number {
  const share = overMs > 0 ? Math.min(1, Math.max(0, atMs / overMs)) : 1
  return fromPerSecond + (toPerSecond - fromPerSecond) * share
}

/** What is left of a ramp at an instant: to be given to `setRate` then, whenever a phase begins. */
export const restOfRamp = (ramp: Ramp, atMs: number): Ramp => ({
  fromPerSecond: rampAt(ramp, atMs),
  toPerSecond: ramp.toPerSecond,
  overMs: Math.max(0, ramp.overMs - Math.max(0, atMs)),
})
