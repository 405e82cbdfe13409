/** A schema of somebody else on a server of ours: what the server does not know is taken out, and said. */
import { readFileSync, readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import type postgres from 'postgres'
import { splitPieces } from '../../../src/sql/split.js'

export interface Built {
  name: string
  statements: number
  /** Statements that the server refused, by SQLSTATE and text of the error. */
  refused: string[]
}

/** Extensions that are not among the server's own: their types are stored as text here. */
const TYPES: readonly [RegExp, string][] = [
  [/\b(?:public\.)?"?vector"?\s*\(\s*\d+\s*\)/gi, 'text'],
  [/\b(?:public\.)?(?:geometry|geography)\s*(?:\([^()]*\))?/gi, 'text'],
]

function filesOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path]
  return readdirSync(path)
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .map((name) => join(path, name))
}

/** Lines of psql's own commands, and rows of COPY, do not belong to the schema. */
function withoutPsql(text: string): string {
  const lines: string[] = []
  let copying = false
  for (const line of text.replace(/^\uFEFF/, '').split('\n')) {
    if (copying) copying = !/^\\\.\s*$/.test(line)
    else if (/^copy\b.*\bfrom\s+stdin\b/i.test(line)) copying = true
    else if (!/^\s*\\/.test(line)) lines.push(line)
  }
  return lines.join('\n')
}

/** Runs every statement by itself. Those that fail are counted and named: the schema is what is there in the end. */
export async function build(sql: postgres.Sql, path: string): Promise<Built> {
  const built: Built = { name: basename(path), statements: 0, refused: [] }
  for (const file of filesOf(path)) {
    let text = withoutPsql(readFileSync(file, 'utf8'))
    for (const [type, instead] of TYPES) text = text.replace(type, instead)
    let statements: string[]
    try {
      statements = splitPieces(text, basename(file)).map((piece) => piece.sql)
    } catch (error) {
      built.refused.push(`${basename(file)}: ${String(error)}`)
      continue
    }
    for (const statement of statements) {
      // Everything belongs to one role here, and there is one database.
      if (
        /^\s*(?:alter\s+\S+.*owner\s+to|create\s+database|drop\s+database|grant|revoke|set\s+role)\b/is.test(statement)
      )
        continue
      built.statements++
      try {
        await sql.unsafe(statement).simple()
      } catch (error) {
        const { code = '', message = '' } = error as { code?: string; message?: string }
        built.refused.push(
          `${basename(file)}: ${code} ${message} <- ${statement.trim().slice(0, 70).replaceAll(/\s+/g, ' ')}`,
        )
      }
    }
  }
  await sql.unsafe('reset all').simple()
  return built
}

/** Rows that came with the schema would hide whether its tables can be filled. */
export async function empty(sql: postgres.Sql): Promise<void> {
  const tables = await sql<{ name: string }[]>`
    select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema') and not c.relispartition
      and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')`
  if (tables.length > 0) await sql.unsafe(`truncate ${tables.map(({ name }) => name).join(', ')} cascade`)
}
