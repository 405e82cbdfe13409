/** drizzle.config.*: where it is, what it says of migrations, and where it gets the database's address from. */
import { basename, join, resolve } from 'node:path'
import type { EvaluatedConfig } from '../child/config-probe.js'
import { asObject, exists, unreadable } from './files.js'
import type { AddressVariable, ToolRequest } from './types.js'

/** How a configuration file is evaluated; as in child/config-probe.ts. */
export type EvaluateConfig = (file: string, cwd: string) => Promise<EvaluatedConfig>

export interface DrizzleConfig {
  /** Absolute; null when the project has none and the user's own command does without. */
  file: string | null
  /** As shown to people: the file, or the project when there is none. */
  shown: string
  /** Absolute folder of the migrations. */
  out: string
  table: { schema: string; name: string }
  variables: AddressVariable[]
  /** `driver` of the configuration, which stands for a way to the database that is not PostgreSQL's protocol. */
  driver: string | null
  /** Whether it asks for TLS: `given`, or `usual` with host and database and no `ssl`; null when it does not. */
  ssl: 'given' | 'usual' | null
  assumptions: string[]
}

/** The three that drizzle-kit looks for itself come first, in its order. */
const ENDINGS = ['ts', 'js', 'json', 'mjs', 'cjs', 'mts', 'cts']
const PARTS = ['host', 'port', 'user', 'password', 'database'] as const
/** What pg and postgres.js read when the configuration says nothing. */
const USUAL = { port: 'PGPORT', user: 'PGUSER', password: 'PGPASSWORD' } as const
const NOT_LITERAL = 'a rehearsal never starts with a literal address'

/** null when the project has no Drizzle configuration for PostgreSQL. Throws SCENARIO_INVALID. */
export async function readDrizzleConfig(request: ToolRequest, evaluate: EvaluateConfig): Promise<DrizzleConfig | null> {
  const asked = request.tool === 'drizzle'
  const file = await findConfig(request, asked)
  if (file === null) {
    if (!asked) return null
    if (request.command === undefined || request.folder === undefined)
      throw unreadable(
        request.shown(request.project),
        'no drizzle.config.ts here; name it in migrations.config, or set migrations.command and migrations.folder',
      )
    return {
      ...{ file, shown: request.shown(request.project), out: resolve(request.project, request.folder) },
      ...{ table: tableOf(null), variables: [URL_VARIABLE], driver: null, ssl: null },
      assumptions: ['The command reads DATABASE_URL.', `Its journal is ${tableOf(null).schema}.${tableOf(null).name}.`],
    }
  }
  const shown = request.shown(file)
  const config = await evaluate(file, request.project)
  const value = asObject(config.value)
  if (value === null) throw unreadable(shown, 'exports no configuration')
  const { dialect, driver, out } = value
  if (dialect !== 'postgresql') {
    const other = typeof dialect === 'string' || (typeof driver === 'string' && driver !== 'pg')
    if (other && !asked) return null
    throw unreadable(shown, `has no dialect: 'postgresql'; only PostgreSQL can be rehearsed`)
  }
  const folder = request.folder ?? (typeof out === 'string' ? out : 'drizzle')
  return {
    ...{ file, shown, out: resolve(request.project, folder), table: tableOf(value['migrations']) },
    driver: typeof driver === 'string' ? driver : null,
    ...addressOf(config, value, shown, request.command !== undefined),
  }
}

const URL_VARIABLE: AddressVariable = { name: 'DATABASE_URL', part: 'url' }

async function findConfig(request: ToolRequest, asked: boolean): Promise<string | null> {
  const { config, project } = request
  // Without `tool`, it may be the file of another one.
  if (config !== undefined && (asked || basename(config).startsWith('drizzle'))) {
    const file = resolve(project, config)
    if (await exists(file)) return file
    throw unreadable(request.shown(file), 'does not exist')
  }
  for (const ending of ENDINGS) {
    const file = join(project, `drizzle.config.${ending}`)
    if (await exists(file)) return file
  }
  return null
}

function tableOf(migrations: unknown): { schema: string; name: string } {
  const { table, schema } = asObject(migrations) ?? {}
  return {
    schema: typeof schema === 'string' ? schema : 'drizzle',
    name: typeof table === 'string' ? table : '__drizzle_migrations',
  }
}

type Found = Pick<DrizzleConfig, 'variables' | 'ssl' | 'assumptions'>

