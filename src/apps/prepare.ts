/**
 * From what the user wrote about a program to what is started: in a copy of the working tree or in the files of a git ref,
 * both without .env files, so that no address of the user's is in reach.
 */
import { constants } from 'node:fs'
import { cp, lstat, readFile } from 'node:fs/promises'
import { basename, isAbsolute, join, relative, resolve } from 'node:path'
import { RehearsalError } from '../errors.js'
import { isEnvironmentFile, namesIn } from '../migrations/child/dotenv-names.js'
import { findLiteralUrlsInLaunch } from '../migrations/child/literal-urls.js'
import { copyProject } from '../migrations/child/tree.js'
import { treeFiles } from '../migrations/child/tree-files.js'
import type { Release } from '../recording.js'
import { openWorktree } from '../worktree/worktree.js'
import type { Program } from './program.js'

const READY_WITHIN_MS = 60_000
/** What is built and ignored by git, but started. */
const BUILT = ['dist', 'build', 'out', 'lib', '.next', '.output', '.svelte-kit']

/** `traffic.old` or `traffic.new` as the user wrote it; `readyWithin` in milliseconds. */
export interface ProgramDefinition {
  command: string
  load?: string | undefined
  ready?: string | undefined
  readyWithin?: number | undefined
  ref?: string | undefined
  cwd?: string | undefined
  urlEnv?: string | string[] | undefined
  env?: Record<string, string> | undefined
  passEnv?: string[] | undefined
  allowHosts?: string[] | undefined
}

export interface PrepareOptions {
  release: Release
  definition: ProgramDefinition
  /** The folder of the settings file: `cwd` is relative to it. */
  project: string
  /** A folder of ours, removed with the rest of the rehearsal; not shared with another program. */
  directory: string
  /** `traffic.install`. */
  install: string | null
  shell: Readonly<Record<string, string | undefined>>
  signal: AbortSignal
}

export interface PreparedProgram {
  program: Program
  /** Commit of the ref; null for the working tree. */
  commit: string | null
  /** What is other than in the user's own folder, in sentences. */
  notes: string[]
}

/**
 * Throws USAGE (an address of a database in the command, a `cwd` outside the project, too much to copy), INSTALL_FAILED,
 * and what `openWorktree` throws.
 */
export async function prepareProgram(options: PrepareOptions): Promise<PreparedProgram> {
  const { release, definition, project } = options
  const folder = resolve(project, definition.cwd ?? '.')
  for (const [field, line] of [
    ['command', definition.command],
    ['load', definition.load],
  ] as const) {
    const [literal] = line === undefined ? [] : await findLiteralUrlsInLaunch({ kind: 'shell', line }, folder)
    if (literal === undefined) continue
    const place = isAbsolute(literal.file) ? `${relative(folder, literal.file)}:${literal.line}` : literal.file
    throw new RehearsalError('USAGE', {
      message: `traffic.${release}.${field}: ${place} holds the address of a database on another machine; the program gets the rehearsal database's in DATABASE_URL (or traffic.${release}.urlEnv)`,
    })
  }
  const place =
    definition.ref === undefined ? await copy(folder, options) : await atRef(folder, definition.ref, options)
  const named = [definition.urlEnv ?? []].flat()
  return {
    program: {
      command: definition.command,
      load: definition.load ?? null,
      ready: definition.ready ?? null,
      readyWithinMs: definition.readyWithin ?? READY_WITHIN_MS,
      cwd: place.root,
      variables: [...new Set([...named, ...place.databaseVariables])].map((name) => ({ name, part: 'url' as const })),
      env: definition.env ?? {},
      passEnv: definition.passEnv ?? [],
      allowHosts: definition.allowHosts ?? [],
      binFolders: place.binFolders,
    },
    commit: place.commit,
    notes: [
      ...place.notes,
      ...(place.withheld.length === 0
        ? []
        : [
            `The program of the ${release} release runs without .env files; variables of them that it does not get: ${place.withheld.join(', ')}. Pass what it needs with traffic.${release}.env.`,
          ]),
    ],
  }
}

interface Place {
  root: string
  commit: string | null
  binFolders: readonly string[]
  databaseVariables: string[]
  withheld: string[]
  notes: readonly string[]
}

async function copy(folder: string, { directory, definition }: PrepareOptions): Promise<Place> {
  const { root, binFolders, databaseVariables, otherVariables } = await copyProject(folder, join(directory, 'project'))
  for (const name of BUILT) {
    const [from, to] = [join(folder, name), join(root, name)]
    if ((await lstat(to).catch(() => null)) !== null || (await lstat(from).catch(() => null)) === null) continue
    await cp(from, to, {
      recursive: true,
      mode: constants.COPYFILE_FICLONE,
      filter: (path) => !isEnvironmentFile(basename(path)),
    })
  }
  const set = definition.env ?? {}
  const withheld = otherVariables.filter((name) => !Object.hasOwn(set, name) && name !== 'PORT')
  return { root, commit: null, binFolders, databaseVariables, withheld, notes: [] }
}

/** What its .env files are there is not known to git; names of the variables are those of today. */
async function atRef(folder: string, ref: string, options: PrepareOptions): Promise<Place> {
  const { directory, definition, install, shell, signal } = options
  const tree = await openWorktree({ project: folder, ref, into: join(directory, 'worktree'), install, shell, signal })
  const { top, environmentFiles } = await treeFiles(folder, directory)
  const texts = await Promise.all(environmentFiles.map((path) => readFile(join(top, path), 'utf8').catch(() => '')))
  const { databaseVariables, otherVariables } = namesIn(texts)
  const set = definition.env ?? {}
  return {
    root: tree.root,
    commit: tree.commit,
    binFolders: tree.binFolders,
    databaseVariables,
    withheld: otherVariables.filter((name) => !Object.hasOwn(set, name) && name !== 'PORT'),
    notes: tree.notes,
  }
}
