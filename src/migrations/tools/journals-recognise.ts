/** Which tool a command, a folder or a project belongs to, where that is certain. Pure but for what it is given. */
import { basename } from 'node:path'
import type { JournalName } from './journals.js'
import { scriptIn } from './node-pg-migrate-command.js'
import type { Manifest } from './package.js'

/** A tool and what it was recognised by, for people: `-- migrate:up in db/migrations/1_a.sql`. */
export interface Recognised {
  name: JournalName
  evidence: string
}

/** A file of a folder of migrations, as far as it tells its tool. */
export interface FolderFile {
  path: string
  shown: string
  text: string
}

const MARKERS: readonly { name: JournalName; marker: string; pattern: RegExp }[] = [
  { name: 'dbmate', marker: '-- migrate:up', pattern: /^--\s*migrate:up(?:\s|$)/m },
  { name: 'goose', marker: '-- +goose Up', pattern: /^\s*--\s*\+goose\s+up\b/im },
  { name: 'liquibase', marker: '--liquibase formatted sql', pattern: /^\s*--\s*liquibase\s+formatted\s+sql\b/i },
]

const NAMES: readonly { name: JournalName; pattern: RegExp }[] = [
  { name: 'golang-migrate', pattern: /^\d+_.*\.up\.sql$/ },
  { name: 'flyway', pattern: /^V[0-9][0-9._]*__.+\.sql$/ },
  { name: 'rails', pattern: /^\d{14}_\w+\.rb$/ },
]

/** By the files of a folder: by what stands in them first, then by their names. */
export function recogniseFolder(files: readonly FolderFile[]): Recognised | null {
  for (const { name, marker, pattern } of MARKERS) {
    const file = files.find(({ path, text }) => path.endsWith('.sql') && pattern.test(text))
    if (file) return { name, evidence: `${marker} in ${file.shown}` }
  }
  for (const { name, pattern } of NAMES) {
    const file = files.find(({ path }) => pattern.test(basename(path)))
    if (file) return { name, evidence: file.shown }
  }
  return null
}

/** Words that only the tool's own program is called by. `migrate` alone is many things: golang-migrate needs its flags. */
const PROGRAMS: readonly { name: JournalName; pattern: RegExp }[] = [
  { name: 'knex', pattern: /(?:^|[\s/])knex(?:\.js)?\s.*migrate:/ },
  { name: 'dbmate', pattern: /(?:^|[\s/])dbmate(?:\s|$)/ },
  { name: 'goose', pattern: /(?:^|[\s/])goose\s/ },
  { name: 'golang-migrate', pattern: /(?:^|[\s/])migrate\s+(?:.*\s)?-{1,2}(?:path|source|database)\b/ },
  { name: 'typeorm', pattern: /(?:^|[\s/])typeorm(?:-ts-node-\w+)?(?:\.js)?\s.*migration:run/ },
  { name: 'sequelize', pattern: /(?:^|[\s/])sequelize(?:-cli)?\s.*db:migrate/ },
  { name: 'kysely', pattern: /(?:^|[\s/])kysely(?:-ctl)?\s.*migrate/ },
  { name: 'flyway', pattern: /(?:^|[\s/])flyway\s/ },
  { name: 'liquibase', pattern: /(?:^|[\s/])liquibase\s/ },
  { name: 'rails', pattern: /(?:^|[\s/])(?:rails|rake)\s+(?:.*\s)?db:migrate/ },
  { name: 'sqitch', pattern: /(?:^|[\s/])sqitch\s/ },
]

/** By the program that a command starts; a script of package.json is looked up (`npm run x`, `pnpm x`, `yarn x`). */
export function recogniseCommand(command: string, manifest: Manifest | null): Recognised | null {
  const direct = PROGRAMS.find(({ pattern }) => pattern.test(command))
  if (direct) return { name: direct.name, evidence: 'the command' }
  const script = scriptIn(command, manifest?.scripts ?? {})
  const text = script === null ? undefined : manifest?.scripts[script.name]
  const found = text === undefined ? undefined : PROGRAMS.find(({ pattern }) => pattern.test(text))
  return found ? { name: found.name, evidence: `the script ${script?.name ?? ''} in package.json` } : null
}

/** Files in the root of a project that belong to one tool. */
export const PROJECT_FILES: readonly { name: JournalName; pattern: RegExp }[] = [
  { name: 'knex', pattern: /^knexfile\.(?:[cm]?[jt]s)$/ },
  { name: 'sequelize', pattern: /^\.sequelizerc$/ },
  { name: 'kysely', pattern: /^kysely\.config\.(?:[cm]?[jt]s)$/ },
  { name: 'typeorm', pattern: /^ormconfig\.(?:json|ya?ml|[cm]?[jt]s)$/ },
  { name: 'flyway', pattern: /^flyway\.(?:toml|conf)$/ },
  { name: 'liquibase', pattern: /^liquibase\.properties$/ },
  { name: 'sqitch', pattern: /^sqitch\.plan$/ },
]

/** By a file in the project's root, then by the scripts and the dependencies of its package.json. */
export function recogniseProject(names: readonly string[], manifest: Manifest | null): Recognised | null {
  for (const { name, pattern } of PROJECT_FILES) {
    const file = names.find((candidate) => pattern.test(candidate))
    if (file !== undefined) return { name, evidence: file }
  }
  for (const [script, text] of Object.entries(manifest?.scripts ?? {})) {
    const found = PROGRAMS.find(({ pattern }) => pattern.test(text))
    if (found) return { name: found.name, evidence: `the script ${script} in package.json` }
  }
  return null
}

/** By the one dependency that can be the owner of a folder of programs; null when there are several. */
export function recogniseDependency(manifest: Manifest | null): Recognised | null {
  const owners = (['knex', 'typeorm', 'sequelize', 'kysely', 'dbmate'] as const).filter((name) =>
    manifest?.dependencies.has(name),
  )
  const [name] = owners
  return owners.length === 1 && name !== undefined ? { name, evidence: `${name} in package.json` } : null
}