/** drizzle-kit takes credentials from `dbCredentials` or from the top; host and database win over a URL. */
function addressOf(
  config: EvaluatedConfig,
  value: Readonly<Record<string, unknown>>,
  shown: string,
  ownCommand: boolean,
): Found {
  const inside = asObject(value['dbCredentials'])
  const credentials = inside ?? value
  const prefix = inside === null ? '' : 'dbCredentials.'
  const refuse = (field: string, line: number | null, name: string): never => {
    throw unreadable(shown, `${field} is written out, and ${NOT_LITERAL}: use process.env.${name}`, line)
  }
  for (const { path, line } of config.literals) refuse(path, line, 'DATABASE_URL')

  const byParts = typeof credentials['host'] === 'string' && credentials['database'] !== undefined
  const variables = byParts
    ? partsOf(config, credentials, prefix, refuse)
    : urlOf(config, `${prefix}url`, credentials['url'])
  const assumptions: string[] = []
  if (variables.length === 0) {
    if (typeof credentials['url'] === 'string') refuse(`${prefix}url`, null, 'DATABASE_URL')
    if (!ownCommand && !SOCKETLESS.has(String(value['driver'])))
      throw unreadable(
        shown,
        'has no dbCredentials, so drizzle-kit does not know its database: url: process.env.DATABASE_URL',
      )
    variables.push(URL_VARIABLE)
    assumptions.push('The command reads DATABASE_URL.')
  }
  return { variables, ssl: byParts ? sslOf(credentials['ssl']) : sslOfUrl(credentials['url']), assumptions }
}

const sslOf = (ssl: unknown): DrizzleConfig['ssl'] => (ssl === false ? null : ssl === undefined ? 'usual' : 'given')

/** What is added to the variable's URL, e.g. `?sslmode=require`. */
const sslOfUrl = (url: unknown): DrizzleConfig['ssl'] =>
  typeof url === 'string' && /[?&](?:sslmode=(?:prefer|require|verify-)|ssl=(?:true|1|require|verify))/.test(url)
    ? 'given'
    : null

/** Drivers without a PostgreSQL connection. */
export const SOCKETLESS: ReadonlySet<string> = new Set(['aws-data-api', 'pglite', 'dsql'])

/** Names whose value came out at the path; else those that look like a URL and came out nowhere: it was rewritten. */
function urlOf(config: EvaluatedConfig, path: string, value: unknown): AddressVariable[] {
  const exact = config.reads.filter((read) => read.path === path).map(({ name }) => name)
  if (exact.length === 1) return exact.map((name) => ({ name, part: 'url' }))
  // `postgres://${USER}:${PASSWORD}@...`: each is a part.
  if (exact.length > 1) return exact.map((name) => ({ name, part: partByName(name) ?? 'url' }))
  if (value === undefined) return []
  const loose = config.reads.filter((read) => read.path === null)
  return loose.flatMap(({ name }) => {
    const part = partByName(name)
    return part === null ? [] : [{ name, part }]
  })
}

function partsOf(
  config: EvaluatedConfig,
  credentials: Readonly<Record<string, unknown>>,
  prefix: string,
  refuse: (field: string, line: number | null, name: string) => never,
): AddressVariable[] {
  const loose = config.reads.filter(({ path }) => path === null).map(({ name }) => name)
  const variables: AddressVariable[] = []
  for (const part of PARTS) {
    const path = `${prefix}${part}`
    const exact = config.reads.filter((read) => read.path === path)
    // Number(process.env.PORT) comes out as a number that is nobody's.
    const names = exact.length > 0 ? exact.map(({ name }) => name) : loose.filter((name) => partByName(name) === part)
    const given = credentials[part] !== undefined
    if (names.length > 0) variables.push(...names.map((name) => ({ name, part })))
    else if (!given && part in USUAL) variables.push({ name: USUAL[part as keyof typeof USUAL], part })
    else if (given && (part === 'host' || part === 'port' || part === 'password'))
      refuse(path, null, `DB_${part.toUpperCase()}`)
  }
  return variables
}

/** Which part of an address an environment variable holds, by its name; null when it does not look like one. */
export function partByName(name: string): AddressVariable['part'] | null {
  const words = name.toUpperCase().split(/[^A-Z]+/)
  // DATABASE_URL_UNPOOLED is a URL; of the others the last word counts.
  if (words.some((word) => /(?:URL|URI|DSN)$/.test(word))) return 'url'
  const [, last = ''] = /^(?:PG|DB|POSTGRES|SQL)?(\w+)$/.exec(words.at(-1) ?? '') ?? []
  if (/^(?:PASSWORD|PASSWD|PASS|PWD)$/.test(last)) return 'password'
  if (/^HOST(?:NAME)?$/.test(last)) return 'host'
  if (last === 'PORT') return 'port'
  if (/^USER(?:NAME)?$/.test(last)) return 'user'
  if (/^(?:DATABASE|DB)(?:_?NAME)?$/.test(last) || /(?:DB|DATABASE)_?NAME$/.test(name.toUpperCase())) return 'database'
  return null
}
