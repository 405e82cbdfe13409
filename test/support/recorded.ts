/**
 * A fixture's tool run through the loopback proxy, as both passes do it, and what was recorded of it in the terms of the
 * server's log, so that the two can be held against each other.
 */
import { basename, relative } from 'node:path'
import { migrationFiles } from '../../src/scenario/tool.js'
import { startClock } from '../../src/clock.js'
import { detectTool } from '../../src/migrations/tools/index.js'
import type { ToolSetup } from '../../src/migrations/tools/types.js'
import type { Step } from '../../src/migrations/wire-trace/steps.js'
import { transactionsOf } from '../../src/migrations/wire-trace/transactions.js'
import type { PassInput, ToolInput } from '../../src/pass/context.js'
import { dissectTool } from '../../src/pass/tool-dissect.js'
import type { Dissected } from '../../src/pass/dissect.js'
import { openTool, type ToolResult } from '../../src/pass/tool.js'
import { readRelations } from '../../src/pg/catalog.js'
import { disconnect } from '../../src/pg/connect.js'
import type { WireSession } from '../../src/wire/types.js'
import { runDirectly, type Prepared } from './direct-run.js'
import { connect } from './postgres.js'
import type { Project } from './projects.js'
import type { LogEntry } from './server-log.js'
import { errorsOf, statementsOf, transactions } from './server-transactions.js'

/** One session as both sides know it. */
export interface SessionFacts {
  pid: number
  /** `simple` or `extended` and the whole text, in order. */
  sent: string[]
  sqlstates: string[]
  transactions: { explicit: boolean; outcome: string; statements: string[] }[]
}

/** COMMIT or ROLLBACK where no transaction is open: the server warns and does nothing. */
const withoutIdle = (all: SessionFacts['transactions']): SessionFacts['transactions'] =>
  all.filter(
    ({ explicit, statements }) => explicit || !statements.every((sql) => /^(commit|rollback);?$/i.test(sql.trim())),
  )

/** The tool's sessions by the server's log; every client of the role counts, also one that sent nothing. */
export function loggedSessions(log: readonly LogEntry[], user: string): SessionFacts[] {
  const own = log.filter((entry) => entry.user === user)
  return own
    .filter((entry) => entry.kind === 'connected')
    .map(({ pid }) => {
      const entries = own.filter((entry) => entry.pid === pid)
      return {
        pid,
        sent: statementsOf(entries).map(
          ({ kind, sql }) => `${kind === 'statement' ? 'simple' : 'extended'} ${sql ?? ''}`,
        ),
        sqlstates: errorsOf(entries),
        transactions: withoutIdle(
          transactions(entries, pid).map(({ explicit, outcome, statements }) => ({
            explicit,
            outcome,
            statements: statements.map((entry) => entry.sql ?? ''),
          })),
        ),
      }
    })
}

/** The same by what passed through the proxy. */
export const recordedSessions = (sessions: readonly WireSession[], steps: readonly Step[]): SessionFacts[] =>
  sessions.map((session) => {
    const commands = session.exchanges.flatMap((exchange) => {
      // The server passes over what comes after an error in a batch.
      const failed = exchange.commands.findIndex((command) => command.error !== null)
      return failed === -1 ? exchange.commands : exchange.commands.slice(0, failed + 1)
    })
    const own = steps.filter((step) => step.session === session)
    // Each step is taken for a migration's, so that the tool's own transactions are listed as well.
    const ids = own.map((_, index) => String(index))
    return {
      pid: session.pid,
      sent: commands.map(({ protocol, sql }) => `${protocol} ${sql}`),
      sqlstates: session.exchanges.flatMap((exchange) =>
        [...exchange.commands.map((command) => command.error), exchange.error].flatMap(
          (error) => error?.sqlstate ?? [],
        ),
      ),
      transactions: withoutIdle(
        transactionsOf(own, ids, [session]).transactions.map(({ kind, committed, statements }) => ({
          explicit: kind === 'explicit',
          outcome: committed ? 'committed' : 'rolled back',
          statements: [...new Set(statements.flatMap((id) => own[Number(id)]?.command ?? []))].map(({ sql }) => sql),
        })),
      ),
    }
  })

/** What the product finds in the project: nothing is said of the tool where it can be told from the files. */
export async function setupOf(project: Project): Promise<ToolSetup> {
  const { command } = project.fixture
  const [program = ''] = command
  const usual = ['drizzle-kit', 'node-pg-migrate', 'prisma', 'supabase'].some((name) => program.endsWith(name))
  const setup = await detectTool({
    project: project.root,
    shown: (path) => relative(project.root, path) || '.',
    ...(usual ? {} : { command: command.join(' ') }),
  })
  if (setup === null) throw new Error(`${project.name}: no tool found`)
  return setup
}

/** The pending migrations by the names that the product gives them. */
export const pendingIn = ({ fixture }: Project, setup: ToolSetup): string[] =>
  fixture.pending.map(
    (wanted) =>
      setup.files.find(({ name, path }) => name === wanted || basename(path) === wanted)?.name ??
      `${wanted} is not there`,
  )

