/** The safe way to the same end, as SQL where the statement's kind has a well-known one. Pure. */
import type { Finding, MigrationTool, Statement } from '../recording.js'
import { withConcurrently } from '../sql/concurrently.js'
import { quoteName, quoteQualified } from '../sql/identifiers.js'
import { toolName } from './tool-words.js'

type Advice = NonNullable<Finding['advice']>

/** How each tool runs something outside a transaction: advice that it cannot follow would be none. */
const OUTSIDE: Partial<Record<MigrationTool['tool'], string>> = {
  drizzle:
    'Drizzle runs every pending file in one transaction: build or drop it by hand or in a step of its own before the deploy, and write the migration with IF NOT EXISTS or IF EXISTS.',
  'node-pg-migrate': 'In node-pg-migrate that is a JS or TS migration with pgm.noTransaction(); an SQL file cannot.',
  prisma: 'In Prisma that is a migration whose file holds this one statement.',
  supabase: 'In Supabase that is a migration whose file holds this one statement.',
}

/** `table` is the table whose lock is in question. */
export function saferWay(statement: Statement, table: string, tool: MigrationTool | null = null): Advice {
  const advice = general(statement, table)
  const all = `${advice.text} ${advice.sql ?? ''}`
  const more = [
    ...(tool && /CONCURRENTLY|outside a transaction/i.test(all) ? [OUTSIDE[tool.tool] ?? ''] : []),
    ...(tool && ONE_FOR_ALL.includes(tool.tool) && /transaction of its own|its own transaction/.test(all)
      ? [`${toolName(tool)} runs all pending files in one transaction: that takes a deploy for each.`]
      : []),
  ].filter((sentence) => sentence !== '')
  return more.length === 0 ? advice : { ...advice, text: [advice.text, ...more].join(' ') }
}

/** Tools whose pending files share one transaction unless told otherwise. */
const ONE_FOR_ALL: readonly MigrationTool['tool'][] = ['drizzle', 'node-pg-migrate']

function general(statement: Statement, table: string): Advice {
  const action = (name: string): Statement['actions'][number] | undefined =>
    statement.actions.find((a) => a.action === name)
  if ((statement.kind === 'IndexStmt' || statement.kind === 'DropStmt') && !statement.concurrently) {
    const sql = withConcurrently(statement.sql)
    if (sql !== null)
      return {
        text:
          statement.kind === 'IndexStmt'
            ? 'Build it without blocking writes, outside a transaction; if it fails, drop the INVALID index and try again.'
            : 'Drop it without blocking anybody, outside a transaction.',
        sql: `${sql};`,
      }
  }
  if (statement.kind === 'ReindexStmt')
    return { text: 'Use REINDEX ... CONCURRENTLY, outside a transaction.', sql: null }
  if (statement.kind === 'RefreshMatViewStmt')
    return { text: 'Use REFRESH MATERIALIZED VIEW CONCURRENTLY; it needs a unique index.', sql: null }
  const notNull = action('AT_SetNotNull')
  if (notNull) return provedNotNull(table, notNull.name ?? '<column>')
  const constraint = statement.actions.find((a) => ['CONSTR_CHECK', 'CONSTR_FOREIGN'].includes(a.action) && !a.notValid)
  if (constraint)
    return {
      text: 'Add it NOT VALID, then VALIDATE CONSTRAINT in a transaction of its own: that blocks neither reads nor writes.',
      sql: null,
    }
  const unique = statement.actions.find((a) => ['CONSTR_UNIQUE', 'CONSTR_PRIMARY'].includes(a.action))
  if (unique)
    return {
      text: 'Build the unique index CONCURRENTLY first, then ADD CONSTRAINT ... USING INDEX, which takes an instant.',
      sql: null,
    }
  if (action('AT_AlterColumnType'))
    return { text: 'Add a new column, keep it in step by a trigger, fill it in batches, then switch over.', sql: null }
  if (action('AT_AddColumn'))
    return {
      text: 'Add the column without the volatile default, set the default for new rows, and fill the old ones in batches.',
      sql: null,
    }
  if (['UpdateStmt', 'DeleteStmt', 'InsertStmt', 'MergeStmt', 'DoStmt'].includes(statement.kind))
    return { text: 'Write in batches of a few thousand rows by primary key, each in its own transaction.', sql: null }
  return {
    text: 'Make the transaction that takes this lock as short as possible: nothing that scans or writes rows belongs into it.',
    sql: null,
  }
}

function provedNotNull(table: string, column: string): Advice {
  const name = quoteName(`${table.replace(/\W/g, '_')}_${column.replace(/\W/g, '_')}_not_null`)
  const quoted = quoteName(column)
  const relation = quoteQualified(table)
  return {
    text: 'Prove it first under a lock that blocks nobody: a CHECK that is NOT VALID, validated in a transaction of its own, lets SET NOT NULL skip the scan.',
    sql: [
      `alter table ${relation} add constraint ${name} check (${quoted} is not null) not valid;`,
      '-- in a transaction of its own:',
      `alter table ${relation} validate constraint ${name};`,
      '-- in the next:',
      `alter table ${relation} alter column ${quoted} set not null;`,
      `alter table ${relation} drop constraint ${name};`,
    ].join('\n'),
  }
}
