/** Where Prisma's schema and migrations are and where it gets the database's address from. */
import { basename, dirname, join, resolve } from 'node:path'
import type { EvaluateConfig } from './drizzle-config.js'
import { asObject, exists, listFolder, readJson, readWhole, unreadable } from './files.js'
import { readDatasource, type Datasource, type SchemaValue } from './prisma-schema.js'
import type { AddressVariable, ToolNote, ToolRequest } from './types.js'

export interface PrismaConfig {
  /** prisma.config.*, or else the file of the schema that has the datasource. */
  file: string
  /** Absolute folder of the migrations. */
  folder: string
  variables: AddressVariable[]
  /** Named in the command when the user named it; otherwise Prisma finds it itself. */
  schemaArgument: string | null
  configArgument: string | null
  /** `engine: 'js'`: a driver of the project sends the messages. */
  jsEngine: boolean
  notes: ToolNote[]
  assumptions: string[]
}

const CONFIG_FILES = ['ts', 'mts', 'cts', 'js', 'mjs', 'cjs'].flatMap((ending) => [
  `prisma.config.${ending}`,
  `.config/prisma.${ending}`,
])

/** null when there is no schema for PostgreSQL. Throws SCENARIO_INVALID. */
export async function readPrismaConfig(request: ToolRequest, evaluate: EvaluateConfig): Promise<PrismaConfig | null> {
  const { project, shown } = request
  const asked = request.tool === 'prisma'
  const named = asked && request.config !== undefined ? resolve(project, request.config) : null
  if (named !== null && !(await exists(named))) throw unreadable(shown(named), 'does not exist')
  const namedSchema = named?.endsWith('.prisma') === true ? named : null
  const configFile = namedSchema === null ? (named ?? (await firstThatExists(project, CONFIG_FILES))) : null
  const config = configFile === null ? null : await evaluate(configFile, project)
  const value = asObject(config?.value)
  // What a configuration names is relative to its own folder.
  const configFolder = configFile === null ? project : dirname(configFile)
  const fromConfig = text(value?.['schema'])
  const schema = namedSchema ?? (fromConfig === null ? await usualSchema(request) : resolve(configFolder, fromConfig))
  const found = schema === null ? null : await findDatasource(schema, shown)
  if (schema === null || found === null) {
    if (!asked) return null
    throw unreadable(shown(schema ?? project), 'no Prisma schema with a datasource here; name it in migrations.config')
  }
  const { datasource, file } = found
  if (datasource.provider !== 'postgresql' && datasource.provider !== 'postgres') {
    if (!asked) return null
    throw unreadable(shown(file), `its provider is not "postgresql"; only PostgreSQL can be rehearsed`, datasource.line)
  }
  const path = text(asObject(value?.['migrations'])?.['path'])
  const folder =
    request.folder !== undefined
      ? resolve(project, request.folder)
      : path === null
        ? join(dirname(file), 'migrations')
        : resolve(configFolder, path)
  const jsEngine = value?.['engine'] === 'js'
  return {
    file: configFile ?? file,
    folder,
    schemaArgument: namedSchema,
    configArgument: named !== null && namedSchema === null ? named : null,
    jsEngine,
    ...addressOf(config, configFile, datasource, file, shown),
    notes: jsEngine ? [jsEngineNote(shown(configFile ?? file))] : [],
  }
}

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)

async function firstThatExists(folder: string, names: readonly string[]): Promise<string | null> {
  for (const name of names) {
    const path = join(folder, name)
    if (await exists(path)) return path
  }
  return null
}

/** In Prisma's order: package.json, then the usual places. */
async function usualSchema({ project, shown }: ToolRequest): Promise<string | null> {
  const manifest = join(project, 'package.json')
  if (await exists(manifest)) {
    const { value } = await readJson(manifest, shown(manifest))
    const named = text(asObject(asObject(value)?.['prisma'])?.['schema'])
    if (named !== null) return resolve(project, named)
  }
  return firstThatExists(project, ['schema.prisma', 'prisma/schema.prisma', 'prisma/schema'])
}

/** A schema may be a folder of files: the one that has the datasource counts. */
async function findDatasource(
  path: string,
  shown: (path: string) => string,
): Promise<{ datasource: Datasource; file: string } | null> {
  if (!(await exists(path))) throw unreadable(shown(path), 'does not exist')
  const files = basename(path).endsWith('.prisma') ? [path] : await prismaFiles(path, shown)
  for (const file of files) {
    const datasource = readDatasource((await readWhole(file, shown(file))).text)
    if (datasource) return { datasource, file }
  }
  return null
}

async function prismaFiles(folder: string, shown: (path: string) => string): Promise<string[]> {
  const found: string[] = []
  for (const { name, path, kind } of await listFolder(folder, shown(folder))) {
    if (kind === 'file' && name.endsWith('.prisma')) found.push(path)
    if (kind === 'folder' && name !== 'migrations') found.push(...(await prismaFiles(path, shown)))
  }
  return found
}

type Evaluated = Awaited<ReturnType<EvaluateConfig>>
type Found = Pick<PrismaConfig, 'variables' | 'assumptions'>

const url = (name: string): AddressVariable => ({ name, part: 'url' })

/** The configuration's datasource wins over the schema's; directUrl wins over url, as Prisma Migrate has it. */
function addressOf(
  config: Evaluated | null,
  configFile: string | null,
  datasource: Datasource,
  schemaFile: string,
  shown: (path: string) => string,
): Found {
  const literal = (file: string, line: number | null): never => {
    const message =
      'a literal address of a database; a rehearsal never starts with one. Read it from the environment, e.g. env("DATABASE_URL")'
    throw unreadable(shown(file), message, line)
  }
  if (config !== null && configFile !== null) {
    // A deploy never uses the shadow database.
    const written = config.literals.find(({ path }) => !path.endsWith('shadowDatabaseUrl'))
    if (written) return literal(configFile, written.line)
    const reads = config.reads.filter(({ path }) => path !== null && /^datasource\.(?:url|directUrl)$/.test(path))
    if (reads.length > 0) return { variables: unique(reads.map(({ name }) => url(name))), assumptions: [] }
  }
  const values = [datasource.directUrl, datasource.url].filter((value): value is SchemaValue => value !== null)
  for (const value of values) if (value.kind === 'literal') return literal(schemaFile, value.line)
  const names = values.flatMap((value) => (value.kind === 'env' ? [value.name] : []))
  if (names.length > 0) return { variables: unique(names.map(url)), assumptions: [] }
  // A configuration may put the address together itself, or hand it to a driver.
  const reads =
    config?.reads.filter(({ name }) => /url|dsn|database|postgres/i.test(name)).map(({ name }) => url(name)) ?? []
  if (reads.length > 0)
    return {
      variables: unique(reads),
      assumptions: [
        `Prisma's address is taken to come from ${unique(reads)
          .map(({ name }) => name)
          .join(', ')}.`,
      ],
    }
  return { variables: [url('DATABASE_URL')], assumptions: ["Prisma's address is taken to come from DATABASE_URL."] }
}

const unique = (variables: readonly AddressVariable[]): AddressVariable[] => [
  ...new Map(variables.map((variable) => [variable.name, variable])).values(),
]

const jsEngineNote = (file: string): ToolNote => ({
  kind: 'other',
  file,
  line: null,
  message:
    "`engine: 'js'`: a driver adapter sends the scripts, and that of pg 6.19 cuts them at every semicolon, also in strings and function bodies.",
  advice: null,
})
