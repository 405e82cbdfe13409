/** Which tables the pending migrations name, read from the parse tree. Pure. */
import { qualified } from '../pg/catalog.js'
import { parseSql, SqlSyntaxError, walk } from '../sql/parser.js'
import type { SchemaShape } from './types.js'

/** Names as in the recording. An index stands for its table. What does not parse names nothing. */
export function touchedTables(texts: readonly string[], shape: SchemaShape): Set<string> {
  const owner = new Map<string, string>()
  for (const table of shape.tables) {
    owner.set(table.name, table.name)
    for (const { name } of [...table.keys, ...table.indexes]) owner.set(qualified(table.schema, name), table.name)
  }
  const touched = new Set<string>()
  const note = (schema: string, name: string): void => {
    const table = owner.get(qualified(schema, name))
    if (table !== undefined) touched.add(table)
  }
  for (const text of texts) {
    let statements
    try {
      statements = parseSql(text)
    } catch (error) {
      if (error instanceof SqlSyntaxError) continue
      throw error
    }
    for (const { node } of statements)
      walk(node, (kind, fields) => {
        const name = fields['relname']
        if (typeof name === 'string')
          note(typeof fields['schemaname'] === 'string' ? fields['schemaname'] : 'public', name)
        else if (kind === 'DropStmt' && Array.isArray(fields['objects']))
          for (const object of fields['objects']) {
            const parts = namesIn(object)
            note(parts.length > 1 ? (parts.at(-2) ?? 'public') : 'public', parts.at(-1) ?? '')
          }
      })
  }
  return touched
}

function namesIn(object: unknown): string[] {
  const names: string[] = []
  walk(object, (kind, fields) => {
    if (kind === 'String' && typeof fields['sval'] === 'string') names.push(fields['sval'])
  })
  return names
}
