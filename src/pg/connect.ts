/** How every connection of the harness itself is opened: one session each, no surprise reconnects, no type look-ups. */
import postgres from 'postgres'
import type net from 'node:net'

/** Where a database answers. The password is a secret: it is never printed, logged or stored. */
export interface Address {
  host: string
  port: number
  database: string
  user: string
  password: string
}

export type Sql = postgres.Sql<Record<string, never>>

export interface ConnectOptions {
  applicationName: string
  onNotice?: (notice: postgres.Notice) => void
  /** Supplies an already connected socket (see wire/tap.ts). */
  socket?: () => Promise<net.Socket>
  /** Startup settings of the session. */
  settings?: Record<string, string>
}

/** A session that can be asked something: one of ours, or the migration tool's own between two of its messages. */
export interface Asked {
  /** One statement. int2, int4, oid and floats come as numbers, booleans as such, everything else as text. */
  ask<Row extends object>(sql: string): Promise<Row[]>
}

export const asked = (sql: Sql): Asked => ({
  ask: async <Row extends object>(text: string) => [...(await sql.unsafe<Row[]>(text))],
})

/** One session (`max: 1`). The driver connects with the first query. */
export function connect(address: Address, options: ConnectOptions): Sql {
  const config: Record<string, unknown> = {
    host: address.host,
    port: address.port,
    database: address.database,
    user: address.user,
    password: address.password,
    max: 1,
    fetch_types: false,
    max_lifetime: null,
    idle_timeout: null,
    connect_timeout: 30,
    onnotice: options.onNotice ?? (() => undefined),
    connection: { ...options.settings, application_name: options.applicationName },
  }
  if (options.socket) config['socket'] = options.socket
  return postgres(config)
}

/** Ends a session without ever hanging on a backend that no longer answers. */
export async function disconnect(sql: Sql): Promise<void> {
  await sql.end({ timeout: 2 }).catch(() => undefined)
}

/**
 * Makes the driver send parameters that are text already as they are, while `when` says so: it would turn the text
 * `true` into `f` for a boolean and quote JSON a second time (postgres 3.4.9).
 */
export function sendTextAsItIs(sql: postgres.Sql, when: () => boolean): void {
  // The driver looks a serializer up whenever it needs one.
  const { serializers } = sql.options
  for (const [type, serialize] of Object.entries(serializers))
    serializers[Number(type)] = (value: unknown) => (when() ? String(value) : serialize(value))
}
