/**
 * The copy of the user's repository that the migration tool runs in: nothing of the original is changed, and no .env
 * file leads the tool to another database.
 */
import { constants } from 'node:fs'
import { copyFile, lstat, mkdir, readFile, readdir, readlink, realpath, symlink } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { RehearsalError } from '../../errors.js'
import { namesIn } from './dotenv-names.js'
import { treeFiles, type TreeFile } from './tree-files.js'

/** A project in a copy of its repository. */
export interface ProjectCopy {
  /** The project's folder inside the copy. */
  root: string
  /** The whole repository in the copy. */
  top: string
  /** node_modules/.bin of the project and of the folders above it, nearest first: for PATH. */
  binFolders: string[]
  /** .env files that were left out, relative to the project. */
  environmentFiles: string[]
  /** Names in them whose value is the address of a PostgreSQL database. */
  databaseVariables: string[]
  /** The other names in them. */
  otherVariables: string[]
}

const AT_ONCE = 32

/**
 * Copies the repository of a project (the project alone when it is in none) into a folder, which is made when missing:
 * tracked and new files, and ignored ones that are not built, cached or larger than 50 MB. Packages are links to those
 * of the original, but for packages of the repository itself, which are those of the copy. Throws USAGE when there is
 * too much of it, FILE_UNREADABLE, DISK_FULL.
 */
export async function copyProject(project: string, into: string): Promise<ProjectCopy> {
  await mkdir(into, { recursive: true })
  const target = await realpath(into)
  const tree = await treeFiles(project, target)
  const { top } = tree
  const inside = relative(top, await realpath(project))
  const root = join(target, inside)
  await mkdir(root, { recursive: true })
  const folders = new Set(tree.files.map(({ path }) => dirname(path)))
  for (const folder of folders) await mkdir(join(target, folder), { recursive: true })
  await each(tree.files, (file) => copyOne(file, top, target))
  for (const modules of tree.modules) await linkModules(join(top, modules), join(target, modules), top, target)
  const texts = await Promise.all(
    tree.environmentFiles.map((path) => readFile(join(top, path), 'utf8').catch(() => '')),
  )
  return {
    root,
    top: target,
    binFolders: tree.modules
      .filter((modules) => `${inside}/`.startsWith(dirname(modules) === '.' ? '' : `${dirname(modules)}/`))
      .sort((a, b) => b.length - a.length)
      .map((modules) => join(target, modules, '.bin')),
    environmentFiles: tree.environmentFiles.map((path) => relative(inside, path)).sort(),
    ...namesIn(texts),
  }
}

async function each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item)
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker))
}

async function copyOne({ path, stats }: TreeFile, top: string, target: string): Promise<void> {
  const [from, to] = [join(top, path), join(target, path)]
  try {
    if (stats.isSymbolicLink()) await symlink(await linkTarget(from, top, target), to)
    else await copyFile(from, to, constants.COPYFILE_FICLONE)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
    // Deleted since it was listed.
    if (code === 'ENOENT') return
    if (code === 'ENOSPC' || code === 'EDQUOT') throw new RehearsalError('DISK_FULL', { path: target }, error)
    throw new RehearsalError('FILE_UNREADABLE', { file: path, message: code }, error)
  }
}

const isWithin = (path: string, folder: string): boolean => path === folder || path.startsWith(folder + sep)

/** What a symlink of the copy says: the same where that stays inside, the same place where it leads out. */
async function linkTarget(link: string, top: string, target: string): Promise<string> {
  const text = await readlink(link)
  const place = resolve(dirname(link), text)
  if (isWithin(place, top)) return isAbsolute(text) ? join(target, relative(top, place)) : text
  return place
}

/**
 * A node_modules folder whose entries are links, not one link: what tools write into it (`.cache`) stays in the copy,
 * and packages of a workspace, which are links into the repository, lead to their copy.
 */
export async function linkModules(from: string, to: string, top: string, target: string): Promise<void> {
  await mkdir(to, { recursive: true })
  const entries = await readdir(from, { withFileTypes: true }).catch(() => [])
  await each(entries, async (entry) => {
    const [source, link] = [join(from, entry.name), join(to, entry.name)]
    if (entry.name === '.cache' || entry.name === '.vite') return
    if (entry.name.startsWith('@') && entry.isDirectory()) return linkModules(source, link, top, target)
    await symlink(await moduleTarget(source, entry.isSymbolicLink(), top, target), link).catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
    })
  })
}

async function moduleTarget(source: string, isLink: boolean, top: string, target: string): Promise<string> {
  if (!isLink) return source
  const place = await realpath(source).catch(() => source)
  const inside = relative(top, place)
  if (!isWithin(place, top) || inside.split(sep).includes('node_modules')) return source
  const copy = join(target, inside)
  return (await lstat(copy).catch(() => null)) === null ? source : copy
}
