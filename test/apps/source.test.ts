/** Programs behind the proxy, on a real server: what they send becomes operations, and nothing of them stays. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type postgres from 'postgres'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { programSource, type Program, type ProgramOptions, type ProgramSource } from '../../src/apps/source.js'
import { startClock } from '../../src/clock.js'
import { RehearsalError } from '../../src/errors.js'
import { pgError } from '../../src/pg/errors.js'
import { SampleRecorder } from '../../src/traffic/samples.js'
import type { Settled } from '../../src/traffic/settled.js'
import type { PhaseName } from '../../src/recording.js'
import { openProxy } from '../../src/wire/proxy.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { PROGRAMS } from './programs.js'

let server: TestServer
let admin: postgres.Sql
beforeAll(async () => {
  server = await startServer({
    fill: async (sql) => {
      await sql.unsafe(`
        create table users (id int primary key, email text); insert into users select g, g from generate_series(1, 10) g;
        create table orders (id int primary key, total int); insert into orders select g, g from generate_series(1, 10) g;
        create table totals (id int primary key, total int); insert into totals values (1, 1);
        grant all on all tables in schema public to app`)
    },
  })
  admin = connect(server.admin)
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})

/** A folder with the program's files and the packages of this repository. */
function folder(): string {
  const root = mkdtempSync(join(tmpdir(), 'rehearse-program-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(PROGRAMS)) writeFileSync(join(root, name), text)
  symlinkSync(new URL('../../node_modules', import.meta.url).pathname, join(root, 'node_modules'))
  mkdirSync(join(root, 'run'))
  return root
}

interface Running {
  source: ProgramSource
  samples: SampleRecorder
  settled: Settled[]
  errors: unknown[]
  root: string
  phase: (name: PhaseName, from: number, to: number) => void
}

function program(
  given: Partial<Program>,
  options: Partial<ProgramOptions> = {},
  samples = new SampleRecorder(),
): Running {
  const root = folder()
  const clock = startClock()
  const settled: Settled[] = []
  const errors: unknown[] = []
  const source = programSource({
    release: 'old',
    program: {
      command: 'node server.mjs',
      load: null,
      ready: null,
      readyWithinMs: 30_000,
      cwd: root,
      variables: [{ name: 'APP_DB', part: 'url' }],
      env: {},
      passEnv: [],
      allowHosts: [],
      binFolders: [],
      ...given,
    },
    address: server.app,
    directory: join(root, 'run'),
    shell: { PATH: process.env['PATH'], LANG: 'C', PRODUCTION_URL: 'postgres://u:secret@prod/x', PGHOST: 'prod' },
    ...options,
  })({
    clock,
    samples,
    onSettled: (one) => settled.push(one),
    onDeadlock: () => undefined,
    onClientError: (error) => errors.push(error),
  })
  onTestFinished(() => source.close())
  const phase = (name: PhaseName, from: number, to: number): void => {
    source.phase(name, clock.nowMs(), 1_000)
    source.setRate(clock.nowMs(), from, to, 1_000)
  }
  return { source, samples, settled, errors, root, phase }
}

async function eventually(check: () => boolean | Promise<boolean>): Promise<void> {
  for (let turn = 0; !(await check()); turn++) {
    if (turn > 1_500) throw new Error('it never came')
    await sleep(20)
  }
}

/** Processes that were started in this folder. */
const alive = (root: string): string[] =>
  execFileSync('sh', ['-c', `grep -ls -- "REHEARSE_CHILD=${root}" /proc/[0-9]*/environ || true`], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line !== '')

async function failure(promise: Promise<unknown>): Promise<RehearsalError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  )
  if (error instanceof RehearsalError) return error
  throw new Error('no RehearsalError', { cause: error })
}

const json = (root: string, name: string): Record<string, string> =>
  JSON.parse(readFileSync(join(root, name), 'utf8')) as Record<string, string>

const kinds = (settled: readonly Settled[]): string[] =>
  [
    ...new Set(
      settled.map(({ operation, sqlstate }) => `${operation.replace(/_[\da-f]{4}$/, '')} ${sqlstate ?? 'ok'}`),
    ),
  ].sort()

