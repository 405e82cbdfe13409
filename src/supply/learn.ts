/**
 * A copy of the database to learn on: the schema as it is before the migration and as it is after it, and which values
 * there are. What derived traffic is made of. The copy is thrown away before anything is measured.
 */
import type { Branch, Copy } from '../branches/index.js'
import { startClock } from '../clock.js'
import type { ReadyTool } from '../launch.js'
import { runMigration } from '../migrations/runner.js'
import { openMigrationSession } from '../migrations/session.js'
import { openTool } from '../pass/tool.js'
import { connect, disconnect, type Address, type Sql } from '../pg/connect.js'
import type { MigrationFile } from '../recording.js'
import type { Scenario } from '../scenario.js'
import { samplePools } from '../values/pools.js'
import { readShape } from '../values/read-shape.js'
import { valueMaker } from '../values/maker.js'
import type { Pools, SchemaShape, ValueMaker } from '../values/types.js'

/** Up to this size the migration runs on all rows, so that the values after it are known, too. */
const MOST_BYTES = 1024 ** 3

export interface LearnOptions {
  branch: Branch
  scenario: Scenario
  tool: ReadyTool | null
  migrations: readonly MigrationFile[]
  signal: AbortSignal
}

/** One state of the schema. */
export interface Known {
  shape: SchemaShape
  pools: Pools
  maker: ValueMaker
  /** A session of the application's role, and where it is. */
  app: Sql
  address: Address
  /** Whether the tables have the rows that traffic will meet. */
  filled: boolean
}

export interface Learnt {
  /** What the migration sent; empty when it never ran. */
  statements: string[]
  /** Why the schema after the migration is not known; null when it is. */
  unknown: string | null
}

/** Calls `before` and, when the migration succeeds, `after`. Throws TOOL_NOT_CONNECTED. */
export async function learn(
  options: LearnOptions,
  before: (known: Known) => Promise<void>,
  after: (known: Known) => Promise<void>,
): Promise<Learnt> {
  const known: { pools: Pools } = { pools: { rows: new Map() } }
  const first = await onCopy(options, async (copy, admin) => {
    await withKnown(options, copy, admin, null, async (state) => {
      known.pools = state.pools
      await before(state)
    })
    const [size] = await admin<{ bytes: number }[]>`select pg_database_size(current_database())::float8 as bytes`
    const filled = (size?.bytes ?? 0) <= MOST_BYTES
    if (!filled) await empty(options, admin)
    return migrated(options, copy, admin, filled ? null : known.pools, after)
  })
  if (first.unknown === null) return first
  // Rows can be what stops it; the schema that it is to make is known all the same.
  const second = await onCopy(options, async (copy, admin) => {
    await empty(options, admin)
    return migrated(options, copy, admin, known.pools, after)
  })
  return second.unknown === null ? second : first
}

async function onCopy<T>(options: LearnOptions, use: (copy: Copy, admin: Sql) => Promise<T>): Promise<T> {
  const copy = await options.branch.fork('learn')
  const admin = connect(copy.address('admin'), { applicationName: 'rehearse learning' })
  try {
    return await use(copy, admin)
  } finally {
    await disconnect(admin)
    await copy.stop()
  }
}

/** `emptied`: the rows that there were before they were taken away; null where they are still there. */
async function withKnown(
  { scenario }: LearnOptions,
  copy: Copy,
  admin: Sql,
  emptied: Pools | null,
  use: (known: Known) => Promise<void>,
): Promise<void> {
  const { seedNumber } = scenario
  const shape = await readShape(admin, { role: scenario.roles.app })
  const pools = emptied ? fitting(emptied, shape) : await samplePools(admin, shape, { seedNumber })
  const filled = emptied === null
  const address = copy.address('app')
  const app = connect(address, { applicationName: 'rehearse learning' })
  try {
    await use({ shape, pools, maker: valueMaker(shape, pools, { seedNumber }), app, address, filled })
  } finally {
    await disconnect(app)
  }
}

async function migrated(
  options: LearnOptions,
  copy: Copy,
  admin: Sql,
  emptied: Pools | null,
  after: (known: Known) => Promise<void>,
): Promise<Learnt> {
  const { scenario, tool, migrations, signal } = options
  const limit = AbortSignal.any([signal, AbortSignal.timeout(scenario.maxDurationMs)])
  const clock = startClock()
  const trace = tool
    ? await viaTool(tool, copy, admin, migrations, limit)
    : await plainly(copy, migrations, scenario, limit, clock)
  const { outcome } = trace.run
  if (outcome.ok) await withKnown(options, copy, admin, emptied, after)
  return {
    statements: trace.statements,
    unknown: outcome.ok ? null : `${outcome.error.sqlstate} ${outcome.error.message}`,
  }
}

interface Ran {
  run: Awaited<ReturnType<typeof runMigration>>['run']
  statements: string[]
}

async function viaTool(
  tool: ReadyTool,
  copy: Copy,
  admin: Sql,
  files: readonly MigrationFile[],
  signal: AbortSignal,
): Promise<Ran> {
  const open = await openTool({
    tool: tool.release,
    input: { migrate: copy.address('migrate'), emit: () => undefined },
    admin,
    clock: startClock(),
    files,
    settings: {},
  })
  try {
    const { trace } = await open.run(signal)
    return { run: trace.run, statements: [...trace.sent.values()] }
  } finally {
    await open.close()
  }
}

async function plainly(
  copy: Copy,
  files: readonly MigrationFile[],
  { transaction }: Scenario,
  signal: AbortSignal,
  clock: ReturnType<typeof startClock>,
): Promise<Ran> {
  const session = await openMigrationSession(copy.address('migrate'), clock)
  try {
    const { run } = await runMigration(session, files, { transaction, signal })
    return { run, statements: files.flatMap((file) => file.statements.map(({ sql }) => sql)) }
  } finally {
    await session.close()
  }
}

/** Rows of the tables and columns that are there under the same name; what a new column holds is not known. */
function fitting(pools: Pools, shape: SchemaShape): Pools {
  return {
    rows: new Map(
      shape.tables.map(({ name, columns }) => [
        name,
        (pools.rows.get(name) ?? []).map((row) =>
          Object.fromEntries(
            columns.flatMap((column) => (column.name in row ? [[column.name, row[column.name] ?? null]] : [])),
          ),
        ),
      ]),
    ),
  }
}

/** Takes the rows away, but for those of the migration tool's own journal. */
async function empty({ scenario }: LearnOptions, admin: Sql): Promise<void> {
  const journal = new Set((scenario.tool?.setup.ledger?.tables ?? []).map(({ schema, name }) => `${schema}.${name}`))
  const shape = await readShape(admin)
  const tables = shape.tables.filter(
    ({ schema, bare, kind }) => kind !== 'partition' && kind !== 'foreign' && !journal.has(`${schema}.${bare}`),
  )
  if (tables.length > 0) await admin.unsafe(`truncate ${tables.map(({ sql }) => sql).join(', ')} cascade`).simple()
}
