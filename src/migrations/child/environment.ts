/**
 * The environment of the user's migration tool: what programs need to be found and to run, and the address of the
 * rehearsal database under every name that a tool might look for one. Nothing else of the user's shell.
 */
import { RehearsalError } from '../../errors.js'
import type { Address } from '../../pg/connect.js'
import type { AddressVariable } from '../tools/types.js'
import { databaseUrl, looksLikeDatabaseUrl } from './database-url.js'
import type { Guard } from './guard.js'

/**
 * Passed on when set. NODE_ENV is in it because frameworks choose a configuration by it; proxies for HTTP and the
 * settings of package registries are not, for nothing outside is to be reached.
 */
const NAMES = new Set(
  `PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM COLORTERM NO_COLOR TMPDIR CI NODE_ENV LD_LIBRARY_PATH
  XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME XDG_RUNTIME_DIR XDG_STATE_HOME
  NVM_DIR NVM_BIN FNM_DIR FNM_MULTISHELL_PATH N_PREFIX NODENV_ROOT VOLTA_HOME PROTO_HOME
  PNPM_HOME COREPACK_HOME YARN_CACHE_FOLDER YARN_GLOBAL_FOLDER BUN_INSTALL DENO_DIR DENO_INSTALL
  JAVA_HOME GOPATH GOROOT GOBIN GOCACHE GOMODCACHE CARGO_HOME RUSTUP_HOME
  RBENV_ROOT GEM_HOME GEM_PATH BUNDLE_PATH PYENV_ROOT VIRTUAL_ENV PYTHONPATH PERL5LIB
  NIX_PATH NIX_PROFILES NIX_SSL_CERT_FILE`.split(/\s+/),
)
const PATTERNS = [/^LC_[A-Z]+$/, /^(?:ASDF|MISE)_\w+$/, /^PRISMA_\w*ENGINE\w*$/]

/** Everything that libpq and its imitators read (PGHOST, PGSERVICE, PGOPTIONS...). */
const LIBPQ = /^PG[A-Z]+$/

export interface ChildEnvironmentOptions {
  /** The user's environment. */
  shell: Readonly<Record<string, string | undefined>>
  /** The proxy in front of the rehearsal database. */
  address: Address
  /** Where this tool reads its address from. */
  variables: readonly AddressVariable[]
  /** Added to every URL, e.g. `sslmode=disable`. */
  urlParameters: Readonly<Record<string, string>>
  /** Names that the user wants passed on from the shell. */
  pass: readonly string[]
  /** Variables that the user sets for the tool. */
  set: Readonly<Record<string, string>>
  /** Folders of programs to look into before those of the user: node_modules/.bin of the project. */
  binFolders?: readonly string[]
  guard: Guard
}

export interface ChildEnvironment {
  env: Record<string, string>
  /** Names in the shell that hold a database's address or part of one, and were therefore not passed on; sorted. */
  refused: string[]
}

/**
 * Builds the environment. Throws USAGE, naming the variable and never its value, when the user asks for one to be
 * passed or set that holds a database's address or that carries the address of the rehearsal database.
 */
export function childEnvironment(options: ChildEnvironmentOptions): ChildEnvironment {
  const { shell, pass, set } = options
  const env: Record<string, string> = {}
  const refused: string[] = []
  for (const [name, value] of Object.entries(shell)) {
    if (value === undefined) continue
    if (LIBPQ.test(name) || looksLikeDatabaseUrl(value)) refused.push(name)
    else if (NAMES.has(name) || PATTERNS.some((pattern) => pattern.test(name))) env[name] = value
  }
  const ours = { ...addresses(options), ...QUIET }
  const asked = [
    ...pass.flatMap((name) => (shell[name] === undefined ? [] : [{ option: 'pass', name, value: shell[name] }])),
    ...Object.entries(set).map(([name, value]) => ({ option: 'set', name, value })),
  ]
  for (const { option, name, value } of asked) {
    checkAsked(option, name, value, Object.hasOwn(addresses(options), name))
    env[name] = value
  }
  Object.assign(env, ours)
  env['NODE_OPTIONS'] = [options.guard.nodeOption, env['NODE_OPTIONS']].filter(Boolean).join(' ')
  const path = env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin'
  env['PATH'] = [options.guard.bin, ...(options.binFolders ?? []), path].join(':')
  return { env, refused: refused.sort() }
}

function checkAsked(option: string, name: string, value: string, carriesAddress: boolean): void {
  const problem = !/^[A-Za-z_]\w*$/.test(name)
    ? 'is not a name of an environment variable'
    : looksLikeDatabaseUrl(value)
      ? 'holds the address of a database; the tool gets that of the rehearsal database only'
      : LIBPQ.test(name) || carriesAddress
        ? 'is always set to the rehearsal database'
        : value.includes('\0')
          ? 'holds a NUL character'
          : null
  if (problem !== null) throw new RehearsalError('USAGE', { message: `environment (${option}): ${name} ${problem}` })
}

/** No question, no news from outside, and no check that would install packages anew because the folder is a copy. */
const QUIET = {
  npm_config_update_notifier: 'false',
  pnpm_config_verify_deps_before_run: 'false',
  CHECKPOINT_DISABLE: '1',
  DO_NOT_TRACK: '1',
} as const

/** The rehearsal database under every name; what would lead elsewhere is pointed at nothing. */
function addresses({ address, variables, urlParameters }: ChildEnvironmentOptions): Record<string, string> {
  const url = databaseUrl(address, urlParameters)
  const plain = databaseUrl(address, { ...urlParameters, sslmode: 'disable' })
  const { host, user, password, database } = address
  const port = String(address.port)
  const jdbc = `jdbc:postgresql://${host.includes(':') ? `[${host}]` : host}:${port}/${encodeURIComponent(database)}?sslmode=disable`
  const parts = { url, host, port, user, password, database } satisfies Record<AddressVariable['part'], string>
  return {
    PGHOST: host,
    PGPORT: port,
    PGUSER: user,
    PGPASSWORD: password,
    PGDATABASE: database,
    PGSSLMODE: 'disable',
    PGPASSFILE: '/dev/null',
    PSQLRC: '/dev/null',
    GOOSE_DRIVER: 'postgres',
    GOOSE_DBSTRING: plain,
    FLYWAY_URL: jdbc,
    FLYWAY_USER: user,
    FLYWAY_PASSWORD: password,
    LIQUIBASE_COMMAND_URL: jdbc,
    LIQUIBASE_COMMAND_USERNAME: user,
    LIQUIBASE_COMMAND_PASSWORD: password,
    SQITCH_TARGET: `db:${plain.replace('postgresql:', 'pg:')}`,
    // The tool's own last: DATABASE_URL may be meant as something else by it.
    DATABASE_URL: url,
    ...Object.fromEntries(
      variables.map(({ name, part }) => {
        // One variable that is several parts is the URL that they are taken from.
        const several = variables.some((other) => other.name === name && other.part !== part)
        return [name, several ? url : parts[part]]
      }),
    ),
  }
}
