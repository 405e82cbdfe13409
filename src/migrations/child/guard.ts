/** Keeps the Node processes of the migration tool from connecting to anything but the rehearsal database. */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { RehearsalError } from '../../errors.js'
import { guardSource, shimSource } from './guard-source.js'

/** A guard on the disk, as `childEnvironment` needs it. */
export interface Guard {
  /** What loads it into a Node process, for NODE_OPTIONS. */
  readonly nodeOption: string
  /** Folder with a `node` that loads it and then runs the real one: to be the first in PATH. */
  readonly bin: string
  /** Where refusals are noted. */
  readonly log: string
}

/** A connection that was refused. `port` is null for a Unix socket, whose path is then in `host`. */
export interface RefusedConnection {
  readonly host: string
  readonly port: number | null
}

export interface GuardOptions {
  /** Where the rehearsal database answers; null permits nothing. */
  proxy: { host: string; port: number } | null
  /** `host` or `host:port` (IPv6 in brackets) of what the user lets the tool reach besides. */
  allow?: readonly string[]
}

/** Writes a guard into a folder, which is made when missing. Throws USAGE for an `allow` that cannot be read. */
export async function writeGuard(directory: string, options: GuardOptions): Promise<Guard> {
  const allow = (options.allow ?? []).map(parseAllowed)
  const [file, bin, log] = [join(directory, 'guard.cjs'), join(directory, 'bin'), join(directory, 'refused.jsonl')]
  await mkdir(bin, { recursive: true })
  await writeFile(file, guardSource({ proxy: options.proxy, allow, log }))
  await writeFile(log, '', { flag: 'a' })
  // node's own rules: in double quotes, a backslash takes the next character as it is.
  const nodeOption = `--require "${file.replace(/[\\"]/g, String.raw`\$&`)}"`
  await writeFile(join(bin, 'node'), shimSource(bin, nodeOption))
  await chmod(join(bin, 'node'), 0o755)
  return { nodeOption, bin, log }
}

/** `host`, `host:port`, `[ipv6]`, `[ipv6]:port`. */
function parseAllowed(entry: string): { host: string; port: number | null } {
  const [, bracketed, name, port] = /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::(\d+))?$/i.exec(entry.trim()) ?? []
  const host = bracketed ?? name
  if (host === undefined || (port !== undefined && Number(port) > 65535))
    throw new RehearsalError('USAGE', { message: `allow: "${entry}" is neither host nor host:port` })
  return { host, port: port === undefined ? null : Number(port) }
}

const Line = z.object({ host: z.string(), port: z.number().nullable() })

/** What the guard has refused until now, each target once, in the order of the first attempt. */
export async function refusedConnections(guard: Guard): Promise<RefusedConnection[]> {
  const text = await readFile(guard.log, 'utf8').catch(() => '')
  const found = new Map<string, RefusedConnection>()
  // The last line may be half written while the tool still runs.
  for (const line of text.split('\n').slice(0, -1))
    try {
      const refusal = Line.parse(JSON.parse(line))
      found.set(`${refusal.host} ${refusal.port ?? ''}`, refusal)
    } catch {
      // Not a line of the guard's.
    }
  return [...found.values()]
}
