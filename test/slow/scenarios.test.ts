/**
 * The six example scenarios as a user runs them, with shorter phases: the unsafe twins fail for the right reason, the
 * safe twins pass, and none of them by other limits than the default ones.
 */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { judge } from '../../src/judge/index.js'
import type { Finding, QuietPass, Report, TimedPass } from '../../src/recording.js'
import { rehearse } from '../../src/rehearse.js'
import { loadScenario } from '../../src/scenario.js'

const ROWS = 200_000
const phases = { warmupMs: 1_000, baselineMs: 4_000, rolloutMs: 4_000, settleMs: 2_000 }
const path = (name: string): string => new URL(`../../scenarios/${name}`, import.meta.url).pathname

interface Rehearsed {
  report: Report
  quiet: QuietPass
  timed: TimedPass
}

async function rehearsed(name: string): Promise<Rehearsed> {
  const scenario = await loadScenario(path(name), { rows: ROWS, phases })
  const report = judge(await rehearse(scenario))
  const { passes } = report.recording
  const quiet = passes.find((p): p is QuietPass => p.kind === 'quiet')
  const timed = passes.findLast((p): p is TimedPass => p.kind === 'timed')
  if (!quiet || !timed) throw new Error(`a pass is missing: ${report.headline}`)
  return { report, quiet, timed }
}

const failures = (report: Report): Finding[] => report.findings.filter((f) => f.severity === 'fail')
const rules = (report: Report): string[] => [...new Set(failures(report).map((f) => f.rule))].sort()
const relation = (report: Report, name: string) => report.relations.find((r) => r.relation === name)
const told = (report: Report): string =>
  report.findings.map((f) => `${f.severity} ${f.rule}: ${f.title} | ${f.evidence.join(' ')}`).join('\n')

/** Operations of a release that fail on a state, with their SQLSTATEs. */
const breaks = (quiet: QuietPass, release: 'old' | 'new', state: string | undefined): Record<string, string> =>
  Object.fromEntries(
    quiet.compat.flatMap((cell) =>
      cell.release === release && cell.state === state && !cell.fresh.ok
        ? [[cell.operation, cell.fresh.error.sqlstate]]
        : [],
    ),
  )
const finalState = (quiet: QuietPass): string | undefined => quiet.states.findLast((s) => s.kind === 'after')?.id

/** What holds for every rehearsal, whatever its verdict. */
function sound({ report, quiet, timed }: Rehearsed): void {
  expect(report.recording.complete).toBe(true)
  expect(report.recording.budgets).toEqual({})
  expect(report.findings.filter((f) => f.severity === 'inconclusive').map((f) => f.title)).toEqual([])
  expect(timed.migration.outcome).toEqual({ ok: true })
  expect(quiet.migration.outcome).toEqual({ ok: true })
  expect(timed.migration.statements.map((s) => s.statement)).toEqual(quiet.migration.statements.map((s) => s.statement))
  expect(quiet.leftovers).toEqual({ invalidIndexes: [], notValidConstraints: [], halfApplied: [] })
  expect(timed.deadlocks).toEqual([])
  expect(timed.phases.map((p) => p.name)).toEqual(['warmup', 'baseline', 'migrate', 'rollout', 'settled'])
  for (const row of timed.traffic) expect(row.completed + row.failed + row.dropped).toBe(row.scheduled)
}

/** The safe twins: nothing above info, and the way back works. */
function safe(run: Rehearsed): void {
  sound(run)
  const { report, quiet, timed } = run
  expect(
    report.findings.filter((f) => f.severity !== 'info').map((f) => f.title),
    told(report),
  ).toEqual([])
  expect(report.verdict).toBe('pass')
  expect(report.budgets.map((b) => b.status)).toEqual(report.budgets.map(() => 'ok'))
  expect(timed.errors.filter((e) => !e.hidden)).toEqual([])
  for (const check of [...quiet.dataChecks, ...timed.dataChecks])
    expect(check).toMatchObject({ rowsAfter: 0, error: null })
  if (quiet.rollback) {
    expect(quiet.rollback.run.outcome).toEqual({ ok: true })
    expect(breaks(quiet, 'old', 'rolled-back')).toEqual({})
  }
  for (const state of quiet.states.filter((s) => s.kind !== 'rolled-back'))
    expect(breaks(quiet, 'old', state.id)).toEqual({})
  expect(breaks(quiet, 'new', finalState(quiet))).toEqual({})
}

