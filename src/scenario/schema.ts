/** What scenario.ts may say. The schema is the only source of the type that defineScenario checks in the editor. */
import { z } from 'zod'
import { METRICS } from '../judge/budgets.js'
import { DisturbanceKind, TransactionMode } from '../recording.js'
import { parseDuration } from './duration.js'

const path = z.string().min(1, 'expected a path relative to the folder')
const paths = z.union([path, z.array(path).min(1)], 'expected a path or a list of paths')
const whole = (low: number, high: number) => z.int().min(low).max(high)

/** Of each release: the server has 200 connections for both and for those who watch. */
const MOST_CONNECTIONS = 80
/** Beyond it, timers of Node would overflow before long. */
const MOST_MS = 24 * 60 * 60_000

/** Milliseconds, written as a duration. */
const duration = (mustLast: boolean) =>
  z.string('expected a duration such as "500ms", "30s" or "5m"').transform((text, context) => {
    const ms = parseDuration(text)
    if (ms !== null && ms > MOST_MS) {
      context.addIssue('must not be longer than a day')
      return z.NEVER
    }
    if (ms !== null && (ms > 0 || !mustLast)) return ms
    context.addIssue(
      ms === null ? `expected a duration such as "500ms", "30s" or "5m", not "${text}"` : 'must be longer than zero',
    )
    return z.NEVER
  })

/** PostgreSQL cuts names at 63 bytes and keeps pg_ for itself. */
const role = z
  .string()
  .min(1)
  .refine(
    (name) => Buffer.byteLength(name) <= 63 && !name.includes('\0'),
    'is not a name PostgreSQL can keep (63 bytes)',
  )
  .refine((name) => !/^pg_|^(?:public|none)$/.test(name), 'is reserved by PostgreSQL')

const settings = z.record(
  z.string().regex(/^[A-Za-z_][\w.]*$/, 'is not the name of a setting'),
  z.union([z.string(), z.number(), z.boolean()]).transform(String),
)

const limit = z.number().nonnegative()
const metric = z.string().refine((name) => Object.hasOwn(METRICS, name), {
  error: () => `unknown metric (known: ${Object.keys(METRICS).join(', ')})`,
})

/** Environment variables: names as programs have them. */
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not the name of an environment variable')

/** Which migrations are pending; everything before them builds the database. */
const pending = z.union(
  [
    z.array(z.string()).min(1),
    z.strictObject({ from: z.string() }),
    z.strictObject({ since: z.string().min(1) }),
    z.strictObject({ applied: z.array(z.string()) }),
  ],
  'expected names, { from }, { since: a git ref } or { applied: names }',
)

/** A program of the user's that is started against the rehearsal database; its queries are the traffic. */
const program = z.strictObject({
  /** Starts it, as a line for the shell. PORT is set to a free port. A test suite is started again when it ends. */
  command: z.string().min(1),
  /** What makes it work, e.g. `npx autocannon -d 600 http://127.0.0.1:$PORT/`; started when it is ready. */
  load: z.string().min(1).optional(),
  /** When it is ready: a URL that answers, or a port on 127.0.0.1; when it has connected unless given. `$PORT` is replaced. */
  ready: z.string().min(1).optional(),
  /** Ready within; 60s unless given. */
  readyWithin: duration(true).optional(),
  /** The git ref that it is started from; the working tree unless given. */
  ref: z.string().min(1).optional(),
  cwd: path.optional(),
  /** Variables that it reads its database address from, besides DATABASE_URL. */
  urlEnv: z.union([variable, z.array(variable).min(1)]).optional(),
  env: z.record(variable, z.string()).optional(),
  /** Variables of the shell to pass on. */
  passEnv: z.array(variable).optional(),
  /** `host` or `host:port` that it may reach besides the rehearsal database and its own port. */
  allowHosts: z.array(z.string().min(1)).optional(),
})
export type ProgramSettings = z.output<typeof program>

/** Tools whose own command is run; `sql` runs plain files itself. */
export const TOOLS = ['sql', 'drizzle', 'node-pg-migrate', 'prisma', 'supabase', 'command'] as const

