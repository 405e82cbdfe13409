/** What git knows of a project: which files were there at an earlier commit. Nothing is changed. */
import { execFile } from 'node:child_process'
import { realpath } from 'node:fs/promises'
import { relative, sep } from 'node:path'
import { promisify } from 'node:util'

const LONGEST_MS = 20_000
const MOST_BYTES = 64 * 1024 * 1024

async function git(folder: string, ...args: string[]): Promise<string | null> {
  try {
    // The folder may belong to somebody else, as in a container: reading it is all right.
    const { stdout } = await promisify(execFile)('git', ['-c', 'safe.directory=*', ...args], {
      cwd: folder,
      timeout: LONGEST_MS,
      maxBuffer: MOST_BYTES,
    })
    return stdout
  } catch {
    return null
  }
}

const line = (text: string | null): string | null => (text === null || text.trim() === '' ? null : text.trim())

export interface Base {
  /** Full hash. */
  commit: string
  /** For people: `origin/main`, or `the merge-base with origin/main (1a2b3c4)`. */
  label: string
}

/** A ref that the user names; null when git does not know it. */
export async function refOf(folder: string, ref: string): Promise<Base | null> {
  const commit = line(await git(folder, 'rev-parse', '--verify', '--quiet', `${ref}^{commit}`))
  return commit === null ? null : { commit, label: ref }
}

/** Candidates for the default branch, best first. */
const DEFAULT_BRANCHES = ['origin/main', 'origin/master', 'main', 'master']

/** Where the current work left the default branch; null without git, without such a branch, or in a shallow clone. */
export async function mergeBase(folder: string): Promise<Base | null> {
  const head = line(await git(folder, 'symbolic-ref', '--quiet', '--short', 'refs/remotes/origin/HEAD'))
  for (const branch of [...(head === null ? [] : [head]), ...DEFAULT_BRANCHES]) {
    const commit = line(await git(folder, 'merge-base', 'HEAD', branch))
    if (commit !== null) return { commit, label: `the merge-base with ${branch} (${commit.slice(0, 7)})` }
  }
  return null
}

export const isGit = async (folder: string): Promise<boolean> =>
  line(await git(folder, 'rev-parse', '--is-inside-work-tree')) === 'true'

/** Which of these files (absolute paths) a commit has; null when git cannot say. */
export async function filesAt(folder: string, base: Base, paths: readonly string[]): Promise<Set<string> | null> {
  const top = line(await git(folder, 'rev-parse', '--show-toplevel'))
  if (top === null) return null
  const listed = await git(top, 'ls-tree', '-r', '-z', '--name-only', '--full-tree', base.commit)
  if (listed === null) return null
  const names = new Set(listed.split('\0'))
  const root = await realpath(top)
  const found = new Set<string>()
  for (const path of paths) {
    const name = relative(root, await realpath(path).catch(() => path))
      .split(sep)
      .join('/')
    if (names.has(name)) found.add(path)
  }
  return found
}

/** The commit that is checked out; null outside git. */
export const headOf = async (folder: string): Promise<string | null> => line(await git(folder, 'rev-parse', 'HEAD'))

/** Whether the working tree has changes that are not in HEAD. */
export const hasChanges = async (folder: string): Promise<boolean> =>
  line(await git(folder, 'status', '--porcelain', '--untracked-files=no')) !== null

/** What is no code of the application: migrations, data, locks, documents. */
const NOT_CODE = ['*.sql', '*.json', '*.lock', '*.md', '*.mdx', '*.yaml', '*.yml', '*.snap', '*.csv', '*.txt', '*.svg']

/**
 * `file:line` where a commit's code names one of `words` in a file that also names one of `near` (whole words); null when
 * none does. Paths under `without` are left out.
 */
export async function placeOf(
  folder: string,
  base: Base,
  words: readonly string[],
  near: readonly string[],
  without: readonly string[],
): Promise<string | null> {
  const patterns = (all: readonly string[]): string[] => all.flatMap((word) => ['-e', word])
  const paths = ['.', ...[...NOT_CODE, ...without].map((path) => `:(exclude)${path}`)]
  const listed = await git(folder, 'grep', '-l', '-z', '-w', '-I', '-F', ...patterns(near), base.commit, '--', ...paths)
  const files = (listed ?? '').split('\0').flatMap((entry) => entry.slice(entry.indexOf(':') + 1) || [])
  if (files.length === 0) return null
  // Where the table is defined tells more than where it is used.
  const [defining, using] = [files.filter((file) => DEFINES.test(file)), files.filter((file) => !DEFINES.test(file))]
  for (const some of [defining, using]) {
    if (some.length === 0) continue
    const paths = some.slice(0, 2_000).map((file) => `:(literal)${file}`)
    const found = await git(folder, 'grep', '-n', '-w', '-I', '-F', ...patterns(words), base.commit, '--', ...paths)
    const place = /^[^:]*:(.+?):(\d+):/.exec((found ?? '').split('\n')[0] ?? '')
    if (place) return `${place[1] ?? ''}:${place[2] ?? ''}`
  }
  return null
}

/** Files of ORMs. */
const DEFINES = /schema|model|entit|prisma|tables?\b/i