test(
  'a server with its load: each statement is an operation, with its waits and its errors',
  { retry: 0 },
  async () => {
    const running = program({ load: 'node load.mjs', ready: 'http://127.0.0.1:$PORT/user' })
    const { source, settled, samples, root, phase } = running
    await source.open()
    expect(settled).toEqual([])
    phase('baseline', 100, 100)
    await eventually(() => kinds(settled).length === 3 && settled.length > 30)
    // `select 1` is not the users' work.
    expect(kinds(settled)).toEqual(['select_orders ok', 'select_totals ok', 'select_users ok'])
    expect(settled.every(({ startMs, endMs, intendedMs }) => intendedMs === startMs && endMs >= startMs)).toBe(true)

    // Who waits is known by its backend, while it waits.
    const lock = await admin.reserve()
    await lock`begin`
    await lock`lock table users in access exclusive mode`
    const waiting = async (): Promise<number[]> =>
      (await lock<{ pid: number }[]>`select pid from pg_locks where not granted`).map(({ pid }) => pid)
    await eventually(async () => (await waiting()).length > 0)
    const [pid = 0] = await waiting()
    expect(source.running(pid)?.operation).toMatch(/^select_users_/)
    expect(source.running(1)).toBeNull()
    expect(source.sessions().map((one) => one.pid)).toContain(pid)
    expect(source.counts().running).toBeGreaterThan(0)
    await sleep(150)
    await lock`commit`
    lock.release()
    await eventually(() => settled.some((one) => one.pid === pid && one.endMs - one.startMs > 150))

    // A dropped column breaks what names it, a changed one what was prepared with it, and nothing else.
    const before = settled.length
    await admin.unsafe('alter table users drop column email')
    await admin.unsafe('alter table totals alter column total type bigint')
    await eventually(() => settled.slice(before).filter(({ sqlstate }) => sqlstate === '42703').length > 3)
    await eventually(() => settled.slice(before).some(({ sqlstate }) => sqlstate === '0A000'))
    const after = settled.length
    await eventually(() => settled.length > after + 20)
    expect(kinds(settled.slice(after))).toEqual(expect.arrayContaining(['select_orders ok', 'select_users 42703']))
    expect(kinds(settled).filter((one) => one.includes('orders'))).toEqual(['select_orders ok'])

    // What it found around it.
    const { APP_DB = '', DATABASE_URL, PORT } = json(root, 'server.json')
    expect(APP_DB).toBe(DATABASE_URL)
    expect(new URL(APP_DB)).toMatchObject({ username: 'app', hostname: '127.0.0.1' })
    expect(new URL(APP_DB).port).not.toBe(String(server.app.port))
    const load = json(root, 'load.json')
    expect(load['PORT']).toBe(PORT)
    const names = Object.keys(load)
    expect(names.filter((name) => /^PG|DATABASE|APP_DB|PRODUCTION|FLYWAY|GOOSE/.test(name))).toEqual([])
    expect(JSON.stringify([load, json(root, 'server.json')])).not.toContain('secret')

    source.stop()
    await source.idle()
    await source.abandon(pgError('57014'))
    await source.close()
    expect(alive(root)).toEqual([])
    const { operations, length, errors, outcome } = samples.finish()
    expect(length).toBe(settled.length)
    expect(outcome.filter((one) => one > 2)).toHaveLength(settled.filter(({ sqlstate }) => sqlstate !== null).length)
    expect(operations.every(({ scheduled }) => scheduled === false)).toBe(true)
    expect(errors.map(({ message }) => message)).toEqual(
      expect.arrayContaining(['column "email" does not exist', 'cached plan must not change result type']),
    )
    expect(source.operations().map(({ sql }) => sql[0])).toEqual(
      expect.arrayContaining([
        'select id, email from users where id = $1',
        'select count(*) from orders where total > $1',
      ]),
    )
    expect(source.counts()).toMatchObject({ scheduled: length, running: 0, queued: 0, dropped: 0 })
    expect(source.runs()).toMatchObject([
      { role: 'serve', command: 'node server.mjs', byItself: false, refused: ['db.production.example:5432'] },
      { role: 'load', exitCode: null, byItself: false, sessions: 0, refused: [] },
    ])
    expect(source.runs()[0]?.sessions).toBeGreaterThanOrEqual(3)
  },
)

