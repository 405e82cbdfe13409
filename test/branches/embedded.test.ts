import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import type postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { locate } from '../../src/branches/binaries.js'
import { branches, grantApp, type Branch, type Copy } from '../../src/branches/index.js'
import { RehearsalError } from '../../src/errors.js'
import { ROLES, connect } from '../support/postgres.js'

const { embedded } = branches

/** Settings of a server as it reports them, in their plain text form. */
async function show(sql: postgres.Sql, names: string[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of names) {
    const [row] = await sql<{ value: string }[]>`SELECT current_setting(${name}) AS value`
    found[name] = row?.value ?? ''
  }
  return found
}

const code = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: unknown) => (error instanceof RehearsalError ? error.code : String(error)),
  )

/** 16 and 17 are installed on demand. In CI their absence is a failure, elsewhere it is said in the name. */
const majors = await Promise.all(
  [18, 17, 16].map(async (major) => {
    const missing = await locate(major).then(
      () => false,
      () => true,
    )
    const skipped = missing && (process.env['CI'] ?? '') === ''
    return { major, skipped, title: `a branch of PostgreSQL ${major}${skipped ? ' (skipped: not installed)' : ''}` }
  }),
)
const [absent, present] = [true, false].map((skipped) => majors.filter((one) => one.skipped === skipped))
describe.skip.each(absent ?? [])('$title', () => {
  test('everything', () => undefined)
})

describe.each(present ?? [])('$title', ({ major }) => {
  let branch: Branch
  let copy: Copy

  beforeAll(async () => {
    branch = await embedded.open({ major, roles: ROLES, settings: { work_mem: '5MB' } })
    const admin = connect(branch.address('admin'))
    const migrate = connect(branch.address('migrate'))
    expect(await show(admin, ['fsync', 'autovacuum', 'wal_level', 'listen_addresses', 'server_encoding'])).toEqual({
      fsync: 'off',
      autovacuum: 'off',
      wal_level: 'minimal',
      listen_addresses: '127.0.0.1',
      server_encoding: 'UTF8',
    })
    await migrate`CREATE TABLE person (id int PRIMARY KEY, email text UNIQUE)`
    await migrate`INSERT INTO person SELECT i, 'user' || i FROM generate_series(1, 1000) AS i`
    await grantApp(admin, ROLES.app)
    await Promise.all([admin.end(), migrate.end()])
    await branch.seal()
    copy = await branch.fork('first pass')
  })
  afterAll(async () => {
    const directory = dirname(copy.dataDirectory)
    await branch.close()
    await branch.close()
    expect(existsSync(directory)).toBe(false)
  })

  test('is the major, encoding and collation that it says', async () => {
    const sql = connect(copy.address('admin'))
    const [row] = await sql<{ version: string; provider: string; locale: string }[]>`
      SELECT current_setting('server_version_num') AS version, datlocprovider AS provider,
             ${sql.unsafe(major >= 17 ? 'datlocale' : 'daticulocale')} AS locale
      FROM pg_database WHERE datname = current_database()`
    await sql.end()
    expect(branch.major).toBe(major)
    expect(row?.version.slice(0, 2)).toBe(String(major))
    expect([row?.provider, row?.locale]).toEqual(major >= 17 ? ['b', 'C.UTF-8'] : ['i', 'und'])
    expect(branch.collation).toBe(major >= 17 ? 'C.UTF-8 (builtin)' : 'und (icu)')
    expect(branch.encoding).toBe('UTF8')
  })

  test('copies are measured with production-like settings', async () => {
    const sql = connect(copy.address('app'))
    expect(
      await show(sql, [
        ...['fsync', 'synchronous_commit', 'full_page_writes', 'autovacuum', 'wal_level', 'work_mem'],
        ...['deadlock_timeout', 'log_lock_waits', 'max_connections', 'lc_messages'],
      ]),
    ).toEqual({
      fsync: 'on',
      synchronous_commit: 'on',
      full_page_writes: 'on',
      autovacuum: 'on',
      wal_level: 'replica',
      work_mem: '5MB',
      deadlock_timeout: '1s',
      log_lock_waits: 'on',
      max_connections: '200',
      lc_messages: 'C',
    })
    await sql.end()
  })

  test('copies are equal, independent, and take settings of their own', async () => {
    const second = await branch.fork('../second: pass', { work_mem: '6MB' })
    expect(dirname(second.dataDirectory)).toBe(dirname(copy.dataDirectory))
    const [one, two] = [connect(copy.address('migrate')), connect(second.address('migrate'))]
    await one`DELETE FROM person WHERE id <= 10`
    const [row] = await two<{ n: number }[]>`SELECT count(*)::int AS n FROM person`
    expect(row?.n).toBe(1000)
    expect(await show(two, ['work_mem'])).toEqual({ work_mem: '6MB' })
    await one`INSERT INTO person SELECT i, 'user' || i FROM generate_series(1, 10) AS i`
    await Promise.all([one.end(), two.end()])
    await second.stop()
    await second.stop()
    expect(existsSync(second.dataDirectory)).toBe(false)
    expect(existsSync(second.serverLog)).toBe(true)
  })

  test('the two roles have no more rights than in production', async () => {
    const [migrate, app] = [connect(copy.address('migrate')), connect(copy.address('app'))]
    const roles = await migrate`
      SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname IN ('app', 'owner')`
    expect(roles).toHaveLength(2)
    for (const { rolsuper, rolcreatedb, rolcreaterole, rolbypassrls } of roles)
      expect([rolsuper, rolcreatedb, rolcreaterole, rolbypassrls]).toEqual([false, false, false, false])
    await app`UPDATE person SET email = email WHERE id = 1`
    await expect(app`ALTER TABLE person ADD COLUMN x int`).rejects.toMatchObject({ code: '42501' })
    await expect(app`CREATE TABLE mine (id int)`).rejects.toMatchObject({ code: '42501' })
    await expect(migrate`SELECT pg_read_file('postgresql.conf')`).rejects.toMatchObject({ code: '42501' })
    await migrate`CREATE SCHEMA later`
    await migrate`CREATE TABLE later.made_by_migration (id int GENERATED ALWAYS AS IDENTITY)`
    await app`INSERT INTO later.made_by_migration DEFAULT VALUES`
    await migrate`DROP SCHEMA later CASCADE`
    await Promise.all([migrate.end(), app.end()])
  })

  test('a password is needed, and is in no file of the run directory', async () => {
    const address = copy.address('admin')
    const sql = connect({ ...address, password: 'guess' })
    await expect(sql`SELECT 1`).rejects.toMatchObject({ code: '28P01' })
    await sql.end()
    const directory = dirname(copy.dataDirectory)
    const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    expect(files.length).toBeGreaterThan(500)
    for (const file of files)
      expect(readFileSync(join(file.parentPath, file.name)).includes(address.password), file.name).toBe(false)
    expect(statSync(copy.dataDirectory).mode & 0o077).toBe(0)
  })

  test('the log tells about lock waits and holds no value of a row', async () => {
    const canary = 'canary-7f3a'
    const [one, two] = [connect(copy.address('migrate')), connect(copy.address('app'))]
    await one`DELETE FROM person WHERE email LIKE 'canary%'`
    await one`INSERT INTO person VALUES (5000, ${canary})`
    await expect(one`INSERT INTO person VALUES (5001, ${canary})`).rejects.toMatchObject({ code: '23505' })
    await expect(one.unsafe(`SELECT '${canary}'::int`)).rejects.toMatchObject({ code: '22P02' })
    await expect(one`SELECT ${canary}::text::int`).rejects.toMatchObject({ code: '22P02' })
    await expect(
      one.unsafe(`DO $$ BEGIN RAISE WARNING '${canary}'; RAISE EXCEPTION '${canary}'; END $$`),
    ).rejects.toThrow()
    await one.unsafe(`BEGIN; UPDATE person SET email = email WHERE email = '${canary}'`)
    const waiting = two`UPDATE person SET email = email || ${canary} WHERE email = ${canary}`
    const started = waiting.execute()
    await new Promise((resolve) => setTimeout(resolve, 1500))
    await one.unsafe('COMMIT')
    await started
    await Promise.all([one.end(), two.end()])
    const log = readFileSync(copy.serverLog, 'utf8')
    expect(log).toMatch(/still waiting for ShareLock on transaction/)
    expect(log).not.toContain('canary')
    expect(log).not.toMatch(/STATEMENT:|DETAIL:|CONTEXT:/)
  })
})

