/** Statements that are not played, whatever the schema looks like, and why. Pure. */
import { NOT_EXPORTED } from '../../profile/statements-sql.js'
import type { Node } from '../../sql/parser.js'
import { factsOfNode } from '../../sql/facts.js'
import { lex } from '../../sql/lexer.js'
import { walk } from '../../sql/parser.js'
import { listOf, ofKind, stringsOf, tagged, textOf } from './tree.js'

export interface Refused {
  /** Shown in place of the statement's text; null to show the text itself. */
  what: string | null
  reason: string
  /** Opens, closes or sets up something of the session and touches no table. */
  session: boolean
}

const refused = (reason: string, what: string | null = null, session = false): Refused => ({ what, reason, session })

/** Roles of providers, whose statements are no application's. */
const PROVIDERS = new Set([
  ...['rdsadmin', 'rdsrepladmin', 'azuresu', 'azure_superuser', 'cloudsqladmin', 'cloudsqlagent', 'alloydbadmin'],
  ...['cloud_admin', 'supabase_admin', 'supabase_read_only_user', 'datadog', 'pganalyze', 'postgres_exporter'],
])
export const isProvider = (user: string | null | undefined): boolean =>
  typeof user === 'string' && PROVIDERS.has(user.toLowerCase())

const SESSION = new Set([
  ...[
    'BEGIN',
    'COMMIT',
    'ROLLBACK',
    'SAVEPOINT',
    'RELEASE',
    'SET',
    'RESET',
    'SHOW',
    'PREPARE',
    'DEALLOCATE',
    'DISCARD',
  ],
  ...['EXECUTE', 'DECLARE', 'FETCH', 'MOVE', 'CLOSE', 'LISTEN', 'UNLISTEN'],
])
/** First words of statements that PREPARE does not take. */
const UTILITY = new Set([
  ...SESSION,
  ...['COPY', 'VACUUM', 'ANALYZE', 'EXPLAIN', 'CALL', 'DO', 'CREATE', 'ALTER', 'DROP', 'TRUNCATE', 'LOCK', 'NOTIFY'],
  ...[
    'REFRESH',
    'CHECKPOINT',
    'REINDEX',
    'CLUSTER',
    'GRANT',
    'REVOKE',
    'COMMENT',
    'REASSIGN',
    'SECURITY',
    'IMPORT',
    'LOAD',
  ],
])
const FOLDED: Readonly<Record<string, string>> = {
  START: 'BEGIN',
  END: 'COMMIT',
  ABORT: 'ROLLBACK',
  ANALYSE: 'ANALYZE',
}

/** Functions that act outside the database or on other sessions, or leave something behind in the session. */
const OUTSIDE =
  /^(?:dblink.*|pg_sleep.*|lo_.*|lowrite|loread|pg_(?:terminate|cancel)_backend|pg_reload_conf|pg_rotate_logfile|pg_switch_wal|pg_promote|pg_(?:create|drop|copy|advance)_.*(?:slot|point).*|pg_replication_.*|pg_logical_.*|pg_(?:read|stat|ls|file)_(?:file|binary_file|dir|.*dir|write|sync|rename|unlink).*|pg_wal_replay_.*|pg_backup_.*|pg_(?:start|stop)_backup|pg_stat_reset.*|pg_stat_statements_reset|pg_export_snapshot|pg_import_system_collations|http|http_.*|net_http.*|file_fdw.*|query_to_xml.*|cursor_to_xml.*|table_to_xml.*)$/
const OUTSIDE_SCHEMAS = new Set(['net', 'cron', 'aws_lambda', 'aws_s3', 'aws_commons', 'http', 'dblink'])
const SESSION_LOCKS = /^pg_(?:try_)?advisory_(?:lock|unlock).*$/
/** Functions of the server's own that applications call as part of their work. */
const OF_APPLICATIONS = /^pg_(?:notify|(?:try_)?advisory_xact_lock.*|get_serial_sequence|typeof|column_size|sleep)$/

