/** Pools of realistic values, shared with the values that traffic is made of. */
export { createPools, type PoolName, type Pools } from '../values/faker-pools.js'
