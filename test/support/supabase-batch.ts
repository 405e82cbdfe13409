/**
 * What `supabase migration up` sends, for lack of its program (Go, not on npm): read in its source (pkg/migration, pgx v4).
 * One pipelined batch a file, Parse, Bind, Describe and Execute for each statement, then the journal row, one Sync.
 */
import { readFile, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { parseSql } from '../../src/sql/parser.js'
import type { Address } from '../../src/pg/connect.js'
import type { Project, ToolRun } from './projects.js'

interface Step {
  text: string
  values?: string[]
}

const LIST = 'SELECT version FROM supabase_migrations.schema_migrations ORDER BY version'
const TABLE = [
  "SET lock_timeout = '4s'",
  'CREATE SCHEMA IF NOT EXISTS supabase_migrations',
  'CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (version text NOT NULL PRIMARY KEY)',
  'ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS statements text[]',
  'ALTER TABLE supabase_migrations.schema_migrations ADD COLUMN IF NOT EXISTS name text',
]
const INSERT = 'INSERT INTO supabase_migrations.schema_migrations(version, name, statements) VALUES($1, $2, $3)'

/** Sends some messages up to a Sync; resolves with the first column of all rows, rejects with the server's error. */
function sendMessages(client: pg.Client, send: (connection: pg.Connection) => void): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const ignore = () => undefined
    const first: string[] = []
    const messages = {
      submit(connection: pg.Connection) {
        send(connection)
        connection.sync()
      },
      // After an error the client waits for ReadyForQuery by itself.
      handleError: reject,
      handleReadyForQuery: () => resolve(first),
      handleRowDescription: ignore,
      handleDataRow: ({ fields: [text] }: { fields: string[] }) => first.push(text ?? ''),
      handleCommandComplete: ignore,
      handleEmptyQuery: ignore,
      handlePortalSuspended: ignore,
    }
    client.query(messages)
  })
}

const sendBatch = (client: pg.Client, steps: readonly Step[]): Promise<string[]> =>
  sendMessages(client, (connection) => {
    for (const { text, values = [] } of steps) {
      connection.parse({ name: '', text, types: [] }, true)
      connection.bind({ values }, true)
      connection.describe({ type: 'P', name: '' }, true)
      connection.execute({ portal: '' }, true)
    }
  })

/** As pgx does with a single statement: prepared under a name, then executed, each with a Sync of its own. */
async function sendPrepared(client: pg.Client, text: string): Promise<string[]> {
  const name = 'lrupsc_1_0'
  await sendMessages(client, (connection) => {
    connection.parse({ name, text, types: [] }, true)
    connection.describe({ type: 'S', name }, true)
  })
  return sendMessages(client, (connection) => {
    connection.bind({ statement: name, values: [] }, true)
    connection.execute({ portal: '' }, true)
  })
}

const arrayText = (items: readonly string[]): string =>
  `{${items.map((item) => `"${item.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`).join(',')}}`

/** Runs it in a project with `supabase/migrations`; a failure of the server is exit code 1 and its message on stderr. */
export async function runSupabaseBatch(project: Project, address: Address): Promise<ToolRun> {
  const { host, port, database, user, password } = address
  const client = new pg.Client({ host, port, database, user, password })
  await client.connect()
  let stderr = ''
  try {
    const applied = await sendPrepared(client, LIST).catch(() => [] as string[])
    const folder = join(project.root, 'supabase/migrations')
    const files = (await readdir(folder)).filter((file) => /^\d+_.*\.sql$/.test(file)).sort()
    const pending = files.filter((file) => !applied.includes(file.split('_')[0] ?? ''))
    if (pending.length > 0)
      await sendBatch(
        client,
        TABLE.map((text) => ({ text })),
      )
    for (const file of pending) {
      stderr += `Applying migration ${file}...\n`
      await client.query('RESET ALL')
      const text = await readFile(join(folder, file), 'utf8')
      const statements = parseSql(text).map(({ start, end }) => text.slice(start, end).trim())
      const [, version = '', name = ''] = /^([0-9]+)_(.*)\.sql$/.exec(file) ?? []
      const journal = { text: INSERT, values: [version, name, arrayText(statements)] }
      await sendBatch(client, [...statements.map((statement) => ({ text: statement })), journal])
    }
    return { exitCode: 0, stdout: '', stderr }
  } catch (error) {
    return { exitCode: 1, stdout: '', stderr: `${stderr}${error instanceof Error ? error.message : String(error)}\n` }
  } finally {
    await client.end()
  }
}
