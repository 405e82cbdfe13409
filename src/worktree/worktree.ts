/**
 * The project as it is at a git ref, in a folder of the rehearsal's own. The files are written from a second index, and
 * git is not told of the folder: there is no entry in the user's repository that could outlive us, whatever ends us.
 */
import { mkdir, readFile, realpath, rm } from 'node:fs/promises'
import { basename, join, relative, sep } from 'node:path'
import { RehearsalError } from '../errors.js'
import { isEnvironmentFile } from '../migrations/child/dotenv-names.js'
import { provideDependencies } from './dependencies.js'
import { git, listCommit, unreadable, type TreeEntry } from './git.js'

export interface WorktreeOptions {
  /** The user's project, anywhere in its repository. */
  project: string
  /** Branch, tag, commit, `origin/main`, `HEAD~3`. */
  ref: string
  /** A folder that is removed with the rest of the rehearsal; made when missing. */
  into: string
  /** How dependencies are installed where those of the ref differ, as a line for the shell; detected unless given. */
  install?: string | null
  /** The user's environment. */
  shell: Readonly<Record<string, string | undefined>>
  signal: AbortSignal
}

export interface Worktree {
  /** The project's folder inside it. */
  readonly root: string
  /** The whole repository in it. */
  readonly top: string
  /** Full hash. */
  readonly commit: string
  /** `linked`: those of the working tree, because the same ones are asked for. */
  readonly dependencies: 'linked' | 'installed'
  /** node_modules/.bin of the project and of the folders above it, nearest first: for PATH. */
  readonly binFolders: readonly string[]
  /** What is not in it although a checkout would have it, in sentences. */
  readonly notes: readonly string[]
  /** A second call does nothing. */
  remove(): Promise<void>
}

/** Pointers of git-lfs have at most 200 bytes by its specification. */
const LARGEST_POINTER = 200
const POINTER = 'version https://git-lfs.github.com/spec/v1'

/**
 * Writes the files of a ref and provides its dependencies. Throws USAGE where there is no git, no repository, no such ref
 * or no such folder in it, DISK_FULL, INSTALL_FAILED, and the reason of an abort; nothing stays then.
 */
export async function openWorktree(options: WorktreeOptions): Promise<Worktree> {
  const { ref, signal } = options
  signal.throwIfAborted()
  const project = await realpath(options.project)
  const top = await repositoryOf(project, ref)
  const commit = await commitOf(top, ref)
  const inside = relative(top, project).split(sep).join('/')
  const entries = await listCommit(top, commit)
  if (inside !== '' && !entries.some(({ path }) => path.startsWith(`${inside}/`)))
    throw new RehearsalError('USAGE', { message: `${ref} (${commit.slice(0, 7)}) has no folder ${inside}` })
  await mkdir(options.into, { recursive: true })
  const target = await realpath(options.into)
  const remove = async (): Promise<void> => {
    for (const path of [target, indexOf(target), `${indexOf(target)}.lock`])
      await rm(path, { recursive: true, force: true })
  }
  try {
    await write(top, commit, target, signal)
    const hidden = entries.map(({ path }) => path).filter((path) => path.split('/').some(isEnvironmentFile))
    for (const path of hidden) await rm(join(target, path), { recursive: true, force: true })
    const { dependencies, binFolders, notes } = await provideDependencies({ ...options, top, target, inside, entries })
    return {
      root: join(target, inside),
      top: target,
      commit,
      dependencies,
      binFolders,
      notes: [...(await missing(ref, entries, hidden, target)), ...notes],
      remove,
    }
  } catch (error) {
    await remove()
    throw error
  }
}

const indexOf = (target: string): string => `${target}.index`

async function repositoryOf(project: string, ref: string): Promise<string> {
  const found = await git(['rev-parse', '--show-toplevel'], { cwd: project })
  if (found.ok) return realpath(found.text.replace(/\n$/, ''))
  throw new RehearsalError('USAGE', {
    message: `the git ref ${ref} is named, but the project is in no git repository with a working tree`,
  })
}

async function commitOf(top: string, ref: string): Promise<string> {
  const found = await git(['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`], { cwd: top })
  const commit = /^[\da-f]{40,64}$/m.exec(found.text)?.[0]
  if (found.ok && commit !== undefined) return commit
  const shallow = await git(['rev-parse', '--is-shallow-repository'], { cwd: top })
  const isShallow = shallow.text.trim() === 'true'
  throw new RehearsalError('USAGE', {
    message: isShallow
      ? `git does not know ${ref}: this clone is shallow; fetch the history first (git fetch --unshallow, or fetch-depth: 0 in actions/checkout)`
      : `git does not know ${ref}: no such branch, tag or commit here (git fetch?)`,
  })
}

async function write(top: string, commit: string, target: string, signal: AbortSignal): Promise<void> {
  const env = { GIT_INDEX_FILE: indexOf(target) }
  const options = { cwd: top, env, signal }
  const tree = `--work-tree=${target}`
  for (const args of [
    [tree, 'read-tree', commit],
    [tree, 'checkout-index', '--all', '--force', '--quiet'],
  ]) {
    const done = await git(args, options)
    if (done.ok) continue
    if (/No space left on device|Disk quota exceeded/.test(done.text))
      throw new RehearsalError('DISK_FULL', { path: target })
    throw unreadable(commit.slice(0, 7), done.text)
  }
  await rm(indexOf(target), { force: true })
}

/** What a checkout by the user would have, and this one has not. */
async function missing(
  ref: string,
  entries: readonly TreeEntry[],
  hidden: readonly string[],
  target: string,
): Promise<string[]> {
  const submodules = entries.filter(({ mode }) => mode === '160000').map(({ path }) => path)
  const small = entries.filter(
    ({ mode, bytes }) => mode.startsWith('100') && bytes !== null && bytes <= LARGEST_POINTER,
  )
  const pointers: string[] = []
  for (const { path, bytes } of small)
    if ((bytes ?? 0) > POINTER.length) {
      const text = await readFile(join(target, path), 'latin1').catch(() => '')
      if (text.startsWith(POINTER)) pointers.push(path)
    }
  return [
    { names: submodules, text: 'submodules are empty folders' },
    { names: pointers, text: 'files of git-lfs are pointers without their content' },
    { names: hidden, text: 'tracked .env files are left out' },
  ].flatMap(({ names, text }) => (names.length === 0 ? [] : [`In the files of ${ref}, ${text}: ${some(names)}.`]))
}

const some = (names: readonly string[]): string =>
  names.length <= 3
    ? names.join(', ')
    : `${names
        .slice(0, 3)
        .map((name) => basename(name))
        .join(', ')} and ${names.length - 3} more`
