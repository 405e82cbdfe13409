/**
 * Which migrations are pending before anything has run: as the configuration says, by what production is known to have
 * applied, or by what a git commit has. Once the database is built, the tool's own journal is asked as well.
 */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { RehearsalError } from '../errors.js'
import { filesAt, isGit, mergeBase, refOf, type Base } from './git.js'
import type { ScenarioSettings } from './schema.js'

export interface PendingInput {
  /** In the tool's order. */
  files: readonly { name: string; path: string; shown: string }[]
  given: ScenarioSettings['pending']
  /** `--pending-since`, which wins over the configuration. */
  since: string | undefined
  /** The profile's absolute path and how it is shown. */
  profile: { path: string; shown: string } | null
  /** Folder of the project, for git. */
  project: string
  /** The configuration file in messages. */
  settingsFile: string
}

export interface PendingFiles {
  applied: string[]
  pending: string[]
  /** How it is known: completes "Pending by ...". */
  by: string
}

const Profile = z.looseObject({ appliedMigrations: z.array(z.string()).optional() })

/** Throws SCENARIO_INVALID for names that are not there, and PENDING_UNKNOWN when nothing tells. */
export async function resolvePending(input: PendingInput): Promise<PendingFiles> {
  const { given, files } = input
  if (input.since !== undefined) return bySince(input, input.since)
  if (Array.isArray(given)) return byNames(input, given)
  if (given && 'from' in given) {
    const first = indexOf(input, given.from)
    return split(input, (_, index) => index >= first, `configuration (from ${given.from})`)
  }
  if (given && 'applied' in given) {
    const applied = given.applied.map((name) => files[indexOf(input, name)]?.name)
    return split(input, (file) => !applied.includes(file.name), 'configuration (what is applied)')
  }
  if (given && 'since' in given) return bySince(input, given.since)
  if (input.profile) {
    const applied = await readProfile(input.profile.path, input.profile.shown)
    if (applied) return split(input, (file) => !applied.has(file.name), `the profile ${input.profile.shown}`)
  }
  const base = await mergeBase(input.project)
  if (base) return byBase(input, base)
  throw new RehearsalError('PENDING_UNKNOWN', {
    reason: (await isGit(input.project))
      ? 'git knows no default branch to compare with (a shallow clone has none: fetch-depth: 0)'
      : 'there is no git history to compare with',
    candidates: files
      .slice(-3)
      .map(({ name }) => name)
      .join(', '),
    last: files.at(-1)?.name ?? '',
  })
}

function split(
  { files }: PendingInput,
  isPending: (file: { name: string; path: string }, index: number) => boolean,
  by: string,
): PendingFiles {
  const wanted = new Set(files.filter(isPending).map(({ name }) => name))
  return {
    applied: files.flatMap(({ name }) => (wanted.has(name) ? [] : [name])),
    pending: files.flatMap(({ name }) => (wanted.has(name) ? [name] : [])),
    by,
  }
}

function byNames(input: PendingInput, names: readonly string[]): PendingFiles {
  const wanted = new Set(names.map((name) => indexOf(input, name)))
  return split(input, (_, index) => wanted.has(index), 'configuration')
}

/** A migration by its name, its file's name, or its path. */
function indexOf({ files, settingsFile }: PendingInput, name: string): number {
  const found = files.findIndex(
    (file) => file.name === name || file.shown === name || file.path.endsWith(`/${name}`) || file.name === stem(name),
  )
  if (found !== -1) return found
  throw new RehearsalError('SCENARIO_INVALID', {
    file: settingsFile,
    message: `pending: no migration ${name} (the last ones are ${
      files
        .slice(-3)
        .map((file) => file.name)
        .join(', ') || 'none'
    })`,
  })
}

const stem = (name: string): string => name.replace(/\.[a-z]+$/, '')

async function bySince(input: PendingInput, ref: string): Promise<PendingFiles> {
  const base = await refOf(input.project, ref)
  if (base) return byBase(input, base)
  throw new RehearsalError('USAGE', {
    message: `pending since ${ref}: git does not know this commit here (in CI, fetch it first: fetch-depth: 0)`,
  })
}

async function byBase(input: PendingInput, base: Base): Promise<PendingFiles> {
  const there = await filesAt(
    input.project,
    base,
    input.files.map(({ path }) => path),
  )
  if (there === null) throw new RehearsalError('USAGE', { message: `git cannot list the files of ${base.label}` })
  return split(input, (file) => !there.has(file.path), `git: migrations that are not in ${base.label}`)
}

export const saysWhatIsApplied = async (profile: PendingInput['profile']): Promise<boolean> =>
  profile !== null && (await readProfile(profile.path, profile.shown)) !== null

/** null when it does not say what is applied. */
async function readProfile(path: string, shown: string): Promise<Set<string> | null> {
  let value: unknown
  try {
    value = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw new RehearsalError('SCENARIO_INVALID', { file: shown, message: 'the profile cannot be read' }, error)
  }
  const checked = Profile.safeParse(value)
  if (checked.success) return checked.data.appliedMigrations ? new Set(checked.data.appliedMigrations) : null
  throw new RehearsalError('SCENARIO_INVALID', {
    file: shown,
    message: 'appliedMigrations of the profile is no list of names',
  })
}