describe('what cannot be opened', () => {
  test('a port in use', async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', () => resolve()))
    const address = taken.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    expect(await code(embedded.open({ major: 18, roles: ROLES, port }))).toBe('NO_PORT')
    taken.close()
  })

  test.each([
    [{ fsync: 'perhaps' }, /parameter "fsync" requires a Boolean value/],
    [{ no_such_setting: 'x' }, /no_such_setting/],
    [{ log_min_messages: 'debug5' }, /log_min_messages is decided by the rehearsal/],
    [{ 'x y': '1' }, /not the name of a server setting/],
  ])('settings %j', async (settings: Record<string, string>, message) => {
    const opening = embedded.open({ major: 18, roles: ROLES, settings })
    await expect(opening).rejects.toMatchObject({ code: 'USAGE' })
    await expect(opening).rejects.toThrow(message)
  })

  test('a setting that only shows when the server starts', async () => {
    const opening = embedded.open({ major: 18, roles: ROLES, settings: { shared_preload_libraries: 'missing_one' } })
    await expect(opening).rejects.toMatchObject({ code: 'SERVER_FAILED' })
    await expect(opening).rejects.toThrow(/missing_one/)
  })

  test('an aborted signal gives its reason', async () => {
    const abort = new AbortController()
    const opening = embedded.open({ major: 18, roles: ROLES, signal: abort.signal })
    setTimeout(() => abort.abort(new RehearsalError('INTERRUPTED', { signal: 'SIGINT' })), 150)
    expect(await code(opening)).toBe('INTERRUPTED')
  })
})

test('names as in production: postgres as owner, quotes, one role for both, a fixed port', async () => {
  const probe = createServer()
  const port = await new Promise<number>((resolve) =>
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    }),
  )
  const roles = { migrate: 'postgres', app: 'postgres' }
  const branch = await embedded.open({ major: 18, roles, database: `my "app"'s`, port })
  try {
    expect(branch.address('admin').user).not.toBe('postgres')
    await branch.seal()
    const copy = await branch.fork('a')
    expect(copy.address('app').port).toBe(port)
    const sql = connect(copy.address('migrate'))
    const [row] =
      await sql`SELECT current_user AS me, current_database() AS db, current_setting('is_superuser') AS super`
    expect(row).toEqual({ me: 'postgres', db: `my "app"'s`, super: 'off' })
    await sql.end()
    expect(await code(branch.fork('b'))).toBe('NO_PORT')
  } finally {
    await branch.close()
  }
})

test('closing in the middle of a fork leaves nothing and ends the fork', async () => {
  const branch = await embedded.open({ major: 18, roles: ROLES })
  await branch.seal()
  const forking = branch.fork('late')
  const outcome = code(forking)
  await new Promise((resolve) => setTimeout(resolve, 60))
  await branch.close()
  expect(await outcome).not.toBe('no error')
  await expect(branch.fork('too late')).rejects.toThrow(/closed/)
})
