/**
 * Do disturbance passes show what happens? Sessions that do the same by hand, with the driver alone and none of the code
 * under test, are the oracle: the same disturbance, the same ALTER TABLE, one who reads, one who writes, one elsewhere.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { disturbedPass } from '../../src/pass/disturbed.js'
import type { DisturbanceKind, DisturbancePass, LockMode, LockTaken } from '../../src/recording.js'
import { migrationFiles, oldTraffic, timedInput } from '../pass/build.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'

const LASTS_MS = 1_500
/** By how much two runs on a busy machine may differ. */
const TOLERANCE_MS = 400
/** Whoever waits longer than this was blocked: everything here takes a millisecond. */
const BLOCKED_MS = 120
const TIMEOUT_MS = 300
const PAUSE_MS = 250

let server: TestServer
let admin: ReturnType<typeof connect>

beforeAll(async () => {
  server = await startServer({ settings: { max_prepared_transactions: '10' } })
  admin = connect(server.admin)
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})
beforeEach(async () => {
  const owner = connect(server.migrate)
  // Enough pages for a VACUUM that lasts.
  await owner.unsafe(`
    drop table if exists a, b;
    create table a (id int primary key, v int); insert into a select g, g from generate_series(1, 20000) g;
    create table b (id int primary key, v int); insert into b select g, g from generate_series(1, 100) g;
    grant all on a, b to app;`)
  await owner.end()
})

const ADD = 'alter table a add column w int'
const STATISTICS = 'alter table a alter column v set statistics 50'

interface Case {
  kind: DisturbanceKind
  migration: string
  mode: LockMode
  /** Whether it waits for the disturbance: by table 13.2 of the documentation. */
  waits: boolean
  retries: boolean
}

const KINDS: DisturbanceKind[] = ['long-read', 'idle-in-transaction', 'dump', 'vacuum', 'prepared-transaction']
const CASES: Case[] = [
  ...KINDS.flatMap((kind) =>
    [false, true].map((retries): Case => ({ kind, migration: ADD, mode: 'ACCESS EXCLUSIVE', waits: true, retries })),
  ),
  { kind: 'vacuum', migration: STATISTICS, mode: 'SHARE UPDATE EXCLUSIVE', waits: true, retries: false },
  { kind: 'dump', migration: STATISTICS, mode: 'SHARE UPDATE EXCLUSIVE', waits: false, retries: false },
]

interface Seen {
  /** Longest wait of the ALTER TABLE, one try of several. */
  waitedMs: number
  /** From its beginning to the end of the disturbance. */
  disturbedMs: number
  states: string[]
  blocked: string[]
  longestMs: number
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))

