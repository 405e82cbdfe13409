/** Copying and syncing data directories. */
import { constants, copyFile, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { RehearsalError } from '../errors.js'
import type { Binaries } from './binaries.js'
import { run, systemCode, type DatabaseUser } from './child.js'
import { saysDiskFull } from './server.js'

export type CopyMethod = 'reflink' | 'copy'

/** How files can be copied inside this folder; tries it with the given file. */
export async function copyMethod(file: string): Promise<CopyMethod> {
  const clone = `${file}.clone`
  try {
    await copyFile(file, clone, constants.COPYFILE_FICLONE_FORCE)
    return 'reflink'
  } catch (error) {
    if (systemCode(error) === 'ENOSPC') throw new RehearsalError('DISK_FULL', { path: dirname(file) }, error)
    return 'copy'
  } finally {
    await rm(clone, { force: true })
  }
}

/**
 * Copies a stopped server's directory into an empty one, as the database's user, who then owns the files. Throws
 * DISK_FULL or SERVER_FAILED.
 */
export async function copyDirectory(
  from: string,
  to: string,
  method: CopyMethod,
  user: DatabaseUser,
  signal?: AbortSignal,
): Promise<void> {
  const clone = process.platform === 'darwin' ? '-c' : '--reflink=always'
  // Not join(): it would drop the dot, which stands for the contents of the folder.
  const args = ['-a', ...(method === 'reflink' ? [clone] : []), `${from}/.`, to]
  const { code, output } = await run('cp', args, user, signal)
  if (code === 0) return
  if (saysDiskFull(output)) throw new RehearsalError('DISK_FULL', { path: dirname(to) })
  throw new RehearsalError('SERVER_FAILED', { step: 'copy', message: output.trim().split('\n')[0] ?? '' })
}

/** Writes every file of a data directory to the disk, so that nobody pays for it while something is measured. */
export async function syncDirectory(
  binaries: Binaries,
  directory: string,
  user: DatabaseUser,
  signal?: AbortSignal,
): Promise<void> {
  const { code, output } = await run(binaries.initdb, ['--sync-only', '-D', directory], user, signal)
  if (code === 0) return
  if (saysDiskFull(output)) throw new RehearsalError('DISK_FULL', { path: dirname(directory) })
  throw new RehearsalError('SERVER_FAILED', { step: 'sync', message: output.trim().split('\n').at(-1) ?? '' })
}

/** Recycled segments of the write-ahead log that a copy keeps, 16 MB each: some, as a server in use has them. */
const KEPT_SEGMENTS = 4

/**
 * Filling leaves gigabytes of write-ahead log segments that are only there to be used again. Removes all but a few of
 * those after `current`, the segment in use before the server stopped.
 */
export async function dropRecycledLog(dataDirectory: string, current: string): Promise<void> {
  const log = join(dataDirectory, 'pg_wal')
  const segments = (await readdir(log)).filter((name) => /^[0-9A-F]{24}$/.test(name) && name > current).sort()
  for (const name of segments.slice(KEPT_SEGMENTS)) await rm(join(log, name))
}
