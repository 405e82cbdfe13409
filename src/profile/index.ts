/** Production's sizes and statistics, read from a file; no values. */
export { activityOf, ProfileFile, readProfile } from './schema.js'
export type { Profile, StatementEntry, TableActivity } from './schema.js'
export { NOT_EXPORTED, PROFILE_STATEMENTS_SQL } from './statements-sql.js'