it.each(['index-busy-table', 'not-null', 'rename-column'])('%s lowers no budget, safe or not', (name) => {
  for (const twin of ['safe', 'unsafe']) {
    const text = readFileSync(`${path(`${name}-${twin}`)}/scenario.ts`, 'utf8')
    expect(text).not.toMatch(/budget|maxDuration|rate|connections|phases|deadlock_timeout/i)
  }
})

describe('an index on a busy table', () => {
  describe('unsafe', () => {
    let run: Rehearsed
    beforeAll(async () => {
      run = await rehearsed('index-busy-table-unsafe')
    })
    const index = '001_index_payment_reference.sql'

    it('is measured soundly', () => sound(run))

    it('fails, at the CREATE INDEX, by what it becomes in production', () => {
      const { report } = run
      expect(report.verdict, told(report)).toBe('fail')
      expect(rules(report)).toContain('work-under-lock')
      const work = failures(report).find((f) => f.rule === 'work-under-lock')
      expect(work?.at).toMatchObject({ line: 5, statement: expect.stringContaining(`${index}#2`) as string })
      expect(work?.relation).toBe('orders')
      expect(work?.projection).toMatchObject({
        relation: 'orders',
        work: 'index build',
        rowsHere: ROWS,
        rowsInProduction: 48_000_000,
      })
      // 240 times the rows, at best in half the time for each.
      expect(work?.projection?.lowMs).toBeGreaterThan(1_000)
      expect(work?.advice?.sql).toMatch(/create index concurrently orders_payment_reference_idx/i)
      expect(report.budgets.find((b) => b.metric === 'lock.held')?.status).toBe('fail')
    })

    it('SHARE on orders blocks writes and not reads', () => {
      const { report, quiet, timed } = run
      expect(relation(report, 'orders')).toMatchObject({ strongest: 'SHARE', blocksReads: false, blocksWrites: true })
      const statement = quiet.migration.statements[1]
      expect(statement?.work?.locks).toContainEqual({
        relation: 'orders',
        kind: 'table',
        table: 'orders',
        mode: 'SHARE',
        existedBefore: true,
      })
      expect(statement?.work).toMatchObject({
        lockTimeoutMs: 2_000,
        rewrites: [],
        indexBuilds: [{ relation: 'orders_payment_reference_idx', table: 'orders' }],
      })
      const span = timed.locks.find((l) => l.relation === 'orders' && l.mode === 'SHARE')
      expect(span).toMatchObject({ statement: statement?.statement, blocksReads: false, blocksWrites: true })
      // Held for at least the build itself.
      const build = timed.migration.statements[1]
      expect(span?.heldMs?.highMs).toBeGreaterThanOrEqual((build?.endMs ?? 0) - (build?.startMs ?? 0) - 1)
    })

    it('only writers of orders waited, for ROW EXCLUSIVE, behind that statement', () => {
      const { timed, quiet } = run
      const behind = timed.waits.filter((w) => w.behind?.endsWith(`${index}#2`))
      expect(behind.length).toBeGreaterThan(0)
      const direct = behind.filter((w) => w.lockType === 'relation')
      expect(direct.length).toBeGreaterThan(0)
      for (const wait of direct) {
        expect(wait).toMatchObject({ relation: 'orders', mode: 'ROW EXCLUSIVE' })
        expect(['place_order', 'pay_order', 'ship_order']).toContain(wait.operation)
      }
      expect(
        behind.filter((w) =>
          ['get_product', 'browse_category', 'customer_orders', 'order_details', 'open_orders'].includes(w.operation),
        ),
      ).toEqual([])
      const group = timed.blocked.find((b) => b.statement.endsWith(`${index}#2`))
      expect(group?.sessions).toBeGreaterThan(0)
      const root = group?.worst.sessions.find((s) => s.name === 'migration')
      expect(root).toMatchObject({ relation: 'orders', mode: 'SHARE', blockedBy: [] })
      expect(
        quiet.operationLocks
          .filter((l) => l.relation === 'orders' && l.mode === 'ROW EXCLUSIVE')
          .map((l) => `${l.release} ${l.operation}`),
      ).toEqual(expect.arrayContaining(['old place_order', 'old pay_order', 'old ship_order', 'new place_order']))
    })

    it('breaks no code', () => {
      expect(breaks(run.quiet, 'old', finalState(run.quiet))).toEqual({})
      expect(rules(run.report)).not.toContain('old-code-breaks')
    })
  })

  it('safe: SHARE UPDATE EXCLUSIVE on orders, and nobody waits for it', async () => {
    const run = await rehearsed('index-busy-table-safe')
    safe(run)
    const { report, quiet, timed } = run
    expect(relation(report, 'orders')).toMatchObject({
      strongest: 'SHARE UPDATE EXCLUSIVE',
      blocksReads: false,
      blocksWrites: false,
    })
    const build = quiet.migration.statements.find((s) => s.statement.endsWith('#2'))
    expect(build?.work?.locks.filter((l) => l.relation === 'orders').map((l) => l.mode)).toEqual([
      'SHARE UPDATE EXCLUSIVE',
    ])
    expect(build?.work?.transactions).toBeGreaterThan(1)
    const span = timed.locks.find((l) => l.relation === 'orders')
    expect(span).toMatchObject({ mode: 'SHARE UPDATE EXCLUSIVE', blocksReads: false, blocksWrites: false })
    expect(timed.waits.filter((w) => w.relation === 'orders' && w.lockType === 'relation')).toEqual([])
  })
})

