/** Git, asked so that nothing of the user's repository is changed: no index, no branch, no working file, no entry. */
import { execFile } from 'node:child_process'
import { RehearsalError } from '../errors.js'

/** A large repository on a slow disk. */
const LONGEST_MS = 300_000
const MOST_BYTES = 256 * 1024 ** 2

/**
 * The folder may belong to somebody else, as in a container: reading it is all right. Nothing in it is executed (a file
 * system monitor would be), a sparse checkout leaves nothing out, and files in large file storage stay the pointers that
 * they are: neither a missing git-lfs nor its server is in the way.
 */
const SETTINGS = [
  'safe.directory=*',
  'core.fsmonitor=false',
  'core.untrackedCache=false',
  'core.splitIndex=false',
  'core.sparseCheckout=false',
  'core.quotePath=false',
  'filter.lfs.required=false',
  'filter.lfs.process=',
  'filter.lfs.smudge=',
].flatMap((setting) => ['-c', setting])

export interface GitOptions {
  cwd: string
  signal?: AbortSignal
  /** Set besides the few variables that git gets; what a git hook leaves in ours (GIT_DIR, GIT_INDEX_FILE) is not. */
  env?: Readonly<Record<string, string>>
}

/** Output of git, or what it said when it failed. Throws USAGE when there is no git, and the reason of an abort. */
export function git(args: readonly string[], options: GitOptions): Promise<{ ok: boolean; text: string }> {
  const { PATH, HOME, XDG_CONFIG_HOME } = process.env
  const env = { PATH, HOME, XDG_CONFIG_HOME, LC_ALL: 'C', GIT_OPTIONAL_LOCKS: '0', GIT_TERMINAL_PROMPT: '0' }
  return new Promise((resolve, reject) => {
    execFile(
      'git',
      [...SETTINGS, ...args],
      {
        cwd: options.cwd,
        env: { ...env, ...options.env },
        timeout: LONGEST_MS,
        maxBuffer: MOST_BYTES,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      (error, stdout, stderr) => {
        if (error === null) resolve({ ok: true, text: stdout })
        else if (options.signal?.aborted === true) reject(new Error('aborted', { cause: error }))
        else if (error.code === 'ENOENT')
          reject(new RehearsalError('USAGE', { message: 'a git ref is named, but there is no git in PATH' }, error))
        else resolve({ ok: false, text: stderr })
      },
    )
  })
}

/** A file of a commit. */
export interface TreeEntry {
  /** `100644`, `100755`, `120000` (link), `160000` (submodule). */
  mode: string
  /** null for a submodule. */
  bytes: number | null
  /** From the top of the repository. */
  path: string
}

/** Everything in a commit. */
export async function listCommit(top: string, commit: string): Promise<TreeEntry[]> {
  const listed = await git(['ls-tree', '-r', '-l', '-z', '--full-tree', commit], { cwd: top })
  if (!listed.ok) throw unreadable(commit, listed.text)
  return listed.text.split('\0').flatMap((line) => {
    const [, mode, size, path] = /^(\d+) \w+ \w+ +(\d+|-)\t(.+)$/s.exec(line) ?? []
    return mode === undefined || path === undefined ? [] : [{ mode, bytes: size === '-' ? null : Number(size), path }]
  })
}

export const unreadable = (ref: string, said: string): RehearsalError => {
  const [line = 'unknown reason'] = said.split('\n').filter((text) => text !== '')
  return new RehearsalError('USAGE', { message: `git cannot read ${ref}: ${line.replace(/^(?:fatal|error): /, '')}` })
}
