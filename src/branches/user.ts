/** PostgreSQL refuses to run as root: find somebody else to run it. */
import { RehearsalError } from '../errors.js'
import { run, type DatabaseUser } from './child.js'

/** Ourselves, whoever that is. */
export const OURSELVES: DatabaseUser = { name: 'current user', ids: null }

/**
 * The user to run PostgreSQL as: ourselves unless we are root, then whoever called sudo, then `postgres`, then
 * `nobody`. No user is ever created. Throws NO_USER when none can be used.
 */
export async function findDatabaseUser(
  uid: number = process.getuid?.() ?? -1,
  env: NodeJS.ProcessEnv = process.env,
): Promise<DatabaseUser> {
  if (uid !== 0) return OURSELVES
  const tried: string[] = []
  for (const candidate of [await sudoUser(env), await namedUser('postgres'), await namedUser('nobody')]) {
    if (candidate.ids !== null && (await canBecome(candidate))) return candidate
    tried.push(candidate.name)
  }
  throw new RehearsalError('NO_USER', { tried: tried.join(', ') })
}

function sudoUser(env: NodeJS.ProcessEnv): Promise<DatabaseUser> {
  const [uid, gid] = [Number(env['SUDO_UID'] ?? 0), Number(env['SUDO_GID'] ?? 0)]
  // gid 0 would let the server read what belongs to root's group, so it counts as "not root" only with both.
  const usable = Number.isInteger(uid) && Number.isInteger(gid) && uid > 0 && gid > 0
  return Promise.resolve({ name: 'the user of sudo', ids: usable ? { uid, gid } : null })
}

/** Asks `id`, not /etc/passwd: macOS keeps its users elsewhere. */
async function namedUser(name: string): Promise<DatabaseUser> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', name], OURSELVES), run('id', ['-g', name], OURSELVES)])
    if (uid.code !== 0 || gid.code !== 0) return { name, ids: null }
    const ids = { uid: Number(uid.output.trim()), gid: Number(gid.output.trim()) }
    return { name, ids: ids.uid > 0 ? ids : null }
  } catch {
    return { name, ids: null }
  }
}

/** A container may run as a root that must not change its user (no CAP_SETUID, unmapped ids). */
async function canBecome(user: DatabaseUser): Promise<boolean> {
  try {
    return (await run('/bin/sh', ['-c', ':'], user)).code === 0
  } catch {
    return false
  }
}

/** Whether the user can execute a file, or pass through a folder, with every folder above it. */
export async function canExecute(user: DatabaseUser, path: string): Promise<boolean> {
  return (await run('/bin/sh', ['-c', 'test -x "$1"', 'sh', path], user)).code === 0
}
