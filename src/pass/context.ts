/** What every pass gets: its own equal copy of the filled database and what is to be done on it. */
import type { Emit } from '../events.js'
import type { MigrationFile, RelationKind, Statement, TransactionMode } from '../recording.js'
import type { RelationState } from '../pg/catalog.js'
import { connect, disconnect, type Address, type Sql } from '../pg/connect.js'
import type { Retries } from '../migrations/run-options.js'
import type { Ledger, ToolSetup } from '../migrations/tools/types.js'
import type { Check } from '../probe/checks.js'
import type { Operation, Variables } from '../traffic/operation.js'

export interface PassInput {
  /** How the copy was made. */
  copiedBy: string
  admin: Address
  migrate: Address
  app: Address
  migrations: readonly MigrationFile[]
  transaction: TransactionMode
  /** Of plain SQL files, under traffic: what is tried again after 55P03 (lock_timeout). A tool has its own. */
  retries?: Retries | null
  /** The team's migration tool; null where the files are run as plain SQL. */
  tool: ToolInput | null
  rollback: MigrationFile | null
  checks: readonly Check[]
  operations: readonly Operation[]
  rows: number
  seed: number
  maxDurationMs: number
  emit: Emit
  /** Aborted when the user interrupts: the pass ends early and what it knows is kept. */
  signal: AbortSignal
}

/** The team's migration tool, ready to be started. */
export interface ToolInput {
  setup: ToolSetup
  /** As one would type it: what statements of nowhere are called after. */
  command: string
  /** Starts it against that address and resolves when it has ended. `signal` ends it. */
  start(options: { address: Address; signal: AbortSignal }): Promise<ToolExit>
  /** Without any connection after so long, it does not use the address that it was given. */
  connectWithinMs: number
}

export interface ToolExit {
  exitCode: number | null
  signal: string | null
  /** The tail of what it printed. In memory only. */
  output: string
  /** Where else it wanted to connect. */
  blocked: readonly { host: string; port: number }[]
}

/** Settings that only make the server tell more; on the migration's sessions in both passes. */
export const ANNOUNCE = { client_min_messages: 'debug1' }

/** Counting rows is exact only without parallel workers, whose counters are their own: quiet pass only. */
export const COUNT_EXACTLY = { max_parallel_workers_per_gather: '0', max_parallel_maintenance_workers: '0' }

export const variables = (input: PassInput): Variables => ({ rows: input.rows, clientId: 0, seed: input.seed })

export const byId = (files: readonly MigrationFile[]): Map<string, Statement> =>
  new Map(files.flatMap((file) => file.statements.map((statement) => [statement.id, statement] as const)))

export async function withAdmin<T>(input: PassInput, name: string, use: (sql: Sql) => Promise<T>): Promise<T> {
  const sql = connect(input.admin, { applicationName: `rehearse ${name}` })
  try {
    return await use(sql)
  } finally {
    await disconnect(sql)
  }
}

/** Reads every table once, so that every pass starts with the same pages in memory, and ends with a checkpoint. */
export async function warmAndCheckpoint(sql: Sql, relations: ReadonlyMap<number, RelationState>): Promise<void> {
  for (const relation of relations.values()) {
    if (relation.kind !== 'table' && relation.kind !== 'materialized view') continue
    const [schema, name] = relation.name.includes('.')
      ? splitOnce(relation.name, relation.bare)
      : ['public', relation.bare]
    await sql`select count(*) from ${sql(schema)}.${sql(name)}`
  }
  await sql.unsafe('checkpoint').simple()
}

const splitOnce = (qualified: string, bare: string): [string, string] => [qualified.slice(0, -bare.length - 1), bare]

/** Tells the relations of a tool's bookkeeping, its sequences and indexes included, from all others. */
export function journalOf(ledger: Ledger | null): (table: string) => boolean {
  const names = (ledger?.tables ?? []).map(({ schema, name }) => (schema === 'public' ? name : `${schema}.${name}`))
  return (table) => names.some((name) => table === name || table.startsWith(`${name}_`))
}

/** What a relation's OID stands for, in the words of the recording: names are those from before the migration. */
export interface NamedRelation {
  relation: string
  kind: RelationKind
  table: string
  existedBefore: boolean
}

/** Relations that the migration created get their names afterwards, through `learn`. */
export class RelationNames {
  readonly #known = new Map<number, NamedRelation>()

  constructor(initial: ReadonlyMap<number, RelationState>) {
    this.learn(initial, true)
  }

  learn(relations: ReadonlyMap<number, RelationState>, existedBefore = false): void {
    for (const [oid, relation] of relations)
      if (!this.#known.has(oid))
        this.#known.set(oid, { relation: relation.name, kind: relation.kind, table: relation.table, existedBefore })
  }

  of(oid: number): NamedRelation | null {
    return this.#known.get(oid) ?? null
  }
}