/** Starts the disturbance; what is returned ends it. */
async function disturbByHand(kind: DisturbanceKind): Promise<() => Promise<void>> {
  const sql = connect(kind === 'vacuum' || kind === 'dump' ? server.migrate : server.app)
  const [session] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`
  const pid = session?.pid ?? 0
  let vacuum: Promise<unknown> | null = null
  if (kind === 'long-read') await sql.unsafe('begin isolation level repeatable read; select count(*) from a')
  if (kind === 'dump')
    await sql.unsafe(
      'begin isolation level repeatable read read only; lock table a, b in access share mode; select count(*) from a',
    )
  if (kind === 'idle-in-transaction') await sql.unsafe('begin; update a set v = v where id = 1')
  if (kind === 'prepared-transaction')
    await sql.unsafe("begin; update a set v = v where id = 1; prepare transaction 'by hand'")
  if (kind === 'vacuum') {
    await sql.unsafe("set vacuum_cost_limit = 1; set vacuum_cost_delay = '100ms'")
    vacuum = sql.unsafe('vacuum (disable_page_skipping, truncate false) a').catch(() => undefined)
    const holds = async (): Promise<readonly unknown[]> =>
      await admin`select 1 from pg_locks where pid = ${pid} and mode = 'ShareUpdateExclusiveLock' and granted`
    while ((await holds()).length === 0) await sleep(5)
  }
  return async () => {
    if (vacuum) await admin`select pg_cancel_backend(${pid})`
    await vacuum
    await sql.unsafe(
      kind === 'prepared-transaction' ? "rollback prepared 'by hand'" : kind === 'vacuum' ? 'select 1' : 'commit',
    )
    await sql.end()
  }
}

async function byHand({ kind, migration, retries }: Case): Promise<Seen> {
  const owner = connect(server.migrate)
  const others = { read_a: connect(server.app), write_a: connect(server.app), read_b: connect(server.app) }
  const texts = {
    read_a: 'select v from a where id = 60',
    write_a: 'update a set v = v where id = 50',
    read_b: 'select v from b where id = 1',
  }
  for (const [name, sql] of Object.entries(others)) await sql.unsafe(texts[name as keyof typeof texts])
  await owner.unsafe(retries ? `set lock_timeout = '${TIMEOUT_MS}ms'` : 'set lock_timeout = 0')
  const end = await disturbByHand(kind)
  const startMs = performance.now()
  let disturbedMs = 0
  let migrating = true
  const longest: Record<string, number> = {}
  const ended = sleep(LASTS_MS)
    .then(end)
    .then(() => void (disturbedMs = performance.now() - startMs))
  // Over and over, as applications do.
  const traffic = Object.entries(others).map(async ([name, sql]) => {
    await sleep(60)
    while (migrating) {
      const fromMs = performance.now()
      await sql.unsafe(texts[name as keyof typeof texts])
      longest[name] = Math.max(longest[name] ?? 0, performance.now() - fromMs)
      await sleep(10)
    }
  })
  const states: string[] = []
  let waitedMs = 0
  for (;;) {
    const fromMs = performance.now()
    const state = await owner.unsafe(migration).then(
      () => 'ok',
      (error: unknown) => String((error as { code?: unknown }).code),
    )
    waitedMs = Math.max(waitedMs, performance.now() - fromMs)
    states.push(state)
    if (state !== '55P03') break
    await sleep(PAUSE_MS)
  }
  migrating = false
  await Promise.all([ended, ...traffic])
  await Promise.all([owner, ...Object.values(others)].map((sql) => sql.end()))
  const blocked = Object.keys(others).filter((name) => (longest[name] ?? 0) > BLOCKED_MS)
  return { waitedMs, disturbedMs, states, blocked, longestMs: Math.max(0, ...Object.values(longest)) }
}

async function byPass({ kind, migration, mode, retries }: Case): Promise<{ seen: Seen; pass: DisturbancePass }> {
  const text = retries ? `set local lock_timeout = '${TIMEOUT_MS}ms';\n${migration};` : `${migration};`
  const lock: LockTaken = { relation: 'a', kind: 'table', table: 'a', mode, existedBefore: true }
  const pass = await disturbedPass({
    ...timedInput(server, {
      migrations: await migrationFiles([text]),
      operations: oldTraffic(
        [
          '-- name: read_a; weight: 2\nselect v from a where id = 60;',
          '-- name: write_a\n\\set id :client_id + 50\nupdate a set v = v where id = :id;',
          '-- name: read_b; weight: 2\nselect v from b where id = 1;',
        ].join('\n'),
      ),
      rate: 80,
      connections: 12,
      phases: { warmupMs: 100, baselineMs: 400, rolloutMs: 0, settleMs: 100 },
      taken: new Map([[`1.sql#${retries ? 2 : 1}`, [lock]]]),
      retries: retries ? { tries: 50, delayMs: PAUSE_MS } : null,
    }),
    disturbance: kind,
    lastsMs: LASTS_MS,
  })
  const long = pass.waits.filter((wait) => wait.waitedMs.lowMs > BLOCKED_MS)
  return {
    pass,
    seen: {
      waitedMs: Math.max(0, ...pass.migrationWaits.map((wait) => wait.waitedMs.highMs)),
      disturbedMs: pass.disturbance.endMs - pass.migration.startMs,
      states: pass.tries.map(({ outcome }) => (outcome.ok ? 'ok' : outcome.error.sqlstate)),
      blocked: ['read_a', 'write_a', 'read_b'].filter((name) => long.some((wait) => wait.operation === name)),
      longestMs: Math.max(0, ...pass.waits.map((wait) => wait.waitedMs.highMs)),
    },
  }
}

