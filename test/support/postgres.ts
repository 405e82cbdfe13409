/** A real PostgreSQL for tests: the embedded provider itself, or nothing. */
import postgres from 'postgres'
import { branches, type Address, type Branch } from '../../src/branches/index.js'

export const ROLES = { migrate: 'owner', app: 'app' } as const

export interface TestServer {
  readonly admin: Address
  readonly migrate: Address
  readonly app: Address
  readonly serverLog: string
  readonly branch: Branch
  /** Stops the server and removes everything. */
  stop(): Promise<void>
}

export interface TestServerOptions {
  readonly major?: number
  /** Settings while measuring. */
  readonly settings?: Readonly<Record<string, string>>
  /** Runs before the branch is sealed, with a superuser's connection to the database. */
  readonly fill?: (admin: postgres.Sql, branch: Branch) => Promise<void>
}

/** Starts a server with measuring settings, two roles (`owner`, `app`) and the empty database `rehearsal`. */
export async function startServer(options: TestServerOptions = {}): Promise<TestServer> {
  const branch = await branches.embedded.open({
    major: options.major ?? 18,
    roles: ROLES,
    ...(options.settings === undefined ? {} : { settings: options.settings }),
  })
  try {
    if (options.fill !== undefined) {
      const sql = connect(branch.address('admin'))
      await options.fill(sql, branch)
      await sql.end()
    }
    await branch.seal()
    const copy = await branch.fork('test')
    return {
      admin: copy.address('admin'),
      migrate: copy.address('migrate'),
      app: copy.address('app'),
      serverLog: copy.serverLog,
      branch,
      stop: () => branch.close(),
    }
  } catch (error) {
    await branch.close()
    throw error
  }
}

/** Runs a test's body with a server that is gone afterwards. */
export async function withServer<T>(body: (server: TestServer) => Promise<T>, options?: TestServerOptions): Promise<T> {
  const server = await startServer(options)
  try {
    return await body(server)
  } finally {
    await server.stop()
  }
}

/** One silent connection by default. End it with `sql.end()`. */
export const connect = (address: Address, options: postgres.Options<Record<string, never>> = {}): postgres.Sql =>
  postgres({
    host: address.host,
    port: address.port,
    database: address.database,
    username: address.user,
    password: address.password,
    max: 1,
    onnotice: () => undefined,
    ...options,
  })
