/** Which files of a repository belong into the copy that the migration tool runs in. */
import type { Stats } from 'node:fs'
import { lstat, readdir, realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { execFile } from 'node:child_process'
import { RehearsalError } from '../../errors.js'
import { isEnvironmentFile } from './dotenv-names.js'

/** A file or a symlink, relative to the top. */
export interface TreeFile {
  path: string
  stats: Stats
}

export interface TreeFiles {
  /** Absolute real path of the repository, or of the project when it is in none. */
  top: string
  files: TreeFile[]
  /** node_modules folders, relative to the top. */
  modules: string[]
  /** Left out because of what they hold, relative to the top. */
  environmentFiles: string[]
}

/** More is not a project but a disk. */
export const LIMITS = { files: 200_000, bytes: 4 * 1024 ** 3, ignoredFileBytes: 50 * 1024 ** 2 } as const

/** Built or cached: left out where git ignores them, for a project may well track a folder of such a name. */
const BUILT = new Set(['.next', 'dist', 'build', 'out', '.turbo', '.cache', 'coverage', 'target', '.venv', 'tmp'])
/** Left out where nobody can say what is ignored. */
const CACHES = new Set(['.next', '.turbo', '.cache', '.venv'])

/**
 * Lists what to copy. `without` is a folder that is not looked into (the copy itself). Throws USAGE when the tree is
 * too large and FILE_UNREADABLE for a tracked file that cannot be looked at.
 */
export async function treeFiles(project: string, without: string): Promise<TreeFiles> {
  const folder = await realpath(project)
  const top = await repositoryOf(folder)
  const found: TreeFiles = { top: top ?? folder, files: [], modules: [], environmentFiles: [] }
  const collector = new Collector(found, without)
  if (top === null || !(await collector.addRepository(''))) await collector.addFolder('', CACHES, Infinity)
  return found
}

/** The git work tree that a folder belongs to, as a real path; null when it is in none, or ignored there. */
async function repositoryOf(folder: string): Promise<string | null> {
  const top = (await git(folder, ['rev-parse', '--show-toplevel']))?.trim()
  if (top === undefined || top === '') return null
  const real = await realpath(top)
  if (folder === real) return real
  return (await git(folder, ['check-ignore', '-q', '--', folder])) === null ? real : null
}

/**
 * Output of git, or null when it fails. A work tree of somebody else's is read all the same; nothing in it is executed
 * (a file system monitor would be).
 */
function git(cwd: string, args: readonly string[]): Promise<string | null> {
  const options = ['-c', 'safe.directory=*', '-c', 'core.fsmonitor=false', '-c', 'core.quotePath=false']
  const { PATH, HOME, XDG_CONFIG_HOME } = process.env
  const env = { PATH, HOME, XDG_CONFIG_HOME, LC_ALL: 'C', GIT_OPTIONAL_LOCKS: '0' }
  return new Promise((resolve) => {
    execFile('git', [...options, ...args], { cwd, env, maxBuffer: 256 * 1024 ** 2 }, (error, stdout) => {
      resolve(error === null ? stdout : null)
    })
  })
}

class Collector {
  readonly #found: TreeFiles
  readonly #without: string
  readonly #modules = new Set<string>()
  #bytes = 0
  constructor(found: TreeFiles, without: string) {
    this.#found = found
    this.#without = without
  }

  /** A work tree at `prefix` (empty, or ending in `/`). False when git cannot list it. */
  async addRepository(prefix: string): Promise<boolean> {
    const cwd = join(this.#found.top, prefix)
    const ignoring = ['ls-files', '-z', '--exclude-standard']
    const [listed, ignored] = await Promise.all([
      git(cwd, [...ignoring, '-co']),
      git(cwd, [...ignoring, '-oi', '--directory']),
    ])
    if (listed === null || ignored === null) return false
    // A file with a conflict is listed once a stage.
    for (const path of new Set(entries(listed))) await this.#add(prefix + path, null)
    for (const path of entries(ignored)) if (!isBuilt(path)) await this.#add(prefix + path, BUILT)
    return true
  }

  /** Everything below a folder. */
  async addFolder(prefix: string, skip: ReadonlySet<string>, mostBytes: number): Promise<void> {
    const names = await readdir(join(this.#found.top, prefix), { withFileTypes: true }).catch((error: unknown) => {
      if (prefix === '')
        throw new RehearsalError('FILE_UNREADABLE', { file: this.#found.top, message: code(error) }, error)
      return []
    })
    for (const entry of names) {
      const path = prefix + entry.name
      if (entry.isDirectory() && (skip.has(entry.name) || entry.name === '.git')) continue
      await this.#add(entry.isDirectory() ? `${path}/` : path, skip, mostBytes)
    }
  }

  /** `skip` is null for what git knows, otherwise the names of folders below it that are left out. */
  async #add(listed: string, skip: ReadonlySet<string> | null, most: number = LIMITS.ignoredFileBytes): Promise<void> {
    const path = listed.replace(/\/$/, '')
    const segments = path.split('/')
    const modules = segments.indexOf('node_modules')
    if (modules !== -1) return this.#addModules(segments.slice(0, modules + 1).join('/'))
    const absolute = join(this.#found.top, path)
    if (segments.includes('.git') || absolute === this.#without || absolute.startsWith(this.#without + sep)) return
    const sensitive = segments.findIndex(isEnvironmentFile)
    // The CLI of Supabase remembers there which project of the cloud the folder is linked to.
    if (/(?:^|\/)supabase\/\.temp(?:\/|$)/.test(path)) return
    const stats = await lstat(absolute).catch((error: unknown) => {
      // In the index, but deleted; or what is ignored and closed to us.
      if (skip !== null || code(error) === 'ENOENT' || code(error) === 'ENOTDIR') return null
      throw new RehearsalError('FILE_UNREADABLE', { file: path, message: code(error) }, error)
    })
    if (stats === null) return
    if (sensitive !== -1) {
      if (!stats.isDirectory()) this.#found.environmentFiles.push(path)
    } else if (stats.isDirectory()) {
      // To git, another repository in this one (a submodule, a worktree) is one entry.
      if (skip === null && (await this.addRepository(`${path}/`))) return
      await this.addFolder(`${path}/`, skip ?? CACHES, most)
    } else if (stats.isSymbolicLink() || stats.isFile()) {
      if (skip !== null && stats.size > most) return
      this.#found.files.push({ path, stats })
      this.#count(stats.size)
    }
  }

  async #addModules(path: string): Promise<void> {
    if (this.#modules.has(path)) return
    this.#modules.add(path)
    const exists = await lstat(join(this.#found.top, path)).catch(() => null)
    if (exists !== null) this.#found.modules.push(path)
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    const { files, top } = this.#found
    const what =
      files.length > LIMITS.files
        ? `${LIMITS.files.toLocaleString('en')} files`
        : this.#bytes > LIMITS.bytes
          ? `${LIMITS.bytes / 1024 ** 3} GB`
          : null
    if (what === null) return
    const message = `${top}: more than ${what} to copy; the migration tool runs in a copy of the repository, so that nothing of yours is changed. Let git ignore what does not belong to it.`
    throw new RehearsalError('USAGE', { message })
  }
}

const entries = (text: string): string[] => text.split('\0').filter((entry) => entry !== '')

/** Whether an ignored entry is, or lies in, a folder of built or cached things. */
const isBuilt = (path: string): boolean => {
  const folders = path.endsWith('/') ? path.slice(0, -1).split('/') : path.split('/').slice(0, -1)
  return folders.some((folder) => BUILT.has(folder))
}

const code = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown reason'
