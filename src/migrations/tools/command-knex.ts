/** knexfile.*: the folder of the migrations and the journal's name, of the environment that would be used. */
import { readdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { EvaluateConfig } from './drizzle-config.js'
import { asObject, exists, unreadable } from './files.js'
import type { ToolRequest } from './types.js'

export interface KnexSettings {
  file: string
  /** Absolute. */
  folder: string
  /** null: Knex's own. */
  table: string | null
  schema: string | null
  /** Environment variables that the connection is read from, as far as they hold a whole address. */
  variables: string[]
}

/** null without a knexfile. Throws SCENARIO_INVALID for a literal address of a database in the part that is used. */
export async function readKnexfile(request: ToolRequest, evaluate: EvaluateConfig): Promise<KnexSettings | null> {
  const { project, command = '' } = request
  const file = await findFile(request)
  if (file === null) return null
  const config = await evaluate(file, project)
  const whole = asObject(config.value) ?? {}
  const environment = /--env[= ](\S+)/.exec(command)?.[1] ?? process.env['NODE_ENV'] ?? 'development'
  const part = 'client' in whole || 'migrations' in whole ? null : environment
  const used = part === null ? whole : (asObject(whole[part]) ?? {})
  const prefix = part === null ? '' : `${part}.`
  const literal = config.literals.find(({ path }) => path.startsWith(`${prefix}connection`))
  if (literal)
    throw unreadable(
      request.shown(file),
      'a literal address of a database; a rehearsal never starts with one. Read it from the environment',
      literal.line,
    )
  const migrations = asObject(used['migrations']) ?? {}
  const directory: unknown = Array.isArray(migrations['directory'])
    ? migrations['directory'][0]
    : migrations['directory']
  const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
  return {
    file,
    // Knex changes into the folder of its file.
    folder: resolve(dirname(file), text(directory) ?? 'migrations'),
    table: text(migrations['tableName']),
    schema: text(migrations['schemaName']),
    variables: config.reads
      .filter(({ path }) => path === `${prefix}connection` || path === `${prefix}connection.connectionString`)
      .map(({ name }) => name),
  }
}

async function findFile({ project, config, shown }: ToolRequest): Promise<string | null> {
  if (config !== undefined) {
    const file = resolve(project, config)
    if (await exists(file)) return file
    throw unreadable(shown(file), 'does not exist')
  }
  const name = (await readdir(project)).sort().find((candidate) => /^knexfile\.(?:[cm]?[jt]s)$/.test(candidate))
  return name === undefined ? null : join(project, name)
}