test('a test suite is started again until its release has ended; the new release begins with the rollout', async () => {
  const samples = new SampleRecorder()
  const command = 'node suite.mjs'
  const old = program({ command }, {}, samples)
  const next = program({ command }, { release: 'new' }, samples)
  await Promise.all([old.source.open(), next.source.open()])
  old.phase('baseline', 10, 10)
  next.phase('baseline', 0, 0)
  await eventually(() => old.settled.length > 5)
  expect(kinds(old.settled)).toEqual(['commit ok', 'select_orders ok'])
  old.phase('migrate', 10, 10)
  next.phase('migrate', 1, 1)
  await sleep(300)
  expect(next.source.sessions()).toEqual([])
  old.phase('rollout', 10, 0)
  next.phase('rollout', 1, 10)
  await eventually(() => next.settled.length > 3)
  const until = old.settled.length
  await eventually(() => old.settled.length > until)
  old.phase('settled', 0, 0)
  next.phase('settled', 10, 10)
  await old.source.idle()
  expect(alive(old.root)).toEqual([])
  // Between two of its runs there may be none of it.
  await eventually(() => alive(next.root).length > 0)
  await next.source.close()
  await old.source.close()
  const runs = old.source.runs()
  expect(runs.length).toBeGreaterThan(2)
  expect(runs.slice(0, 2)).toMatchObject([
    { role: 'serve', exitCode: 0, byItself: true, sessions: 1 },
    { role: 'serve', exitCode: 0, byItself: true, sessions: 1 },
  ])
  expect(samples.operations.map(({ release }) => release).sort()).toEqual(['new', 'new', 'old', 'old'])
  expect([old, next].flatMap(({ source, errors }) => [...source.warnings(), ...errors])).toEqual([])
})

test('a program that never connects is one line, and is ended although it does not want to', async () => {
  const command = `node -e 'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)'`
  const { source, root } = program({ command, readyWithinMs: 700 }, { graceMs: 200 })
  const error = await failure(source.open())
  expect(error).toMatchObject({ code: 'PROGRAM_NOT_CONNECTED', exitCode: 3 })
  expect(error.message).toBe(
    `the program of the old release never connected to the rehearsal database (${command}): not within 0.7 s`,
  )
  expect(error.hint).toContain('It was given the address in DATABASE_URL, PGHOST..., APP_DB;')
  expect(alive(root)).not.toEqual([])
  await source.close()
  expect(alive(root)).toEqual([])
  expect(source.runs()).toMatchObject([{ exitCode: null, byItself: false, sessions: 0 }])
})

test('a program that wants another database, that fails, or that does not get ready says so', async () => {
  const connectElsewhere = `node -e 'require("net").connect(5432, "prod.example").on("error", () => process.exit(1))'`
  const [elsewhere, failing, silent] = await Promise.all(
    [
      { command: connectElsewhere },
      { command: `echo 'Error: no config at postgres://u:hunter2@x/y'; exit 7` },
      { command: `echo booting; sleep 60`, ready: '$PORT', readyWithinMs: 500 },
    ].map(async (given) => {
      const { source } = program(given)
      const error = await failure(source.open())
      await source.close()
      return { error, runs: source.runs(), warnings: source.warnings() }
    }),
  )
  expect(elsewhere?.error.message).toMatch(/it wanted to connect to prod\.example:5432, which was not let through$/)
  expect(failing?.error.message).toMatch(
    /it ended with exit code 7, 3 times in a row; it said: Error: no config at postgres:\/\/u:\*\*\*@x\/y$/,
  )
  expect(failing?.runs).toHaveLength(3)
  expect(failing?.warnings).toEqual([
    'The program of the old release was not started again: it ended with exit code 7, 3 times in a row.',
  ])
  expect(silent?.error.code).toBe('PROGRAM_NOT_READY')
  expect(silent?.error.message).toMatch(/127\.0\.0\.1:\d+ does not answer, not within 0\.5 s; it said: booting$/)
})

test('what a program sends is not kept', async () => {
  let told = 0
  const proxy = await openProxy({
    upstream: { ...server.app, tls: null },
    clock: startClock(),
    holdBack: () => false,
    forgets: true,
    onExchange: () => {
      told++
    },
  })
  const sql = connect(proxy.address)
  for (let i = 0; i < 5; i++) await sql.unsafe("do $$ begin raise notice 'x'; end $$")
  expect(proxy.sessions).toMatchObject([{ exchanges: [], notices: [] }])
  expect(told).toBeGreaterThan(4)
  await sql.end()
  await eventually(() => proxy.sessions.length === 0)
  await proxy.close()
})

test('a next release that does not start is a result: it is told, and stops nothing', async () => {
  const failures: string[] = []
  const next = program(
    { command: 'node nothere.mjs', ready: 'http://127.0.0.1:$PORT/' },
    { release: 'new', onFailure: ({ code }) => failures.push(code) },
  )
  await next.source.open()
  next.phase('rollout', 1, 10)
  await eventually(() => failures.length > 0)
  expect(failures).toEqual(['PROGRAM_NOT_READY'])
  await next.source.close()
  expect(next.errors).toEqual([])
  expect(next.source.runs().map(({ ready }) => ready)).toEqual([false, false, false])
  expect(next.source.warnings()[0]).toMatch(/^After the migration the program of the new release /)
  expect(alive(next.root)).toEqual([])
})
