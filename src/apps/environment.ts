/** What a program of the user's finds in its environment: the proxy's address and a port, and nothing of production. */
import { looksLikeDatabaseUrl } from '../migrations/child/database-url.js'
import { childEnvironment } from '../migrations/child/environment.js'
import type { Guard } from '../migrations/child/guard.js'
import type { AddressVariable } from '../migrations/tools/types.js'
import type { Address } from '../pg/connect.js'

export interface ProgramEnvironment {
  shell: Readonly<Record<string, string | undefined>>
  /** The proxy. */
  address: Address
  /** Where the program reads its address from, besides DATABASE_URL and PG*. */
  variables: readonly AddressVariable[]
  env: Readonly<Record<string, string>>
  passEnv: readonly string[]
  binFolders: readonly string[]
  port: number
  guard: Guard
}

/** Of the program that uses the database. Throws USAGE, see `childEnvironment`. */
export const serveEnvironment = ({ env, passEnv, port, ...rest }: ProgramEnvironment): Record<string, string> =>
  childEnvironment({ ...rest, urlParameters: {}, pass: passEnv, set: { ...env, PORT: String(port) } }).env

/** Names under which migration tools look for a database. */
const TOOLS = /^(?:PG[A-Z]+|PSQLRC|(?:GOOSE|FLYWAY|LIQUIBASE|SQITCH)_\w+)$/

/** Of what makes it work: the same without any database. */
export function loadEnvironment(options: ProgramEnvironment): Record<string, string> {
  const names = new Set(options.variables.map(({ name }) => name))
  return Object.fromEntries(
    Object.entries(serveEnvironment(options)).filter(
      ([name, value]) => !names.has(name) && !TOOLS.test(name) && !looksLikeDatabaseUrl(value),
    ),
  )
}
