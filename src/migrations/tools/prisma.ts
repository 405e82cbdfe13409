/** Prisma Migrate, versions 6 and 7: a folder `<stamp>_<name>/migration.sql` for each migration. */
import { rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { evaluateConfig } from '../child/config-probe.js'
import type { EvaluateConfig } from './drizzle-config.js'
import { exists, inCopy, listFolder, readMigration, readWhole, unreadable } from './files.js'
import { ADVICE, byteOrderMark, transactionNotes } from './impossible.js'
import { findPackage, refuseLiteralAddress, type InstalledPackage } from './package.js'
import { readPrismaConfig, type PrismaConfig } from './prisma-config.js'
import { prismaLedger } from './prisma-ledger.js'
import { replayPrisma } from './prisma-replay.js'
import type { Launch, MigrationSource, ToolNote, ToolRequest, ToolSetup } from './types.js'

export interface PrismaSurroundings {
  evaluate?: EvaluateConfig
  /** The user's environment, for PRISMA_SCHEMA_ENGINE_BINARY and PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK. */
  environment?: Readonly<Record<string, string | undefined>>
}

/**
 * The project's Prisma setup; null when it has no schema for PostgreSQL with migrations. Throws SCENARIO_INVALID for a
 * literal address, for files that cannot be read, and, when Prisma is asked for, for what is missing.
 */
export async function detect(request: ToolRequest, surroundings: PrismaSurroundings = {}): Promise<ToolSetup | null> {
  if (request.tool !== undefined && request.tool !== 'prisma') return null
  const environment = surroundings.environment ?? process.env
  const config = await readPrismaConfig(request, surroundings.evaluate ?? evaluateConfig)
  if (config === null) return null
  const { folder } = config
  if (!(await exists(folder))) {
    if (request.tool !== 'prisma') return null
    throw unreadable(request.shown(folder), 'does not exist: Prisma Migrate has no migrations here')
  }
  const { files, notes } = await readFiles(folder, request)
  const cli = await findPackage('prisma', request.project)
  return {
    tool: 'prisma',
    title: 'Prisma Migrate',
    version: cli === null ? null : `prisma ${cli.version}`,
    configFile: config.file,
    folder,
    files,
    ledger: prismaLedger,
    launch: await launchOf(request, config, cli, environment),
    variables: config.variables,
    urlParameters: {},
    notes: [
      ...config.notes,
      ...(await lockFileNotes(folder, request)),
      ...notes,
      ...transactionNotes(files, { tool: 'Prisma', transaction: 'message', advice: adviceOf }),
    ],
    assumptions: [
      ...config.assumptions,
      'Prisma keeps its journal in the schema public; a `?schema=` of the production address is not followed.',
    ],
    async cut(root, names) {
      const keep = new Set(names)
      const copied = inCopy(request.project, root, folder, request.shown(folder))
      for (const { name, kind } of await listFolder(copied, request.shown(folder)))
        if (kind === 'folder' && !keep.has(name)) await rm(join(copied, name), { recursive: true, force: true })
    },
  }
}

const adviceOf = (what: string): string =>
  `${ADVICE.prisma(what)} A failed file leaves an unfinished row in _prisma_migrations, and every further deploy stops ` +
  'with P3009 until `prisma migrate resolve`.'

/** Folders in the order of their names. A folder without migration.sql stops a deploy that reaches it. */
async function readFiles(
  folder: string,
  request: ToolRequest,
): Promise<{ files: MigrationSource[]; notes: ToolNote[] }> {
  const files: MigrationSource[] = []
  const notes: ToolNote[] = []
  for (const { name, path, kind } of await listFolder(folder, request.shown(folder))) {
    if (kind === 'file' && name.endsWith('.sql'))
      notes.push({
        ...{ kind: 'unlisted', file: request.shown(path), line: null },
        message: 'Prisma only runs migration.sql in folders, so this file never runs.',
        advice: null,
      })
    if (kind !== 'folder') continue
    const script = join(path, 'migration.sql')
    if (await exists(script)) {
      const file = await readMigration(script, { name, shown: request.shown })
      const mark = byteOrderMark(file, 'Prisma')
      if (mark) notes.push(mark)
      files.push(file)
    } else
      notes.push({
        ...{ kind: 'impossible', file: request.shown(path), line: null },
        message: 'The folder has no migration.sql: `prisma migrate deploy` stops here with P3015.',
        advice: 'Remove the folder, or add its migration.sql.',
      })
  }
  return { files, notes }
}

/** A lock file of another provider makes Prisma refuse (P3019). */
async function lockFileNotes(folder: string, request: ToolRequest): Promise<ToolNote[]> {
  const path = join(folder, 'migration_lock.toml')
  if (!(await exists(path))) return []
  const { text } = await readWhole(path, request.shown(path))
  const lines = text.split('\n')
  const index = lines.findIndex((line) => /^\s*provider\s*=/.test(line))
  const provider = /^\s*provider\s*=\s*"([\w-]*)"/.exec(lines[index] ?? '')?.[1]
  if (provider === undefined || provider === 'postgresql' || provider === 'postgres') return []
  const message = `The migrations are for ${provider}: Prisma refuses to run them on PostgreSQL (P3019).`
  return [{ kind: 'impossible', file: request.shown(path), line: index + 1, message, advice: null }]
}

async function launchOf(
  request: ToolRequest,
  config: PrismaConfig,
  cli: InstalledPackage | null,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Launch> {
  if (request.command !== undefined) {
    refuseLiteralAddress(request.command, config.variables, 'migrations.command')
    return { kind: 'shell', line: request.command }
  }
  const bin = cli?.bins['prisma']
  const replay = (why: string): Launch => {
    const withoutLock = (environment['PRISMA_SCHEMA_DISABLE_ADVISORY_LOCK'] ?? '') !== ''
    return { kind: 'replay', why, run: (options) => replayPrisma(options, { withoutLock }) }
  }
  if (cli === null || bin === undefined) return replay('The package prisma is not installed in the project.')
  // With a driver adapter the engine is a part of the package.
  if (!config.jsEngine && !(await hasEngine(cli, request.project, environment)))
    return replay(
      "Prisma's schema engine is not installed: its package downloads it, and here it did not. Its messages are sent by the rehearsal.",
    )
  const args = config.schemaArgument === null ? [] : ['--schema', relative(request.project, config.schemaArgument)]
  const file = config.configArgument === null ? [] : ['--config', relative(request.project, config.configArgument)]
  return { kind: 'program', argv: [process.execPath, bin, 'migrate', 'deploy', ...args, ...file] }
}

/** The binary of the user's choice, or the one beside @prisma/engines. */
async function hasEngine(
  cli: InstalledPackage,
  project: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<boolean> {
  const chosen = environment['PRISMA_SCHEMA_ENGINE_BINARY']
  if (chosen !== undefined && chosen !== '') return exists(chosen)
  const engines = (await findPackage('@prisma/engines', cli.folder)) ?? (await findPackage('@prisma/engines', project))
  for (const folder of [engines?.folder, cli.folder]) {
    if (folder === undefined) continue
    const entries = await listFolder(folder, 'node_modules')
    if (
      entries.some(({ name, kind }) => kind === 'file' && /^schema-engine-[\w.-]+?(?<!\.(?:gz|sha256|tmp))$/.test(name))
    )
      return true
  }
  return false
}
