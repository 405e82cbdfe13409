/** Packages as Node finds them from a folder, and the project's own package.json. */
import { realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { looksLikeDatabaseUrl } from '../child/database-url.js'
import { asObject, exists, readJson, unreadable } from './files.js'
import type { AddressVariable } from './types.js'

export interface InstalledPackage {
  name: string
  version: string
  /** Real path of its folder, where a program in it is resolved from. */
  folder: string
  /** Absolute paths of its programs by their names. */
  bins: Readonly<Record<string, string>>
}

/**
 * The package that code in `from` would load: the first `node_modules/<name>` upwards (hoisted or not), symbolic links
 * followed as Node does, so that pnpm's store is searched from within. null when it is not installed. Throws
 * SCENARIO_INVALID when its package.json cannot be read.
 */
export async function findPackage(name: string, from: string): Promise<InstalledPackage | null> {
  let folder = await realpath(from).catch(() => from)
  for (;;) {
    // Node does not look into node_modules/node_modules.
    if (basename(folder) !== 'node_modules') {
      const candidate = join(folder, 'node_modules', name)
      if (await exists(join(candidate, 'package.json'))) return installed(name, await realpath(candidate))
    }
    const parent = dirname(folder)
    if (parent === folder) return null
    folder = parent
  }
}

async function installed(name: string, folder: string): Promise<InstalledPackage> {
  const manifest = asObject((await readJson(join(folder, 'package.json'), `${name}/package.json`)).value) ?? {}
  const bin = manifest['bin']
  const entries = typeof bin === 'string' ? [[name.split('/').pop() ?? name, bin]] : Object.entries(asObject(bin) ?? {})
  const bins: Record<string, string> = {}
  for (const [key, path] of entries)
    if (typeof key === 'string' && typeof path === 'string') bins[key] = join(folder, path)
  const version = manifest['version']
  return { name, version: typeof version === 'string' ? version : 'unknown', folder, bins }
}

/** What of a project's package.json tells which tool it uses. */
export interface Manifest {
  path: string
  scripts: Readonly<Record<string, string>>
  /** Names of dependencies and devDependencies. */
  dependencies: ReadonlySet<string>
}

/** null when the folder has none. Throws SCENARIO_INVALID when it is not JSON. */
export async function readManifest(project: string, shown: (path: string) => string): Promise<Manifest | null> {
  const path = join(project, 'package.json')
  if (!(await exists(path))) return null
  const json = asObject((await readJson(path, shown(path))).value) ?? {}
  const scripts = Object.entries(asObject(json['scripts']) ?? {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  const dependencies = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((key) =>
    Object.keys(asObject(json[key]) ?? {}),
  )
  return { path, scripts: Object.fromEntries(scripts), dependencies: new Set(dependencies) }
}

/**
 * A rehearsal gives the address by environment variables; one in the command would win over them. Throws
 * SCENARIO_INVALID without repeating it. `where` is what holds the command, e.g. `migrations.command`.
 */
export function refuseLiteralAddress(command: string, variables: readonly AddressVariable[], where: string): void {
  const advice = 'remove it: a rehearsal gives the address of its own database in the environment'
  if (looksLikeDatabaseUrl(command)) throw unreadable(where, `a literal database address in the command; ${advice}`)
  for (const { name } of variables) {
    const at = command.search(new RegExp(`(?<![A-Za-z0-9_])${name.replaceAll('$', '\\$')}=`))
    if (at !== -1) throw unreadable(where, `the command sets ${name} itself; ${advice}`)
  }
}
