/** The database and its two roles without superuser, and what the application may do. */
import postgres from 'postgres'
import type { Address, RoleNames } from './provider.js'

/** For the report: what `prepareDatabase` and `grantApp` take for granted about production. */
export const GRANTS_ASSUMPTION =
  'The application may read and write every table, use every sequence and call every function, ' +
  'also those that the migration creates (default privileges); the migration owns the database.'

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** A connection for setting up: one at a time, silent, nothing prepared. */
export const connectAs = (address: Address): postgres.Sql =>
  postgres({
    host: address.host,
    port: address.port,
    database: address.database,
    username: address.user,
    password: address.password,
    max: 1,
    prepare: false,
    onnotice: () => undefined,
    connection: { application_name: 'rehearse setup' },
  })

/** Without a limit, the library waits for ever when the server went down during a query. */
export const endConnection = (sql: postgres.Sql): Promise<void> => sql.end({ timeout: 1 })

/**
 * Creates the roles and the database, owned by the role of the migration. `admin` is a superuser's address of the
 * database `postgres`. The application may connect and use `public`; `grantApp` gives it the rest.
 */
export async function prepareDatabase(
  admin: Address,
  database: string,
  roles: RoleNames,
  passwords: { readonly migrate: string; readonly app: string },
): Promise<void> {
  const sql = connectAs(admin)
  try {
    await sql.unsafe(createRole(roles.migrate, passwords.migrate))
    if (roles.app !== roles.migrate) await sql.unsafe(createRole(roles.app, passwords.app))
    if (database === 'postgres') await sql.unsafe(`ALTER DATABASE postgres OWNER TO ${quoted(roles.migrate)}`)
    // FILE_COPY needs two checkpoints, which cost nothing without fsync, and writes no log of every block.
    else
      await sql.unsafe(
        `CREATE DATABASE ${quoted(database)} OWNER ${quoted(roles.migrate)} TEMPLATE template0 STRATEGY file_copy`,
      )
  } finally {
    await endConnection(sql)
  }
  const inside = connectAs({ ...admin, database })
  try {
    await inside.unsafe(`GRANT CONNECT ON DATABASE ${quoted(database)} TO ${quoted(roles.app)}`)
    await inside.unsafe(`GRANT USAGE ON SCHEMA public TO ${quoted(roles.app)}`)
    if (roles.app !== roles.migrate) await inside.unsafe(defaultPrivileges(roles))
  } finally {
    await endConnection(inside)
  }
}

const createRole = (name: string, password: string): string =>
  `CREATE ROLE ${quoted(name)} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
   PASSWORD ${literal(password)}`

function defaultPrivileges(roles: RoleNames): string {
  const give = `ALTER DEFAULT PRIVILEGES FOR ROLE ${quoted(roles.migrate)} GRANT`
  const to = `TO ${quoted(roles.app)}`
  return [
    `${give} SELECT, INSERT, UPDATE, DELETE ON TABLES ${to}`,
    `${give} USAGE, SELECT, UPDATE ON SEQUENCES ${to}`,
    `${give} EXECUTE ON ROUTINES ${to}`,
    `${give} USAGE ON SCHEMAS ${to}`,
  ].join(';\n')
}

/**
 * Gives the application its rights on everything that exists now outside the system schemas: read and write tables,
 * use sequences and schemas, call routines. Needs a superuser's connection to the database.
 */
export async function grantApp(sql: postgres.Sql, app: string): Promise<void> {
  const schemas = await sql<{ name: string }[]>`
    SELECT nspname AS name FROM pg_namespace
    WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%' ORDER BY nspname`
  const to = `TO ${quoted(app)}`
  for (const { name } of schemas) {
    const schema = quoted(name)
    await sql.unsafe(
      [
        `GRANT USAGE ON SCHEMA ${schema} ${to}`,
        `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} ${to}`,
        `GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA ${schema} ${to}`,
        `GRANT EXECUTE ON ALL ROUTINES IN SCHEMA ${schema} ${to}`,
      ].join(';\n'),
    )
  }
}
