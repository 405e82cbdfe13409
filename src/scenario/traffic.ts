/** Where the traffic of each release comes from: files, a git ref's file, a program, production's statements, the schema. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RehearsalError } from '../errors.js'
import type { Release } from '../recording.js'
import { readProfile, type Profile } from '../profile/schema.js'
import { codeOperations } from '../traffic/define.js'
import type { Operation } from '../traffic/operation.js'
import { parseScript } from '../traffic/script.js'
import type { Finder } from './find.js'
import type { Folder } from './files.js'
import { refOf } from './git.js'
import { importDefault } from './module.js'
import { readText } from './read-text.js'
import type { ProgramSettings, ScenarioSettings } from './schema.js'

/** Paths are absolute, `shown` is how a file is called in messages. */
export type Supply =
  | { kind: 'files'; operations: Operation[]; shown: string }
  /** The same file as of a git ref, loaded from a worktree when the rehearsal starts. */
  | { kind: 'ref'; path: string; shown: string; ref: string; install: string | null }
  | { kind: 'program'; program: ProgramSettings; cwd: string; install: string | null }
  | { kind: 'production' }
  | { kind: 'schema' }

export interface Ramp {
  fromPerSecond: number
  toPerSecond: number
  overMs: number
}

/** How the application treats its connections; see `Manners` in the recording. */
export interface PoolManners {
  queueTimeoutMs: number | null
  pooling: 'session' | 'transaction'
  retries: { tries: number; delayMs: number; on: string[] }
  settings: Record<string, string>
}

export interface TrafficPlan {
  old: Supply
  new: Supply
  profile: { content: Profile; shown: string } | null
  /** Of production's rates. */
  factor: number
  /** Tables that derived traffic leaves alone. */
  exclude: string[]
  ramp: Ramp | null
  manners: PoolManners
  assumptions: string[]
}

export interface TrafficInput {
  folder: Folder
  settings: ScenarioSettings['traffic']
  settingsFile: string
  find: Finder
  usualFolder: string
  profile: { path: string; shown: string } | null
}

/** What applications try again, where they do. */
const TRIED_AGAIN = ['40001', '40P01']
const RETRY_DELAY_MS = 50

/** Throws SCENARIO_INVALID, SCRIPT_INVALID, SQL_UNREADABLE, USAGE. */
export async function readTraffic(input: TrafficInput): Promise<TrafficPlan> {
  const { settings = {}, profile } = input
  const content = profile ? { content: await readProfileFile(profile), shown: profile.shown } : null
  const retries = settings.retries ?? 0
  const given = typeof retries === 'number' ? { tries: retries } : retries
  return {
    ...(await supplies(input, content !== null && (content.content.statements?.entries.length ?? 0) > 0)),
    profile: content,
    factor: settings.factor ?? 1,
    exclude: settings.exclude ?? [],
    ramp:
      typeof settings.rate === 'object'
        ? { fromPerSecond: settings.rate.from, toPerSecond: settings.rate.to, overMs: settings.rate.over }
        : null,
    manners: {
      queueTimeoutMs: settings.queueTimeout ?? null,
      pooling: settings.pooling ?? 'session',
      retries: { tries: given.tries, delayMs: given.delay ?? RETRY_DELAY_MS, on: given.on ?? TRIED_AGAIN },
      settings: settings.settings ?? {},
    },
  }
}

const readProfileFile = async ({ path, shown }: { path: string; shown: string }): Promise<Profile> =>
  readProfile(await readText(path, shown), shown)

type Sides = Pick<TrafficPlan, 'old' | 'new' | 'assumptions'>

