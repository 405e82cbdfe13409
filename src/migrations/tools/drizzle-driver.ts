/** Which driver drizzle-kit takes, by what is installed, and what keeps it from the rehearsal database. */
import { SOCKETLESS, type DrizzleConfig } from './drizzle-config.js'
import { findPackage } from './package.js'
import type { ToolNote } from './types.js'

/** In drizzle-kit's order (0.31 and 1.0). The last two speak to a WebSocket server, never to PostgreSQL itself. */
const DRIVERS = ['pg', 'postgres', '@vercel/postgres', '@neondatabase/serverless'] as const
const WEBSOCKET: ReadonlySet<string> = new Set(['@vercel/postgres', '@neondatabase/serverless'])

export interface DriverChoice {
  /** The package, or null when none is installed. */
  driver: string | null
  notes: ToolNote[]
}

/** `kit` is the real folder of drizzle-kit: it imports the drivers from there. */
export async function chooseDriver(
  kit: string,
  { driver: declared, ssl, shown }: Pick<DrizzleConfig, 'driver' | 'ssl' | 'shown'>,
): Promise<DriverChoice> {
  const blocked = (message: string, advice: string): ToolNote[] => [
    { kind: 'blocked', file: shown, line: null, message, advice },
  ]
  if (declared !== null && SOCKETLESS.has(declared)) {
    const message = `driver: '${declared}' does not connect to a PostgreSQL server, so drizzle-kit cannot be watched.`
    const advice = 'Leave driver away in a configuration for rehearsals and name that file in migrations.config.'
    return { driver: declared, notes: blocked(message, advice) }
  }
  for (const driver of DRIVERS) {
    if ((await findPackage(driver, kit)) === null) continue
    if (WEBSOCKET.has(driver)) {
      const message = `drizzle-kit finds neither pg nor postgres and takes ${driver}, which talks to a WebSocket server and would go round the rehearsal database.`
      const advice =
        'Install pg as a devDependency, which drizzle-kit prefers, or preload a file (NODE_OPTIONS=--import=...) that ' +
        'sets neonConfig.wsProxy to a WebSocket proxy in front of the rehearsal database.'
      return { driver, notes: blocked(message, advice) }
    }
    // With pg, drizzle-kit asks for TLS even when `ssl` is left away; with postgres it does not.
    if (ssl === null || (ssl === 'usual' && driver === 'postgres')) return { driver, notes: [] }
    const message =
      ssl === 'usual'
        ? 'with host and database instead of a URL, drizzle-kit asks for TLS unless ssl is false, and the rehearsal database on this machine has none.'
        : 'the configuration asks for TLS, which the rehearsal database on this machine does not have.'
    const advice = 'Take the URL as it is from the environment, or set ssl to false when the host is this machine.'
    return { driver, notes: blocked(message, advice) }
  }
  const advice = 'Install pg as a devDependency.'
  return {
    driver: null,
    notes: blocked('drizzle-kit finds no PostgreSQL driver and stops before it connects.', advice),
  }
}
