/** Passes on a small server of the tests' own. */
import type { PassInput } from '../../src/pass/context.js'
import type { TimedInput } from '../../src/pass/timed.js'
import type { MigrationFile, TransactionMode } from '../../src/recording.js'
import { splitSql } from '../../src/sql/split.js'
import type { Operation } from '../../src/traffic/operation.js'
import { parseScript } from '../../src/traffic/script.js'
import type { TestServer } from '../support/postgres.js'

const NONE = '-- rehearse: no-transaction\n'

/** Files `1.sql`, `2.sql`... */
export const migrationFiles = (texts: readonly string[], mode: TransactionMode = 'file'): Promise<MigrationFile[]> =>
  Promise.all(
    texts.map(async (text, i) => ({
      file: `${i + 1}.sql`,
      sha256: '',
      transaction: text.startsWith(NONE) ? ('none' as const) : mode,
      name: null,
      kind: 'sql' as const,
      statements: await splitSql(text, `${i + 1}.sql`),
    })),
  )

export const oldTraffic = (text: string): Operation[] => parseScript(text, 'old.sql', 'old')
export const newTraffic = (text: string): Operation[] => parseScript(text, 'new.sql', 'new')

export const passInput = (server: TestServer, over: Partial<PassInput>): PassInput => ({
  copiedBy: 'copy',
  admin: server.admin,
  migrate: server.migrate,
  app: server.app,
  migrations: [],
  transaction: 'file',
  tool: null,
  rollback: null,
  checks: [],
  operations: [],
  rows: 100,
  seed: 1,
  maxDurationMs: 60_000,
  emit: () => undefined,
  signal: new AbortController().signal,
  ...over,
})

export const timedInput = (server: TestServer, over: Partial<TimedInput>): TimedInput => ({
  ...passInput(server, over),
  rate: 60,
  connections: 4,
  phases: { warmupMs: 200, baselineMs: 600, rolloutMs: 400, settleMs: 200 },
  taken: new Map(),
  ...over,
})
