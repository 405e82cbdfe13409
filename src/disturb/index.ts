/** What else goes on in production while a migration runs, in one literal map. */
import type { DisturbanceKind } from '../recording.js'
import { dump } from './dump.js'
import { idleInTransaction } from './idle-in-transaction.js'
import { longRead } from './long-read.js'
import { preparedTransaction } from './prepared-transaction.js'
import type { Disturbance } from './types.js'
import { vacuum } from './vacuum.js'

export { applicationName } from './session.js'
export type { Disturbance, DisturbedTable, DisturbOptions, Ending, HeldLock, RunningDisturbance } from './types.js'

export const disturbances: Readonly<Record<DisturbanceKind, Disturbance>> = {
  'long-read': longRead,
  'idle-in-transaction': idleInTransaction,
  dump,
  vacuum,
  'prepared-transaction': preparedTransaction,
}
