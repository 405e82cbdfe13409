/** What filling tells of the database. */
import type { MigrationFile, ToolNote } from '../recording.js'

/** What is pending once the database is there. */
export interface Filled {
  migrations: readonly MigrationFile[]
  pendingBy: string
  notes: readonly ToolNote[]
  /** What was taken for granted to fill the tables. */
  assumptions: readonly string[]
  /** Tables whose rows were made up. */
  generated: readonly string[]
}
