/** Operations of one release from a schema that is known. */
import { activityOf } from '../profile/index.js'
import type { LearntProgram } from '../apps/learn.js'
import type { ProgramSource } from '../apps/source.js'
import type { Address } from '../pg/connect.js'
import type { Sink } from '../traffic/source.js'
import type { Release, TrafficOrigin } from '../recording.js'
import type { Scenario } from '../scenario.js'
import { coverage, deriveOperations, verifyOperations, type Derived } from '../traffic/derived/index.js'
import type { Operation } from '../traffic/operation.js'
import { productionOperations } from '../traffic/production/index.js'
import { plural } from '../units.js'
import { keepingTo, withClaims } from '../values/claimed.js'
import type { SchemaShape, TableShape } from '../values/types.js'
import type { Known } from './learn.js'

export interface Made {
  operations: readonly Operation[]
  origin: TrafficOrigin
  assumptions: string[]
  ratePerSecond: number | null
  /** Starts the program whose queries are the traffic; only of a program. */
  start?: (address: Address) => (sink: Sink) => ProgramSource
  /** Runs it for a short time to see what it sends. */
  learn?: (address: Address) => Promise<LearntProgram>
}

export interface MakeOptions {
  scenario: Scenario
  release: Release
  known: Known
  /** Tables that the pending migrations name. */
  touched: ReadonlySet<string>
}

const EVERYTHING = { select: true, insert: true, update: true, delete: true }

/** `before` is the schema before the migration. */
export async function derived({
  scenario,
  release,
  known,
  touched,
  before,
}: MakeOptions & { before: SchemaShape | null }): Promise<Made> {
  const profile = scenario.traffic.profile?.content ?? null
  const pending = scenario.migrations.flatMap((file) => file.statements.map(({ sql }) => sql))
  const isNew = (table: TableShape): boolean =>
    release === 'new' && before !== null && !before.tables.some(({ oid }) => oid === table.oid)
  // The new release will use a table that the migration makes, whether or not a GRANT was forgotten.
  const shape = { tables: known.shape.tables.map((table) => (isNew(table) ? { ...table, may: EVERYTHING } : table)) }
  const made = deriveOperations({
    shape,
    pools: known.pools,
    // What a pending constraint will refuse, the application does not send either: derived values cannot tell.
    maker: release === 'old' ? keepingTo(withClaims(known.shape, pending), known.maker) : known.maker,
    release,
    touched,
    exclude: new Set([...scenario.traffic.exclude, ...journalTables(scenario)]),
    activity: profile ? activityOf(profile) : null,
  })
  const denied = new Set(
    known.shape.tables
      .filter((table) => isNew(table) && !Object.values(table.may).every(Boolean))
      .map(({ name }) => name),
  )
  const { operations, leftOut } = known.filled ? await verified(scenario, known, made, denied) : made
  const when = release === 'old' ? 'before' : 'after'
  const tables = new Set(operations.map(({ table }) => table))
  return {
    operations,
    origin: {
      release,
      source: 'derived',
      text: `Derived from the schema ${when} the migration: ${plural(operations.length, 'operation')} on ${plural(tables.size, 'table')}`,
      ...coverage(shape, operations),
      coverage: null,
      leftOut: [...leftOut],
    },
    assumptions:
      release === 'old'
        ? [
            'The application uses every table and lists every column, as an ORM does; how often is guessed from the sizes of the tables, with four reads to a write. Tables that the pending migrations name get at least half of the traffic.',
          ]
        : [],
    ratePerSecond: null,
  }
}

async function verified(
  { seedNumber, rows }: Scenario,
  { app }: Known,
  made: Derived,
  denied: ReadonlySet<string>,
): Promise<Pick<Derived, 'operations' | 'leftOut'>> {
  const tried = await verifyOperations(
    app,
    made.operations.filter(({ table }) => !denied.has(table)),
    { seed: seedNumber, variables: { rows, clientId: 0, seed: seedNumber } },
  )
  const kept = new Set(tried.operations)
  return {
    operations: made.operations.filter((operation) => denied.has(operation.table) || kept.has(operation)),
    leftOut: [...made.leftOut, ...tried.leftOut],
  }
}

function journalTables({ tool }: Scenario): string[] {
  return (tool?.setup.ledger?.tables ?? []).map(({ schema, name }) =>
    schema === 'public' ? name : `${schema}.${name}`,
  )
}

export async function fromProduction({ scenario, release, known }: MakeOptions): Promise<Made> {
  const { profile, factor } = scenario.traffic
  if (profile === null) throw new Error('statements of production need a profile')
  const made = await productionOperations({
    profile: profile.content,
    shape: known.shape,
    pools: known.pools,
    maker: known.maker,
    sql: known.app,
    release,
    factor,
  })
  return {
    operations: made.operations,
    origin: {
      release,
      source: 'production',
      text: `Statements of production (${profile.shown}): ${made.text}`,
      tables: null,
      columns: null,
      coverage: made.coverage,
      leftOut: made.leftOut,
    },
    assumptions:
      release === 'new'
        ? [
            "The new release sends those of production's statements that its schema accepts; what it does anew is not in them.",
          ]
        : [],
    ratePerSecond: made.ratePerSecond,
  }
}
