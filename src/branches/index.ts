/** Where a throw-away database can come from. */
import { embedded } from './embedded.js'
import type { BranchProvider } from './provider.js'

export const branches = { embedded } satisfies Record<string, BranchProvider>

export { closeAllNow } from './embedded.js'
export { sweep, type SweptEntry } from './run-directory.js'
export { isReservedSetting } from './settings.js'
export { GRANTS_ASSUMPTION, grantApp } from './roles.js'
export type { Address, Branch, BranchOptions, BranchProvider, Copy, DatabaseRole, RoleNames } from './provider.js'
export { asDiskFull } from './cluster.js'
export { readServerLog } from './server.js'