const title = (one: Case): string =>
  `${one.kind}: ${one.migration}${one.retries ? ' with lock_timeout and retries' : ''}`

test.each(CASES.map((one) => [title(one), one] as const))('%s', async (_, one) => {
  const hand = await byHand(one)
  await admin.unsafe('alter table a drop column if exists w')
  const { seen, pass } = await byPass(one)

  // The disturbance was what it says, for as long as it says.
  expect(pass.disturbance).toMatchObject({ kind: one.kind, error: null })
  if (one.waits) {
    expect(pass.disturbance.ended).toBe('by itself')
    for (const { disturbedMs } of [hand, seen]) {
      expect(disturbedMs).toBeGreaterThanOrEqual(LASTS_MS - 20)
      expect(disturbedMs).toBeLessThan(LASTS_MS + 600)
    }
    for (const wait of pass.migrationWaits) expect(wait).toMatchObject({ relation: 'a', mode: one.mode })
    expect(pass.migrationWaits[0]?.waitedFor).toContain(`rehearse disturbance ${one.kind}`)
  } else expect(pass.migrationWaits).toEqual([])

  // Nobody waited before the migration came: a disturbance alone blocks nobody here.
  for (const wait of pass.waits) expect(wait.endMs.highMs).toBeGreaterThanOrEqual(pass.migration.startMs)

  // Who was blocked, and who was not.
  const victims = one.waits && one.mode === 'ACCESS EXCLUSIVE' ? ['read_a', 'write_a'] : []
  expect(hand.blocked).toEqual(victims)
  expect(seen.blocked).toEqual(victims)

  // For how long.
  expect(Math.abs(seen.waitedMs - hand.waitedMs)).toBeLessThan(TOLERANCE_MS)
  expect(Math.abs(seen.longestMs - hand.longestMs)).toBeLessThan(TOLERANCE_MS)
  const first = pass.migrationWaits[0]
  if (one.waits && !one.retries) {
    // What the pass says of itself is exact: the wait ends where the disturbance does.
    expect(Math.abs((first?.endMs.lowMs ?? 0) - pass.disturbance.endMs)).toBeLessThan(100)
    expect(seen.waitedMs).toBeGreaterThan(LASTS_MS - 100)
    const group = pass.blocked.find(({ statement }) => statement === '1.sql#1')
    const names = group?.worst.sessions.map(({ name }) => name) ?? []
    // Right after its end the migration itself is the root, and the queue may be at its longest then.
    const late = (group?.worst.atMs ?? 0) > pass.disturbance.endMs - 50
    const roots = [...(late && names[0] === 'migration' ? [] : [`rehearse disturbance ${one.kind}`]), 'migration']
    if (victims.length > 0) expect(names.slice(0, roots.length)).toEqual(roots)
  }

  // How it ended: the same answers, in the end the same success.
  expect(new Set(seen.states)).toEqual(new Set(hand.states))
  expect(seen.states.at(-1)).toBe('ok')
  if (one.retries) {
    expect(seen.states[0]).toBe('55P03')
    expect(Math.abs(seen.states.length - hand.states.length)).toBeLessThanOrEqual(1)
    for (const longest of [hand.longestMs, seen.longestMs]) expect(longest).toBeLessThan(TIMEOUT_MS + TOLERANCE_MS)
  } else expect(seen.states).toEqual(['ok'])

  // Nothing is left behind.
  expect(await admin`select 1 from pg_prepared_xacts`).toEqual([])
  expect(pass.leftovers).toEqual({ invalidIndexes: [], notValidConstraints: [], halfApplied: [] })
})
