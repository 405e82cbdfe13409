/** Which variables the .env files of a project define. Their values are looked at and forgotten. */
import { looksLikeDatabaseUrl } from './database-url.js'

/** `.env`, `.env.local`, `.envrc`, Wrangler's `.dev.vars`; not the examples that are meant to be read. */
export const isEnvironmentFile = (name: string): boolean =>
  /^\.(?:env.*|dev\.vars.*)$/.test(name) && !/\.(?:example|sample|template)$/.test(name)

/** A line `NAME=value`, `export NAME=value` or `NAME: value`; a quoted value may go over several lines, as in dotenv. */
const ASSIGNMENT =
  /^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)(?:[ \t]*=[ \t]*|:[ \t]+)("(?:\\"|[^"])*"|'(?:\\'|[^'])*'|`(?:\\`|[^`])*`|[^\r\n]*)/gm

/** Names defined in the texts: those whose value is the address of a database, or refers to such a one, and the others. */
export function namesIn(texts: readonly string[]): { databaseVariables: string[]; otherVariables: string[] } {
  const values = new Map<string, string[]>()
  for (const text of texts)
    for (const [, name = '', value = ''] of text.matchAll(ASSIGNMENT))
      values.set(name, [...(values.get(name) ?? []), value])
  const database = new Set<string>()
  let before = -1
  // DIRECT_URL=${DATABASE_URL}: as often as it takes, for references may be chained.
  while (database.size !== before) {
    before = database.size
    for (const [name, given] of values) if (given.some((value) => isAddress(value, database))) database.add(name)
  }
  return {
    databaseVariables: [...database].sort(),
    otherVariables: [...values.keys()].filter((name) => !database.has(name)).sort(),
  }
}

const isAddress = (value: string, database: ReadonlySet<string>): boolean => {
  if (looksLikeDatabaseUrl(value)) return true
  // The whole value is one reference: in HOST=${X}/path it would be a part of something else.
  const [, reference] = /^["'`]?\$\{?(\w+)(?::?-[^}]*)?\}?["'`]?\s*(?:#.*)?$/.exec(value) ?? []
  return reference !== undefined && database.has(reference)
}
