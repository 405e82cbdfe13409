/** The embedded provider: a cluster of our own from PostgreSQL's binaries, driven directly. */
import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RehearsalError } from '../errors.js'
import { locate, prepare } from './binaries.js'
import { cleanUp, cleanUpNow, startWatchdog } from './clean-up.js'
import { asDiskFull, checkConfiguration, checkpoint, collationFor, initialise, type Workplace } from './cluster.js'
import { copyDirectory, copyMethod, dropRecycledLog, syncDirectory } from './copy.js'
import type { Address, Branch, BranchOptions, BranchProvider, Copy, DatabaseRole } from './provider.js'
import { prepareDatabase } from './roles.js'
import { createOwned, createRunDirectory, sweep } from './run-directory.js'
import { freePort, serverFailure, startServer, type Server, type ServerFiles } from './server.js'
import { checkSettings, configurationFile, fillingSettings, measuringSettings, type Settings } from './settings.js'
import { findDatabaseUser } from './user.js'

/** Run directories in use by this process. */
const inUse = new Set<string>()
let exitHandled = false

/** Stops and removes everything at once, without waiting for the event loop. Runs by itself on `exit`. */
export function closeAllNow(): void {
  for (const directory of inUse) cleanUpNow(directory)
  inUse.clear()
}

/**
 * Opens a new cluster for filling, after sweeping what dead rehearsals left. Throws NO_BINARIES, NO_USER, NO_PORT,
 * DISK_FULL, UNSUPPORTED_PLATFORM, SERVER_FAILED, USAGE for settings and majors that cannot be, and the signal's
 * reason when it is aborted. Nothing is left behind in any of these cases.
 */
async function open(options: BranchOptions): Promise<Branch> {
  checkSettings(options.settings ?? {})
  const installation = await locate(options.major, options.pgBin)
  await sweep()
  // Looked at again when the server starts, but a port in use should not cost a second first.
  if (options.port !== undefined) await freePort(options.port)
  const user = await findDatabaseUser()
  const directory = await createRunDirectory(user)
  if (!exitHandled) process.on('exit', closeAllNow)
  exitHandled = true
  inUse.add(directory)
  const watchdog = startWatchdog(directory)
  const remove = async () => {
    await cleanUp(directory)
    inUse.delete(directory)
    await watchdog.dismiss()
  }
  try {
    const binaries = await prepare(installation, user, directory)
    await createOwned(join(directory, 's'), user)
    return await fillable({ directory, binaries, user, signal: options.signal }, options, remove)
  } catch (error) {
    await remove()
    throw asDiskFull(error, fillingLog(directory)) ?? error
  }
}

export const embedded: BranchProvider = { open }

const fillingLog = (directory: string): string => join(directory, 'filling.log')
const secret = (): string => randomBytes(24).toString('base64url')

async function fillable(place: Workplace, options: BranchOptions, remove: () => Promise<void>): Promise<Branch> {
  const { directory, binaries, user, signal } = place
  const { roles, settings: production = {}, database = 'rehearsal' } = options
  // Production's own owner may well be called postgres: then our superuser must be called something else.
  const admin = [roles.migrate, roles.app].includes('postgres') ? 'rehearse_admin' : 'postgres'
  const collation = collationFor(options.major)
  const names = { admin, ...roles }
  const passwords = { admin: secret(), migrate: secret(), app: secret() }
  if (roles.app === roles.migrate) passwords.app = passwords.migrate
  const addresses =
    (port: number) =>
    (role: DatabaseRole): Address => ({
      host: '127.0.0.1',
      port,
      database,
      user: names[role],
      password: passwords[role],
    })

  const data = await initialise(place, admin, passwords.admin, collation)
  const configure = async (name: string, settings: Settings): Promise<string> => {
    const file = join(directory, `${name}.conf`)
    await writeFile(file, configurationFile(settings), { mode: 0o644 })
    return file
  }
  await checkConfiguration(place, data, await configure('measuring', measuringSettings(production, {})))
  const start = (files: ServerFiles) => startServer(binaries, files, join(directory, 's'), user, options.port, signal)
  const files: ServerFiles = {
    dataDirectory: data,
    configuration: await configure('filling', fillingSettings(production)),
    log: fillingLog(directory),
  }
  const filler = await start(files)
  const fillingAddress = addresses(filler.port)
  const failure = (step: string, error: unknown) =>
    error instanceof RehearsalError
      ? error
      : (asDiskFull(error, files.log) ?? serverFailure(step, files, error instanceof Error ? error.message : ''))
  try {
    await prepareDatabase({ ...fillingAddress('admin'), database: 'postgres' }, database, roles, passwords)
  } catch (error) {
    throw failure('set-up', error)
  }

  let state: 'filling' | 'sealing' | 'sealed' | 'closed' = 'filling'
  let closing: Promise<void> | null = null
  const servers = new Set<Server>([filler])
  const expect = (wanted: typeof state) => {
    if (state !== wanted) throw new Error(`the branch is ${state}, not ${wanted}`)
  }
  // A seed may be in the middle of a statement that takes minutes: it fails at once when its server goes.
  const interrupted = () => {
    if (state === 'filling') void filler.stop('immediate')
  }
  signal?.addEventListener('abort', interrupted, { once: true })
  return {
    provider: 'embedded',
    directory,
    major: options.major,
    encoding: 'UTF8',
    collation: collation.name,
    serverLog: files.log,
    address(role) {
      expect('filling')
      return fillingAddress(role)
    },
    async seal() {
      expect('filling')
      state = 'sealing'
      try {
        const segment = await checkpoint(fillingAddress('admin'))
        await filler.stop('fast')
        servers.delete(filler)
        await dropRecycledLog(data, segment)
        await syncDirectory(binaries, data, user, signal)
      } catch (error) {
        signal?.throwIfAborted()
        throw failure('checkpoint', error)
      }
      if (closing === null) state = 'sealed'
    },
    async fork(name, settings = {}): Promise<Copy> {
      expect('sealed')
      checkSettings(settings)
      const unique = `${name.replaceAll(/[^A-Za-z0-9_-]/g, '-').slice(0, 40)}-${randomBytes(3).toString('hex')}`
      const copied: ServerFiles = {
        dataDirectory: await createOwned(join(directory, unique), user),
        configuration: await configure(unique, measuringSettings(production, settings)),
        log: join(directory, `${unique}.log`),
      }
      const removeCopy = () => rm(copied.dataDirectory, { recursive: true, force: true })
      try {
        const method = await copyMethod(join(data, 'PG_VERSION'))
        await copyDirectory(data, copied.dataDirectory, method, user, signal)
        await syncDirectory(binaries, copied.dataDirectory, user, signal)
        const server = await start(copied)
        servers.add(server)
        return {
          copiedBy: method,
          address: addresses(server.port),
          serverLog: copied.log,
          dataDirectory: copied.dataDirectory,
          async stop() {
            await server.stop('immediate')
            servers.delete(server)
            await removeCopy()
          },
        }
      } catch (error) {
        await removeCopy()
        throw asDiskFull(error, copied.log) ?? error
      }
    },
    close() {
      state = 'closed'
      signal?.removeEventListener('abort', interrupted)
      closing ??= Promise.all([...servers].map((server) => server.stop('immediate'))).then(remove)
      return closing
    },
  }
}