export const ScenarioFile = z.strictObject({
  /** Names the report and its folder; the folder's name unless given. */
  name: z
    .string()
    .regex(/^[\p{L}\p{N}_][\p{L}\p{N}_ .-]{0,99}$/u, 'expected letters, digits, spaces and _ . -')
    .optional(),
  description: z.string().optional(),
  /** The schema before the migration. Several files run in this order. `schema.sql` unless given. */
  schema: paths.optional(),
  /** `seed.sql` or `seed.ts` unless given. */
  seed: paths.optional(),
  /** The folder of the migration files, or more about them. `migrations` unless given. */
  migrations: z
    .union(
      [
        path,
        z.strictObject({
          folder: path.optional(),
          /** Plain SQL files only; a tool decides this itself. */
          transaction: TransactionMode.optional(),
          /** All files unless given. Those before the first pending one are applied to build the schema. */
          pending: pending.optional(),
          /** The team's migration tool; detected unless given. */
          tool: z.enum(TOOLS, `expected one of ${TOOLS.join(', ')}`).optional(),
          /** How the tool is started, as a line for the shell; its usual command unless given. */
          command: z.string().min(1).optional(),
          /** The tool's own configuration file. */
          config: path.optional(),
          /** The folder that the tool is run in. This file's folder unless given. */
          project: path.optional(),
          /** The variables that the tool reads its database address from, besides DATABASE_URL. */
          urlEnv: z.union([variable, z.array(variable).min(1)]).optional(),
          /** Variables to set for the tool. */
          env: z.record(variable, z.string()).optional(),
          /** Variables of the shell to pass on to the tool. */
          passEnv: z.array(variable).optional(),
          /** `host` or `host:port` that the tool may reach besides the rehearsal database. */
          allowHosts: z.array(z.string().min(1)).optional(),
          /** Plain SQL files only: how often a file is tried again after 55P03 (lock_timeout), as a deploy script would. */
          retries: z
            .union(
              [whole(0, 100), z.strictObject({ tries: whole(0, 100), delay: duration(false).optional() })],
              'expected a number or { tries, delay }',
            )
            .optional(),
          /** A tool that has not connected after this long is stopped. */
          connectWithin: duration(true).optional(),
        }),
      ],
      'expected a folder or { folder, transaction, tool, command, ... }',
    )
    .optional(),
  /** Which migrations are pending; the same as migrations.pending. */
  pending: pending.optional(),
  /** What is known of production: its `appliedMigrations` say what is pending. */
  profile: path.optional(),
  rollback: path.optional(),
  checks: path.optional(),
  traffic: z
    .strictObject({
      /** A file of operations, or a program whose own queries are the traffic. */
      old: z.union([path, program], 'expected a file or { command, ... }').optional(),
      new: z.union([path, program], 'expected a file or { command, ... }').optional(),
      /** One file of operations for both releases: that of `oldRef` for the old one. */
      module: path.optional(),
      /** The git ref of the running release: the old release's file (and all it imports) is loaded from there. */
      oldRef: z.string().min(1).optional(),
      /** How dependencies are installed where those of `oldRef` differ, as a line for the shell. */
      install: z.string().min(1).optional(),
      /** Where operations come from; the first that there is of `files`, `production` (statements of the profile) and `schema` unless given. */
      source: z.enum(['files', 'production', 'schema'], 'expected files, production or schema').optional(),
      /** Of production's rates, with `source: 'production'`: 1 plays as much as production has. */
      factor: z.number().positive().max(1_000).optional(),
      /** Tables that derived traffic leaves alone. */
      exclude: z.array(z.string()).optional(),
      /** Operations a second that each release is offered at full traffic, or a ramp from the start of the pass. */
      rate: z
        .union(
          [
            z.number().positive().max(100_000),
            z.strictObject({
              from: z.number().positive().max(100_000),
              to: z.number().positive().max(100_000),
              over: duration(true),
            }),
          ],
          'expected operations a second, or { from, to, over }',
        )
        .optional(),
      /** Connections of each release: the application's pool. */
      connections: whole(1, MOST_CONNECTIONS).optional(),
      /** How long a request waits for a connection before it gives up; as long as it takes unless given. */
      queueTimeout: duration(true).optional(),
      /** `transaction`: a pooler gives each transaction another session. `session` unless given. */
      pooling: z.enum(['session', 'transaction'], 'expected session or transaction').optional(),
      /** What the application tries again: a number of tries for 40001 and 40P01, or more about it. */
      retries: z
        .union(
          [
            whole(0, 100),
            z.strictObject({
              tries: whole(0, 100),
              delay: duration(false).optional(),
              on: z.array(z.string().regex(/^[0-9A-Z]{5}$/, 'is no SQLSTATE')).optional(),
            }),
          ],
          'expected a number or { tries, delay, on }',
        )
        .optional(),
      /** Settings of the application's sessions: statement_timeout, lock_timeout, idle_in_transaction_session_timeout... */
      settings: settings.optional(),
    })
    .optional(),
  /** What else goes on while the migration runs, each in a short pass of its own. */
  disturbances: z
    .union([z.boolean(), z.array(DisturbanceKind).min(1)], 'expected true or a list of disturbances')
    .optional(),
  /** How long a disturbance lasts after the migration has begun; 10s unless given. */
  disturbFor: duration(true).optional(),
  production: z.strictObject({ rows: z.record(z.string(), whole(0, Number.MAX_SAFE_INTEGER)) }).optional(),
  postgres: z.union([z.literal(16), z.literal(17), z.literal(18)], 'expected 16, 17 or 18').optional(),
  /** Rows of the largest table: `:n`. */
  rows: whole(1, 1_000_000_000).optional(),
  /** Same number, same data, same traffic. */
  seedNumber: whole(0, Number.MAX_SAFE_INTEGER).optional(),
  roles: z.strictObject({ migrate: role.optional(), app: role.optional() }).optional(),
  phases: z
    .strictObject({
      warmup: duration(false).optional(),
      baseline: duration(true).optional(),
      rollout: duration(false).optional(),
      settle: duration(false).optional(),
    })
    .optional(),
  maxDuration: duration(true).optional(),
  /** Limits by metric; a number is the failing limit. Milliseconds, or a ratio. null takes a limit away. */
  budgets: z
    .record(
      metric,
      z.union([limit, z.strictObject({ warn: limit.nullable().optional(), fail: limit.nullable().optional() })]),
    )
    .optional(),
  /** Settings of production's server, e.g. `lock_timeout`. */
  settings: settings.optional(),
  /** Settings of production's roles. */
  roleSettings: z.strictObject({ migrate: settings.optional(), app: settings.optional() }).optional(),
})