/** What can be told from the text alone: nothing to parse, or a statement that brings its text cut or held back. */
export function refuseText(text: string): Refused | null {
  const trimmed = text.trim()
  if (trimmed === NOT_EXPORTED)
    return refused('its text had constants in it and was left in production', '(text not in the profile)')
  if (trimmed.startsWith('<') || trimmed === '')
    return refused('its text was not readable for who took the profile', '(text not in the profile)')
  const word = firstWord(trimmed)
  if (/^\w+$/.test(trimmed) && UTILITY.has(word)) return utility(word)
  return null
}

/** A text that does not parse. */
export function refuseUnparsed(text: string): Refused {
  const word = firstWord(text)
  return UTILITY.has(word) ? utility(word) : refused('its text does not parse: it may be cut')
}

function utility(word: string): Refused {
  return refused(
    word === 'CALL' || word === 'DO' ? 'what its code does is not known' : 'a utility statement, not played',
    word,
    SESSION.has(word),
  )
}

function firstWord(text: string): string {
  for (const { kind, start, end } of lex(text)) {
    const word = text.slice(start, end).toUpperCase()
    if (kind === 'word') return FOLDED[word] ?? word
    if (kind !== 'space' && kind !== 'comment' && word !== '(') return ''
  }
  return ''
}

/** What its parse tree says. `isTable` tells names of the application's tables and views from the server's. */
export function refuseTree(
  kind: string,
  node: Node,
  text: string,
  isTable: (schema: string, name: string) => boolean,
): Refused | null {
  if (!factsOfNode(kind, node).isPreparable) return utility(firstWord(text) || kind)
  const relations: { schema: string; name: string }[] = []
  const functions: { schema: string; name: string }[] = []
  const ctes = new Set<string>()
  const seen = { into: false, temporary: false }
  // The table that is written to is a field, not a node.
  walk([node], (name, fields) => {
    if (name === 'RangeVar' || name === 'relation') {
      const found = tagged(fields)?.kind === 'RangeVar' ? ofKind(fields, 'RangeVar') : fields
      if (textOf(found, 'relname') !== '') {
        relations.push({ schema: textOf(found, 'schemaname'), name: textOf(found, 'relname') })
        seen.temporary ||= textOf(found, 'schemaname').startsWith('pg_temp') || found?.['relpersistence'] === 't'
      }
    } else if (name === 'FuncCall') {
      const names = stringsOf(listOf(fields, 'funcname'))
      functions.push({ schema: names.at(-2) ?? '', name: names.at(-1) ?? '' })
    } else if (name === 'CommonTableExpr') ctes.add(textOf(fields, 'ctename'))
    else if (name === 'intoClause') seen.into = true
  })
  if (seen.into) return refused('makes a table')
  if (seen.temporary) return refused('uses a temporary table')
  for (const { schema, name } of functions) {
    if (OUTSIDE.test(name) || OUTSIDE_SCHEMAS.has(schema))
      return refused(`calls ${name}, which acts outside the database`)
    if (SESSION_LOCKS.test(name)) return refused(`calls ${name}, whose lock outlives the statement`)
    if (name === 'set_config') return refused('sets something of the session', null, true)
  }
  const theirs = relations.filter(
    ({ schema, name }) => isTable(schema, name) || !(isSystem(schema, name) || ctes.has(name)),
  )
  if (theirs.length > 0) return null
  if (relations.some(({ schema, name }) => isSystem(schema, name)))
    return refused("reads only the server's own catalog and statistics")
  if (functions.some(({ schema, name }) => schema === '' && name.startsWith('pg_') && !OF_APPLICATIONS.test(name)))
    return refused("asks only for the server's own state")
  return null
}

const isSystem = (schema: string, name: string): boolean =>
  schema === 'pg_catalog' || schema === 'information_schema' || (schema === '' && name.startsWith('pg_'))
