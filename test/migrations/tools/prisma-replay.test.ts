/** The replay of `prisma migrate deploy` against a real server that writes down what it was sent. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Address } from '../../../src/pg/connect.js'
import { sha256 } from '../../../src/migrations/tools/files.js'
import { PRISMA_SQL, replayPrisma } from '../../../src/migrations/tools/prisma-replay.js'
import type { MigrationSource } from '../../../src/migrations/tools/types.js'
import { connect } from '../../support/postgres.js'
import { logOf, startLogServer, type LogServer } from '../../support/server-log.js'

let server: LogServer
let count = 0

beforeAll(async () => {
  server = await startLogServer(18)
})
afterAll(() => server.stop())

const migration = (name: string, text: string): MigrationSource => ({
  ...{ name, text, sql: text, kind: 'sql', sha256: sha256(text) },
  ...{ path: `/p/prisma/migrations/${name}/migration.sql`, shown: `prisma/migrations/${name}/migration.sql` },
})
const A = migration('20240101_a', 'CREATE TABLE a (id int);\nINSERT INTO a VALUES (1);\n')
const B = migration('20240102_b', 'ALTER TABLE a ADD COLUMN n int;')

const fresh = (): Promise<Address> => server.database(`prisma_${++count}`)
const deploy = (address: Address, files: MigrationSource[], options = {}) =>
  replayPrisma({ address, files, signal: AbortSignal.timeout(30_000) }, options)

async function rowsOf<T extends object>(address: Address, sql: string): Promise<T[]> {
  const client = connect(address)
  try {
    return (await client.unsafe<T[]>(sql)).map((row) => ({ ...row }))
  } finally {
    await client.end()
  }
}
const journal = (address: Address): Promise<Record<string, unknown>[]> =>
  rowsOf(
    address,
    `SELECT migration_name, checksum, applied_steps_count, finished_at IS NOT NULL AS finished, logs IS NOT NULL AS logs
     FROM _prisma_migrations ORDER BY started_at`,
  )

describe('a deploy to an empty database', () => {
  it('sends what the engine sends: every script is one simple Query outside any transaction of its own', async () => {
    const address = await fresh()
    expect(await deploy(address, [A, B])).toEqual({
      exitCode: 0,
      lines: [
        '2 migrations found in prisma/migrations',
        'The following migration(s) have been applied:',
        ...['20240101_a', '20240102_b', 'All migrations have been successfully applied.'],
      ],
    })
    const log = await logOf(server, address.database)
    const sent = log.filter(({ kind }) => kind === 'statement' || kind === 'execute')
    const file = (script: string) => [
      ['execute', PRISMA_SQL.start],
      ['statement', script],
      ['execute', PRISMA_SQL.step],
      ['execute', PRISMA_SQL.finish],
    ]
    expect(sent.map(({ kind, sql }) => [kind, sql])).toEqual([
      ['execute', PRISMA_SQL.version],
      ['execute', PRISMA_SQL.schema],
      ['statement', PRISMA_SQL.lock],
      ['execute', PRISMA_SQL.tables],
      ['statement', PRISMA_SQL.create],
      ['execute', PRISMA_SQL.list],
      ...file(A.text),
      ...file(B.text),
    ])
    expect(new Set(sent.map(({ pid }) => pid)).size).toBe(1)
    expect(new Set(sent.map(({ vxid }) => vxid)).size).toBe(sent.length)
    expect(await journal(address)).toEqual(
      [A, B].map(({ name, sha256: checksum }) => ({
        ...{ migration_name: name, checksum, applied_steps_count: 1, finished: true, logs: false },
      })),
    )
  })

  it('runs only what is pending the second time', async () => {
    const address = await fresh()
    await deploy(address, [A])
    expect((await deploy(address, [A, B])).exitCode).toBe(0)
    expect(await deploy(address, [A, B])).toMatchObject({
      exitCode: 0,
      lines: [expect.any(String), 'No pending migrations to apply.'],
    })
    expect(await journal(address)).toHaveLength(2)
  })
})

describe('a failing deploy', () => {
  it('leaves nothing of the file, a row with the logs, and refuses the next time', async () => {
    const address = await fresh()
    const bad = migration('20240103_c', `CREATE TABLE c (id int);\nINSERT INTO a VALUES ('canary-value');`)
    const failed = await deploy(address, [A, bad, B])
    expect(failed.exitCode).toBe(1)
    expect(failed.lines.join('\n')).toMatch(/P3018[^]*Migration name: 20240103_c[^]*Database error code: 22P02/)
    expect(failed.lines.join('\n')).not.toContain('canary-value')
    expect(await rowsOf(address, `SELECT to_regclass('c') IS NULL AS gone`)).toEqual([{ gone: true }])
    expect((await journal(address)).map((row) => [row['migration_name'], row['finished'], row['logs']])).toEqual([
      ['20240101_a', true, false],
      ['20240103_c', false, true],
    ])
    const again = await deploy(address, [A, bad, B])
    expect(again.exitCode).toBe(1)
    expect(again.lines.join('\n')).toMatch(/P3009[^]*20240103_c/)
    expect(await journal(address)).toHaveLength(2)
  })

  it('cannot build an index concurrently beside another statement, and can alone', async () => {
    const address = await fresh()
    const index = 'CREATE INDEX CONCURRENTLY i ON a (id);'
    expect((await deploy(address, [A, migration('20240102_i', index)])).exitCode).toBe(0)
    const both = await deploy(address, [
      A,
      migration('20240102_i', index),
      migration('20240103_j', `SELECT 1; ${index}`),
    ])
    expect(both.lines.join('\n')).toContain('Database error code: 25001')
  })

  it('does not wait for data that nobody sends', async () => {
    const address = await fresh()
    const copied = await deploy(address, [A, migration('20240102_copy', 'COPY a FROM STDIN;')])
    expect(copied.lines.join('\n')).toContain('P3018')
  })

  it('refuses a database with tables and without a journal', async () => {
    const address = await fresh()
    await rowsOf(address, 'CREATE TABLE spatial_ref_sys (id int)')
    expect((await deploy(address, [])).exitCode).toBe(0)
    await rowsOf(address, 'DROP TABLE _prisma_migrations; ')
    await rowsOf(address, 'CREATE TABLE users (id int)')
    const refused = await deploy(address, [A])
    expect(refused).toMatchObject({ exitCode: 1, lines: [expect.any(String), expect.stringMatching(/^P3005: /)] })
    expect(await rowsOf(address, `SELECT to_regclass('_prisma_migrations') IS NULL AS none`)).toEqual([{ none: true }])
  })
})

describe('two deploys at once', () => {
  it('the second waits for the lock, gives up with P1002, or does without it', async () => {
    const address = await fresh()
    const holder = connect(address)
    try {
      await holder.unsafe('SELECT pg_advisory_lock(72707369)')
      const late = await deploy(address, [A], { lockTimeoutMs: 200 })
      expect(late.exitCode).toBe(1)
      expect(late.lines.join('\n')).toMatch(/P1002[^]*Elapsed: 200ms/)
      expect((await deploy(address, [A], { withoutLock: true })).exitCode).toBe(0)
      const waiting = deploy(address, [A, B])
      await holder.unsafe('SELECT pg_advisory_unlock(72707369)')
      expect((await waiting).exitCode).toBe(0)
    } finally {
      await holder.end()
    }
  })
})

describe('stopping', () => {
  it('ends the session in the middle of a statement', async () => {
    const address = await fresh()
    const stop = new AbortController()
    const running = replayPrisma({
      ...{ address, signal: stop.signal },
      files: [A, migration('20240102_slow', 'SELECT pg_sleep(60);')],
    })
    const watcher = connect(server.superuser(address))
    const sleeping = `SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = '${address.database}'`
    while ((await watcher.unsafe(sleeping)).length === 0);
    stop.abort()
    await expect(running).rejects.toThrow()
    await watcher.end()
  })
})
