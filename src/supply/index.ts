/**
 * The traffic of both releases, once the database is there: operations of files, of a git ref's file, of production's
 * statements, or derived from the schema as it is before and after the migration.
 */
import { join, relative } from 'node:path'
import { prepareProgram } from '../apps/prepare.js'
import { learnProgram } from '../apps/learn.js'
import { programSource, type ProgramOptions, type ProgramSource } from '../apps/source.js'
import type { Branch } from '../branches/index.js'
import type { Emit } from '../events.js'
import type { ReadyTool } from '../launch.js'
import type { MigrationFile, Recording, Release, TrafficOrigin } from '../recording.js'
import type { Scenario } from '../scenario.js'
import { readOperations, type Supply } from '../scenario/traffic.js'
import type { Address } from '../pg/connect.js'
import { verifyOperations } from '../traffic/derived/index.js'
import type { Operation } from '../traffic/operation.js'
import type { Sink } from '../traffic/source.js'
import type { SchemaShape } from '../values/types.js'
import { openWorktree, type Worktree } from '../worktree/worktree.js'
import { plural } from '../units.js'
import { learn, type Known } from './learn.js'
import { derived, fromProduction, type Made } from './make.js'
import { dropped, takenAway } from './taken-away.js'
import { touchedTables } from '../values/touched.js'

export interface SupplyOptions {
  branch: Branch
  scenario: Scenario
  tool: ReadyTool | null
  migrations: readonly MigrationFile[]
  shell: Readonly<Record<string, string | undefined>>
  emit: Emit
  signal: AbortSignal
}

export interface Supplied {
  operations: readonly Operation[]
  origins: TrafficOrigin[]
  takenAway: Recording['takenAway']
  assumptions: string[]
  /** Operations a second that production's statements come to; null where that is not known or not asked for. */
  ratePerSecond: number | null
  /** Programs whose own queries are traffic, ready to be started against a copy. */
  programs: readonly { release: Release; start: (address: Address) => (sink: Sink) => ProgramSource }[]
}

/** Throws USAGE and INSTALL_FAILED for a git ref, SCRIPT_INVALID for what is loaded from it, and what `learn` throws. */
export async function supply(options: SupplyOptions): Promise<Supplied> {
  const { traffic } = options.scenario
  const fixed: Record<Release, Made | null> = { old: null, new: null }
  const assumptions = [...traffic.assumptions]
  for (const release of ['old', 'new'] as const) {
    const supply = traffic[release]
    if (supply.kind === 'files') fixed[release] = declared(release, supply.operations, supply.shown)
    else if (supply.kind === 'ref') fixed[release] = await atRef(options, release, supply, assumptions)
    // What a program sends is seen when it runs.
    else if (supply.kind === 'program') fixed[release] = await program(options, release, supply, assumptions)
  }
  if (fixed.old !== null && fixed.new !== null && !fixed.old.start && !fixed.new.start)
    return result([fixed.old, fixed.new], null, assumptions)
  return learnt(options, fixed, assumptions)
}

async function learnt(
  options: SupplyOptions,
  fixed: Record<Release, Made | null>,
  assumptions: string[],
): Promise<Supplied> {
  const { scenario, emit } = options
  emit({ type: 'step', text: 'learning the schema before and after the migration' })
  const made: Record<Release, Made | null> = { ...fixed }
  const shapes: { before: SchemaShape | null; after: SchemaShape | null } = { before: null, after: null }
  // What the files say; what programs among them send is not known before they have run.
  const written = options.migrations.flatMap((file) => file.statements.map(({ sql }) => sql))
  const make = async (release: Release, known: Known): Promise<Made | null> => {
    const { kind } = scenario.traffic[release]
    const touched = touchedTables(written, known.shape)
    if (kind === 'schema') return derived({ scenario, release, known, touched, before: shapes.before })
    if (kind === 'production') return fromProduction({ scenario, release, known, touched })
    const one = fixed[release]
    return one?.learn ? { ...one, ...(await seenOf(options, one.origin, one.learn, known)) } : one
  }
  const { unknown } = await learn(
    options,
    async (known) => {
      shapes.before = known.shape
      made.old = await make('old', known)
    },
    async (known) => {
      shapes.after = known.shape
      made.new = await make('new', known)
    },
  )
  const [old, next] = [made.old, made.new ?? (made.old ? asNew(made.old) : null)]
  if (unknown !== null && made.new === null)
    assumptions.push(
      `The new release sends the same statements as the old one: the migration fails (${unknown}), so the schema after it is not known.`,
    )
  const away =
    shapes.before && shapes.after && scenario.traffic.old.kind === 'schema'
      ? await takenAway({
          objects: dropped(shapes.before, shapes.after),
          folder: scenario.folder,
          ref: scenario.runningRef,
          without: withoutMigrations(scenario),
        })
      : null
  return result([...(old ? [old] : []), ...(next ? [next] : [])], away, assumptions)
}

