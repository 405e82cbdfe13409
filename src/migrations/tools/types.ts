/** The user's migration tool as the rehearsal needs to know it. */
import type { Address } from '../../pg/connect.js'
import type { ToolNote } from '../../recording.js'

export type { ToolNote }

export type ToolName = 'drizzle' | 'node-pg-migrate' | 'prisma' | 'supabase' | 'command'

/** One migration in the tool's own order. */
export interface MigrationSource {
  /** The tool's own name of it: the journal's tag, the folder, the file name without its ending. */
  name: string
  /** Absolute path of the file that holds it. */
  path: string
  /** As shown to people: relative to the working directory where possible. */
  shown: string
  /**
   * `sql`: `sql` is what the tool sends, as it stands in the file; what it does not send (a down section) is blanked out
   * with spaces, line ends kept, so that lines and columns are those of the file. `code`: a program (JS, TS).
   */
  kind: 'sql' | 'code'
  sql: string
  /** The whole text of the file. */
  text: string
  /** Of the bytes of the file, in hex. */
  sha256: string
}

/** A row of the tool's journal table, every column as text. */
export type LedgerRow = Readonly<Record<string, string | null>>

export interface Pending {
  /** Names in the order in which the tool will run them. */
  pending: string[]
  /** Names that the journal says are applied. */
  applied: string[]
  /** Neither: what the tool passes over in silence. */
  notes: ToolNote[]
  /** Why the tool will refuse to run at all (P3009, wrong order), or null. */
  refuses: string | null
}

export interface Ledger {
  /** For people: `drizzle.__drizzle_migrations`. */
  table: string
  /** Tables (schema-qualified, unquoted) that only the tool's bookkeeping uses, lock tables included. */
  tables: readonly { schema: string; name: string }[]
  /** A query that returns its rows in order; fails with 42P01 or 3F000 when there is no journal yet. */
  query: string
  /** The tool's own rule. Rows are those of `query`, empty when there is no journal yet. Pure. */
  pending(files: readonly MigrationSource[], rows: readonly LedgerRow[]): Pending
  /** Whether a migration's journal row is written before its statements (Prisma) or after them. */
  written: 'before' | 'after'
  /**
   * The migration whose journal row this statement writes, by the values in the text or in the parameters (null where
   * not known to be text); null when it is no such statement. Pure.
   */
  recordedBy(
    sql: string,
    parameters: readonly (string | null)[] | null,
    files: readonly MigrationSource[],
  ): string | null
}

/** How the tool is started. */
export type Launch =
  /** A program: `argv` without a shell, or one line for the shell. Run in the folder of the project. */
  | { kind: 'program'; argv: readonly string[] }
  | { kind: 'shell'; line: string }
  /** The tool's binary is not here: its messages, sent by us. `why` is a sentence for the report. */
  | { kind: 'replay'; why: string; run: (options: ReplayOptions) => Promise<ReplayResult> }

export interface ReplayOptions {
  /** The proxy. */
  address: Address
  /** All migrations in the folder, as the tool would see them. */
  files: readonly MigrationSource[]
  signal: AbortSignal
}

export interface ReplayResult {
  exitCode: number
  /** What the tool would print, without data. */
  lines: string[]
}

/** An environment variable that the tool reads its database address from, and which part of the address it is. */
export interface AddressVariable {
  name: string
  part: 'url' | 'host' | 'port' | 'user' | 'password' | 'database'
}

/** A tool that was found in a project, its configuration read. */
export interface ToolSetup {
  tool: ToolName
  /** For people: `Drizzle (journal layout)`. */
  title: string
  /** Of the package that will run, e.g. `drizzle-kit 0.31.11, drizzle-orm 0.45.4`; null when not known. */
  version: string | null
  /** Absolute path of its configuration file; null when it has none. */
  configFile: string | null
  /** Absolute path of the folder of migrations. */
  folder: string
  files: readonly MigrationSource[]
  ledger: Ledger | null
  launch: Launch
  /** Where it gets its database address from, as far as its configuration shows. */
  variables: readonly AddressVariable[]
  /** Parameters to add to a URL for this tool, e.g. `sslmode=disable`. */
  urlParameters: Readonly<Record<string, string>>
  /** Static findings about the files and the journal. */
  notes: readonly ToolNote[]
  /** What was taken for granted, in sentences. */
  assumptions: readonly string[]
  /** In a copy of the project whose root is `root`, leaves only the named migrations in place, as if it were older. */
  cut(root: string, names: readonly string[]): Promise<void>
}

/** What the user says about the tool in the configuration; everything else is detected. */
export interface ToolRequest {
  tool?: ToolName | 'sql' | undefined
  /** Absolute folder in which the tool is run: that of the project. */
  project: string
  /** Replaces the tool's usual command. */
  command?: string | undefined
  /** Configuration file of the tool, relative to the project. */
  config?: string | undefined
  /** Folder of the migrations, relative to the project; for `command` it tells which files the statements come from. */
  folder?: string | undefined
  /** How a path is shown to people. */
  shown: (path: string) => string
}