/** What a scenario.ts exports by default. */
export type ScenarioDefinition = z.input<typeof ScenarioFile>
export type ScenarioSettings = z.output<typeof ScenarioFile>

/** Declares what is rehearsed in a project (rehearse.config.ts); gives types to the editor and returns its argument. */
export const defineConfig = (config: ScenarioDefinition): ScenarioDefinition => config

/** Declares a scenario; gives types to the editor and returns its argument. */
export const defineScenario = (scenario: ScenarioDefinition): ScenarioDefinition => scenario

type Issue = z.core.$ZodIssue

/** Where several forms are permitted and one of them is meant, by its own fields: what is wrong in that one. */
function inner(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union') return [issue]
  const meant = issue.errors.filter((form) =>
    form.some((one) => one.path.length > 0 || one.code === 'unrecognized_keys'),
  )
  const [only] = meant
  if (only === undefined || meant.length > 1) return [issue]
  return only.flatMap((one) => inner({ ...one, path: [...issue.path, ...one.path] }))
}

/** The issues of a checked object as `field: message`, one line. */
export const describeIssues = (error: z.ZodError): string =>
  error.issues
    .flatMap(inner)
    .map((issue) => {
      const field = issue.path.map(String).join('.')
      if (issue.code === 'unrecognized_keys')
        return issue.keys.map((key) => `${[...issue.path.map(String), key].join('.')}: unknown field`).join('; ')
      const message = issue.code === 'invalid_key' ? issue.issues[0]?.message : issue.message
      return `${field === '' ? 'default export' : field}: ${message ?? 'not accepted'}`
    })
    .join('; ')