async function supplies(input: TrafficInput, hasStatements: boolean): Promise<Sides> {
  const { folder, settings = {}, settingsFile, find, usualFolder } = input
  const fail = (message: string, file = settingsFile): never => {
    throw new RehearsalError('SCENARIO_INVALID', { file, message })
  }
  const { source, module, oldRef } = settings
  if (module !== undefined && (settings.old !== undefined || settings.new !== undefined))
    fail('traffic.module is the file of both releases: leave out traffic.old and traffic.new')
  if (source !== undefined && source !== 'files') {
    if (module !== undefined || settings.old !== undefined || settings.new !== undefined)
      fail(`traffic.source is ${source}, so traffic.old, traffic.new and traffic.module have no place beside it`)
    if (source === 'production' && !hasStatements)
      fail('traffic.source is production, but there is no profile with statements (profile: a file with statements)')
    return { old: { kind: source }, new: { kind: source }, assumptions: [] }
  }
  const file = async (release: Release, usual: boolean): Promise<string | null> => {
    const named = module ?? settings[release]
    if (typeof named === 'object') return null
    // With one release given, files of usual names count for the other one.
    return find.one(
      `traffic.${module === undefined ? release : 'module'}`,
      named,
      usual ? [`${release}.sql`, `${release}.ts`] : [],
    )
  }
  const program = (release: Release): Supply | null => {
    const named = settings[release]
    if (typeof named !== 'object') return null
    return { kind: 'program', program: named, cwd: folder.resolve(named.cwd ?? '.'), install: settings.install ?? null }
  }
  const oldFile = await file('old', module === undefined)
  const newFile = await file('new', module === undefined)
  if (oldRef !== undefined && oldFile === null) {
    if (settings.old !== undefined || newFile !== null)
      fail('traffic.oldRef needs traffic.module or traffic.old: the file that is loaded from there')
    // Derived traffic looks there for what the running release names.
    await knownRef(folder, oldRef, fail)
  }
  const oldProgram = program('old')
  const newProgram = program('new')
  const old =
    oldProgram ??
    (oldFile === null
      ? null
      : oldRef === undefined
        ? await operationsOf(folder, oldFile, 'old')
        : await atRef(folder, oldFile, oldRef, settings.install ?? null, fail))
  if (old === null) {
    if (newFile !== null || newProgram !== null)
      fail(
        `${newFile === null ? 'traffic.new' : folder.shown(newFile)} is the new release only: add ${join(usualFolder, 'old.sql')} (or old.ts), which runs during the migration`,
        folder.shown(folder.path),
      )
    if (source === 'files')
      fail(
        `no traffic: add ${join(usualFolder, 'old.sql')} (or old.ts) with what the running release does, and ${join(usualFolder, 'new.sql')} for the release after it`,
        folder.shown(folder.path),
      )
    const kind = hasStatements ? 'production' : 'schema'
    return { old: { kind }, new: { kind }, assumptions: [] }
  }
  const next = newProgram ?? (newFile === null ? null : await operationsOf(folder, newFile, 'new'))
  if (next !== null) return { old, new: next, assumptions: [] }
  return sameForBoth(folder, old, oldFile)
}

/** Without anything for the new release, it does what the old one does. */
async function sameForBoth(folder: Folder, old: Supply, file: string | null): Promise<Sides> {
  if (old.kind === 'program') {
    const { ref, ...program } = old.program
    const same = ref === undefined ? 'the same program as the old one' : `the same program as of the working tree`
    return { old, new: { ...old, program }, assumptions: [`The new release is ${same}: there is no traffic.new.`] }
  }
  if (file === null) throw new Error('a release with operations has a file')
  return {
    old,
    new: await operationsOf(folder, file, 'new'),
    assumptions: [
      `The new release sends the same statements as the old one: there is no new.sql beside ${folder.shown(file)}.`,
    ],
  }
}

async function atRef(
  folder: Folder,
  path: string,
  ref: string,
  install: string | null,
  fail: (message: string) => never,
): Promise<Supply> {
  await knownRef(folder, ref, fail)
  return { kind: 'ref', path, shown: `${folder.shown(path)} of ${ref}`, ref, install }
}

async function knownRef(folder: Folder, ref: string, fail: (message: string) => never): Promise<void> {
  if ((await refOf(folder.path, ref)) === null)
    fail(`traffic.oldRef: git does not know ${ref} here (in CI, fetch it first: fetch-depth: 0)`)
}

const operationsOf = async (folder: Folder, path: string, release: Release): Promise<Supply> => ({
  kind: 'files',
  operations: await readOperations(path, folder.shown(path), release),
  shown: folder.shown(path),
})

/** The operations of one file. Throws SCRIPT_INVALID, SQL_UNREADABLE. */
export async function readOperations(path: string, shown: string, release: Release): Promise<Operation[]> {
  if (path.endsWith('.sql')) return parseScript(await readText(path, shown), shown, release)
  return codeOperations(
    await importDefault(path, shown, 'SCRIPT_INVALID'),
    release,
    shown,
    await readFile(path, 'utf8'),
  )
}