function result(made: readonly Made[], away: Recording['takenAway'], assumptions: string[]): Supplied {
  const rates = made.flatMap(({ ratePerSecond }) => ratePerSecond ?? [])
  return {
    operations: made.flatMap(({ operations }) => operations),
    origins: made.map(({ origin }) => origin),
    takenAway: away,
    assumptions: [...assumptions, ...made.flatMap((one) => one.assumptions)],
    ratePerSecond: rates.length > 0 ? Math.max(...rates) : null,
    programs: made.flatMap(({ origin: { release }, start }) => (start ? [{ release, start }] : [])),
  }
}

const origin = (release: Release, source: TrafficOrigin['source'], text: string): TrafficOrigin => ({
  release,
  source,
  text,
  tables: null,
  columns: null,
  coverage: null,
  leftOut: [],
})

const declared = (release: Release, operations: readonly Operation[], shown: string): Made => ({
  operations,
  origin: origin(release, 'declared', `${plural(operations.length, 'operation')} declared in ${shown}`),
  assumptions: [],
  ratePerSecond: null,
})

async function program(
  { scenario, branch, shell, emit, signal }: SupplyOptions,
  release: Release,
  { program: definition, install }: Extract<Supply, { kind: 'program' }>,
  assumptions: string[],
): Promise<Made> {
  const { command, ref } = definition
  emit({ type: 'step', text: `preparing ${command} (${release} release)` })
  const directory = join(branch.directory, `program-${release}`)
  const ready = await prepareProgram({
    release,
    definition,
    project: scenario.folder,
    directory,
    install,
    shell,
    signal,
  })
  assumptions.push(...ready.notes)
  let starts = 0
  const programOptions = (address: Address): ProgramOptions => ({
    release,
    program: ready.program,
    address,
    directory: join(directory, `run-${++starts}`),
    shell,
    signal,
  })
  return {
    operations: [],
    origin: origin(release, 'program', `The queries of ${command}${ref === undefined ? '' : `, started from ${ref}`}`),
    assumptions: [],
    ratePerSecond: null,
    start: (address) => programSource(programOptions(address)),
    learn: (address) => learnProgram(programOptions(address), LEARN_MS),
  }
}

/** Long enough for the statements that come often; the others are known once they are seen under traffic. */
const LEARN_MS = 4_000

/** What a program sends, as far as each statement can be tried by itself. */
async function seenOf(
  { scenario: { rows, seedNumber }, emit }: SupplyOptions,
  of: TrafficOrigin,
  learn: NonNullable<Made['learn']>,
  { address, app, filled }: Known,
): Promise<Pick<Made, 'operations' | 'origin' | 'assumptions'>> {
  emit({ type: 'step', text: 'listening to what the program sends' })
  const { operations, broken } = await learn(address)
  const assumptions = broken === null ? [] : [`When it was listened to after the migration, ${broken}.`]
  if (!filled) return { operations, origin: of, assumptions }
  const verified = await verifyOperations(app, operations, {
    seed: seedNumber,
    variables: { rows, clientId: 0, seed: seedNumber },
    tries: 4,
  })
  // They are played all the same; it is only the states of the schema that they are not tried on.
  const leftOut = verified.leftOut.map((one) => ({ ...one, reason: `only under traffic, not at rest: ${one.reason}` }))
  return { operations: verified.operations, origin: { ...of, leftOut }, assumptions }
}

/** The same operations for the new release. */
const asNew = ({ operations, origin: of, assumptions }: Made): Made => ({
  operations: operations.map((operation) => ({ ...operation, release: 'new' as const })),
  origin: { ...of, release: 'new', leftOut: [] },
  assumptions,
  ratePerSecond: null,
})

/** The old release's operations, from its own file with its own dependencies. */
async function atRef(
  { scenario, branch, shell, emit, signal }: SupplyOptions,
  release: Release,
  supply: Extract<Supply, { kind: 'ref' }>,
  assumptions: string[],
): Promise<Made> {
  emit({ type: 'step', text: `writing the files of ${supply.ref}` })
  const worktree = await openWorktree({
    project: scenario.folder,
    ref: supply.ref,
    into: join(branch.directory, 'old-release'),
    install: supply.install,
    shell,
    signal,
  })
  assumptions.push(...notesOf(worktree, supply.ref))
  // The worktree stays until the rehearsal ends: what is loaded from it may load more when it runs.
  const path = join(worktree.root, relative(scenario.folder, supply.path))
  return declared(release, await readOperations(path, supply.shown, release), supply.shown)
}

const notesOf = ({ notes, dependencies }: Worktree, ref: string): string[] => [
  ...notes,
  ...(dependencies === 'installed' ? [`The dependencies of ${ref} were installed for it.`] : []),
]

/** Paths that are no code of the application. */
function withoutMigrations({ folder, tool, migrations }: Scenario): string[] {
  if (tool) return [relative(folder, tool.setup.folder) || '.'].filter((path) => path !== '.' && !path.startsWith('..'))
  return migrations.map(({ file }) => file)
}
