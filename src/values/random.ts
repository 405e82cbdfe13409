/** The one generator of seeded random numbers, for data as for traffic. */
export { Random, hash32 } from '../traffic/random.js'