describe('a column renamed', () => {
  const users = {
    ...{
      get_user: '42703',
      sign_in: '42703',
      list_members: '42703',
      contact_page: '42703',
      recent_activities: '42703',
    },
    ...{ change_name: '42703', sign_up: '42703', provision_user: '42703' },
  }

  it('unsafe: the running release gets 42703 from then on, and the lock is not what hurts', async () => {
    const run = await rehearsed('rename-column-unsafe')
    sound(run)
    const { report, quiet, timed } = run
    expect(report.verdict, told(report)).toBe('fail')
    expect(rules(report)).toEqual(['old-code-breaks'])
    const [found] = failures(report)
    expect(found?.at).toMatchObject({
      line: 5,
      statement: expect.stringContaining('001_rename_full_name.sql#2') as string,
    })
    expect(found?.evidence.join(' ')).toMatch(/42703.*full_name/)
    expect(breaks(quiet, 'old', 'before')).toEqual({})
    expect(breaks(quiet, 'old', finalState(quiet))).toEqual(users)
    expect(breaks(quiet, 'new', 'before')).toEqual(users)
    expect(breaks(quiet, 'new', finalState(quiet))).toEqual({})
    expect(report.findings.find((f) => f.rule === 'migrate-first')?.severity).toBe('info')
    expect(relation(report, 'users')).toMatchObject({
      strongest: 'ACCESS EXCLUSIVE',
      blocksReads: true,
      blocksWrites: true,
    })
    expect(relation(report, 'users')?.statement).toMatch(/001_rename_full_name\.sql#2$/)
    expect(quiet.migration.statements[1]?.work).toMatchObject({
      rewrites: [],
      scans: [],
      indexBuilds: [],
      rowsWritten: [],
    })
    const failed = timed.errors.filter((e) => e.release === 'old' && e.error.sqlstate === '42703')
    expect(failed.length).toBeGreaterThan(3)
    for (const error of failed) expect(error.phases.baseline).toBeUndefined()
    expect(timed.errors.filter((e) => e.release === 'new' && (e.phases.settled ?? 0) > 0)).toEqual([])
    expect(report.budgets.find((b) => b.metric === 'lock.held')?.projected).toBeNull()
  })

  it('safe: expand with a trigger and a backfill in batches', async () => {
    const run = await rehearsed('rename-column-safe')
    safe(run)
    const { quiet } = run
    expect(breaks(quiet, 'new', 'before')).toEqual(users)
    const call = quiet.migration.statements.find((s) => (s.work?.transactions ?? 1) > 10)
    expect(call?.work?.rowsWritten).toEqual([
      { relation: 'users', inserted: 0, updated: ROWS / 2, deleted: 0, existedBefore: true },
    ])
  })
})

describe('NOT NULL on a column', () => {
  it('unsafe: a full scan under ACCESS EXCLUSIVE, and the running release cannot insert any more', async () => {
    const run = await rehearsed('not-null-unsafe')
    sound(run)
    const { report, quiet, timed } = run
    expect(report.verdict, told(report)).toBe('fail')
    expect(rules(report)).toEqual(expect.arrayContaining(['old-code-breaks', 'work-under-lock']))
    expect(breaks(quiet, 'old', 'before')).toEqual({})
    expect(breaks(quiet, 'old', finalState(quiet))).toEqual({ create_contact: '23502', import_contact: '23502' })
    expect(breaks(quiet, 'new', finalState(quiet))).toEqual({})
    const broken = failures(report).find((f) => f.rule === 'old-code-breaks')
    expect(broken?.at?.line).toBe(8)
    expect(broken?.evidence.join(' ')).toMatch(/23502.*"source".*"contacts"/)

    expect(relation(report, 'contacts')).toMatchObject({
      strongest: 'ACCESS EXCLUSIVE',
      blocksReads: true,
      blocksWrites: true,
    })
    const [, lock, update, alter] = quiet.migration.statements
    expect(lock?.work?.locks.map((l) => `${l.mode} ${l.relation}`)).toContain('ACCESS EXCLUSIVE contacts')
    expect(update?.work?.scans.map((s) => s.relation)).toEqual(['contacts'])
    expect(update?.work?.rowsWritten[0]).toMatchObject({ relation: 'contacts', inserted: 0, deleted: 0 })
    expect(alter?.work?.scans).toMatchObject([{ relation: 'contacts', passes: 1, existedBefore: true }])
    expect(alter?.work?.rewrites).toEqual([])
    const worked = failures(report).filter((f) => f.rule === 'work-under-lock')
    expect(worked.map((f) => f.at?.line)).toEqual(expect.arrayContaining([8]))
    for (const f of worked) expect(f.projection).toMatchObject({ relation: 'contacts', rowsInProduction: 100_000_000 })

    const errors = timed.errors.filter((e) => e.release === 'old' && e.error.sqlstate === '23502')
    expect(errors.map((e) => e.operation).sort()).toEqual(expect.arrayContaining(['create_contact']))
    for (const e of errors) expect(e.error.objects).toEqual(['contacts', 'source'])
    const waited = timed.waits.filter((w) => w.behind?.endsWith('001_require_source.sql#2'))
    expect(new Set(waited.map((w) => w.mode))).toContain('ACCESS SHARE')
  })

  it('safe: default, backfill, check, validation, and the change without a scan', async () => {
    const run = await rehearsed('not-null-safe')
    safe(run)
    const { report, quiet } = run
    const of = (file: string) => quiet.migration.statements.filter((s) => s.statement.includes(file))
    // The one scan runs under a lock that blocks neither reads nor writes.
    const [validate] = of('004_validate')
    expect(validate?.work?.scans.map((s) => s.relation)).toEqual(['contacts'])
    expect(validate?.work?.locks.map((l) => l.mode)).toEqual(['SHARE UPDATE EXCLUSIVE'])
    for (const s of of('005_set_not_null')) expect(s.work?.scans).toEqual([])
    expect(of('005_set_not_null').flatMap((s) => s.work?.locks.map((l) => l.mode) ?? [])).toContain('ACCESS EXCLUSIVE')
    expect(relation(report, 'contacts')?.strongest).toBe('ACCESS EXCLUSIVE')
    expect(of('002_backfill').find((s) => (s.work?.transactions ?? 1) > 10)?.work?.rowsWritten[0]?.relation).toBe(
      'contacts',
    )
  })
})