/** `tool`: the project's own; `replay`: the messages that the product sends where the tool's program is not there. */
export type By = 'tool' | 'replay'

function toolInput(project: Project, setup: ToolSetup, by: By): ToolInput {
  return {
    setup,
    command: project.fixture.command.join(' '),
    connectWithinMs: 60_000,
    async start({ address, signal }) {
      if (by === 'tool') {
        const { exitCode, stdout, stderr } = await runDirectly(project, address)
        return { exitCode, signal: null, output: stdout + stderr, blocked: [] }
      }
      if (setup.launch.kind !== 'replay') throw new Error(`${project.name}: there is no replay`)
      const { exitCode, lines } = await setup.launch.run({ address, files: setup.files, signal })
      return { exitCode, signal: null, output: lines.join('\n'), blocked: [] }
    },
  }
}

/** Runs the pending migrations through the proxy, as the timed pass does. */
export async function recordPlain(
  { project, address, superuser }: Prepared,
  setup: ToolSetup,
  by: By,
): Promise<ToolResult> {
  const admin = connect(superuser)
  const open = await openTool({
    tool: toolInput(project, setup, by),
    input: { migrate: address, emit: () => undefined },
    admin,
    clock: startClock(),
    files: await migrationFiles(setup.files, pendingIn(project, setup)),
    // Without it the product keeps these sessions out of the server's log, which is the witness here.
    settings: { log_min_messages: 'notice' },
  })
  try {
    return await open.run(new AbortController().signal)
  } finally {
    await open.close()
    await disconnect(admin)
  }
}

/** Runs them as the quiet pass does, with questions between the tool's messages. */
export async function recordQuiet(
  { project, address, superuser }: Prepared,
  setup: ToolSetup,
  by: By,
): Promise<Dissected> {
  const admin = connect(superuser)
  const files = await migrationFiles(setup.files, pendingIn(project, setup))
  const tool = toolInput(project, setup, by)
  const input: PassInput = {
    copiedBy: 'copy',
    admin: superuser,
    migrate: address,
    app: address,
    migrations: files,
    transaction: 'all',
    tool,
    rollback: null,
    checks: [],
    operations: [],
    rows: 1,
    seed: 1,
    maxDurationMs: 120_000,
    emit: () => undefined,
    signal: new AbortController().signal,
  }
  try {
    const initial = await readRelations(admin)
    return await dissectTool({ input, tool, admin, files, initial, onCommit: () => Promise.resolve() })
  } finally {
    await disconnect(admin)
  }
}

const SCHEMA = `
  SELECT format('%s %s', kind, string_agg(line, E'\\n' ORDER BY line)) FROM (
    SELECT 'schema' AS kind, nspname::text AS line FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)_'
    UNION ALL
    SELECT 'column', format('%s.%s %s %s not null %s default %s', a.attrelid::regclass, a.attnum, a.attname,
           format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
      FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid >= 16384
       AND a.attrelid::regclass::text !~ '^pg_toast'
    UNION ALL
    SELECT 'constraint', format('%s %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid), convalidated)
      FROM pg_constraint WHERE oid >= 16384
    UNION ALL
    SELECT 'index', format('%s valid %s ready %s', pg_get_indexdef(indexrelid), indisvalid, indisready)
      FROM pg_index WHERE indexrelid >= 16384 AND indrelid >= 16384 AND indrelid::regclass::text !~ '^pg_toast'
    UNION ALL
    SELECT 'function', oid::regprocedure::text FROM pg_proc WHERE oid >= 16384
    UNION ALL
    SELECT 'trigger', format('%s %s', tgrelid::regclass, pg_get_triggerdef(oid)) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL
    SELECT 'event trigger', evtname::text FROM pg_event_trigger
    UNION ALL
    SELECT 'label', format('%s %s', enumtypid::regtype, enumlabel) FROM pg_enum
    UNION ALL
    SELECT 'sequence', format('%s %s', sequencename, last_value) FROM pg_sequences
  ) AS lines GROUP BY kind ORDER BY kind`

const TABLES = `
  SELECT oid::regclass::text AS name FROM pg_class
   WHERE oid >= 16384 AND relkind IN ('r', 'p') AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)' ORDER BY 1`

/** Everything in a database that a migration can have changed, as text; of the tool's journal only how many rows it has. */
export async function contentsOf({ superuser }: Prepared, setup: ToolSetup): Promise<string[]> {
  const journal = (setup.ledger?.tables ?? []).flatMap(({ schema, name }) => [name, `${schema}.${name}`])
  const sql = connect(superuser)
  try {
    const contents = (await sql.unsafe(SCHEMA).values()).map(String)
    for (const { name } of await sql.unsafe<{ name: string }[]>(TABLES)) {
      const what = journal.includes(name) ? `count(*)` : `md5(string_agg(t::text, E'\\n' ORDER BY t::text))`
      const [row] = await sql.unsafe(`SELECT ${what} FROM ${name} AS t`).values()
      contents.push(`rows of ${name}: ${String(row?.[0])}`)
    }
    return contents
  } finally {
    await sql.end()
  }
}
