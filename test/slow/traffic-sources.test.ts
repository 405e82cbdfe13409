/**
 * Whole rehearsals without a line of declared traffic: derived from the schema, and of production's statements. What a
 * migration takes away must break exactly what would have used it, and what it leaves alone must pass.
 */
import { describe, expect, test } from 'vitest'
import type { Finding, Report } from '../../src/recording.js'
import { place } from '../support/cli.js'

const SCHEMA = `
  create type state as enum ('new', 'paid');
  create table customers (id bigint generated always as identity primary key, email text not null unique, name text);
  create table orders (
    id uuid primary key default gen_random_uuid(),
    customer_id bigint not null references customers,
    state state not null default 'new',
    total numeric(8, 2) not null check (total >= 0),
    note text,
    placed_at timestamptz not null default now());
  create index on orders (customer_id, placed_at);`

const PHASES = ['--warmup', '300ms', '--baseline', '1500ms', '--rollout', '1s', '--settle', '500ms', '--rows', '2000']

async function rehearse(
  migration: string,
  more: Record<string, string> = {},
  args: readonly string[] = [],
): Promise<{ code: number | null; report: Report; found: (rule: string) => Finding[]; left: string[] }> {
  const here = place()
  try {
    here.write({ 's/schema.sql': SCHEMA, 's/migrations/001.sql': migration, ...more })
    const { code, stdout, stderr } = await here.run(['run', 's', ...PHASES, '--quiet', '--json', '--out', 'o', ...args])
    if (stdout === '') throw new Error(`exit code ${code ?? '?'}: ${stderr}`)
    const report = JSON.parse(stdout) as Report
    expect(report.recording.stopped).toBeNull()
    return { code, report, found: (rule) => report.findings.filter((one) => one.rule === rule), left: here.leftovers() }
  } finally {
    here.remove()
  }
}

/** Operations whose statements list something, by release. */
const listing = (report: Report, release: 'old' | 'new', word: string): string[] =>
  report.recording.operations.flatMap((one) =>
    one.release === release && one.sql.some((sql) => new RegExp(`\\b${word}\\b`).test(sql)) ? [one.name] : [],
  )

/** Operations of the old release that work before the migration and not after it. */
function broken(report: Report): string[] {
  const quiet = report.recording.passes.find((pass) => pass.kind === 'quiet')
  const last = quiet?.states.at(-1)?.id
  return (quiet?.compat ?? []).flatMap((cell) =>
    cell.release === 'old' && cell.state === last && !cell.fresh.ok ? [cell.operation] : [],
  )
}

describe('derived from the schema', () => {
  test('a harmless migration passes, every table and column is used, and rows are there', async () => {
    const { code, report, left } = await rehearse(`set lock_timeout = '2s'; alter table orders add column tag text`)
    expect(report.findings.filter(({ severity }) => severity !== 'info')).toEqual([])
    expect(code).toBe(0)
    const [old, next] = report.recording.traffic
    expect(old).toMatchObject({
      source: 'derived',
      tables: { all: 2, read: 2, inserted: 2, updated: 2 },
      columns: { all: 9, touched: 9 },
    })
    expect(next).toMatchObject({ release: 'new', columns: { all: 10, touched: 10 } })
    expect(report.recording.environment?.relations.find(({ relation }) => relation === 'orders')?.rows).toBe(2_000)
    const timed = report.recording.passes.find((pass) => pass.kind === 'timed')
    const baseline = (timed?.traffic ?? []).filter((row) => row.phase === 'baseline')
    const done = baseline.reduce((sum, row) => sum + row.completed, 0)
    expect(done).toBeGreaterThan(100)
    expect(done).toBeGreaterThanOrEqual(0.95 * baseline.reduce((sum, row) => sum + row.scheduled, 0))
    // The table that the migration names has at least half of it.
    const about = new Map(report.recording.operations.map((one) => [one.name, one.table]))
    const onOrders = baseline.filter((row) => about.get(row.operation) === 'orders')
    expect(onOrders.reduce((sum, row) => sum + row.scheduled, 0)).toBeGreaterThan(0.4 * done)
    expect(left).toEqual([])
  })

  test('a renamed column breaks exactly the statements that list it', async () => {
    const { code, report, found } = await rehearse('alter table orders rename column note to remark')
    expect(code).toBe(1)
    expect(found('old-code-breaks').map(({ severity }) => severity)).toEqual(['fail'])
    expect(found('contract-step')).toEqual([])
    expect(listing(report, 'old', 'note').length).toBeGreaterThan(3)
    expect(broken(report).sort()).toEqual(listing(report, 'old', 'note').sort())
    expect(found('new-code-breaks')).toEqual([])
  })

  test('a new column that must be given breaks the inserts, a dropped one is a contract step', async () => {
    const strict = await rehearse(`alter table customers add column plan text not null default 'free';
      alter table customers alter column plan drop default`)
    expect(strict.code).toBe(1)
    expect(strict.found('old-code-breaks')[0]?.title).toContain('23502')
    const inserts = strict.report.recording.operations.filter(
      (one) => one.release === 'old' && one.sql.some((sql) => /^insert into \S*customers/i.test(sql)),
    )
    expect(inserts.length).toBeGreaterThan(0)
    expect(broken(strict.report).sort()).toEqual(inserts.map((one) => one.name).sort())

    const contract = await rehearse('alter table orders drop column note')
    expect(contract.found('old-code-breaks')).toEqual([])
    expect(contract.found('contract-step').map(({ severity }) => severity)).toEqual(['warn'])
    expect(contract.report.recording.takenAway?.objects).toEqual([{ table: 'orders', column: 'note', place: null }])
    expect(contract.code).toBe(0)
  })

  test('what no row satisfies fails; what only made-up rows do not satisfy is not known', async () => {
    const never = await rehearse('alter table orders add column tag text not null')
    expect(never.code).toBe(1)
    expect(never.report.findings[0]).toMatchObject({ rule: 'migration-fails', severity: 'fail' })
    // On an empty copy it succeeds: the schema after it is known all the same.
    expect(never.report.recording.traffic.map(({ release }) => release)).toEqual(['old', 'new'])
    expect(listing(never.report, 'new', 'tag').length).toBeGreaterThan(0)

    const perhaps = await rehearse('alter table orders add constraint c check (total < 0)')
    expect(perhaps.code).toBe(4)
    expect(perhaps.found('migration-fails').map(({ severity }) => severity)).toEqual(['inconclusive'])
  })

  test('constraints that are added hold on the rows that are made, and are said not to be tested', async () => {
    const { code, report, found } = await rehearse(`set lock_timeout = '2s';
      alter table orders add constraint few check (total between 5 and 9);
      alter table customers alter column name set not null;
      create unique index on customers (name)`)
    expect(found('migration-fails')).toEqual([])
    expect(found('old-code-breaks')).toEqual([])
    expect(found('data-not-tested').map(({ advice }) => advice?.sql)).toEqual([
      'select count(*) from orders where not (total between 5 and 9);',
      'select count(*) from customers where name is null;',
      'select count(*) from (select 1 from customers where name is not null group by name having count(*) > 1) as doubles;',
    ])
    expect(report.recording.generated.sort()).toEqual(['customers', 'orders'])
    expect(code).toBe(0)
  })
})

test("of production's statements, at production's rate times a factor, with what is left out", async () => {
  const entry = (query: string, calls: number): object => ({ query, calls, rows: calls, meanMs: 0.2 })
  const profile = {
    kind: 'profile',
    statements: {
      since: '2026-11-01T00:00:00Z',
      takenAt: '2026-11-01T00:10:00Z',
      entries: [
        entry('SELECT id, total, note FROM orders WHERE id = $1', 60_000),
        entry('UPDATE orders SET state = $1 WHERE id = $2', 30_000),
        entry('SELECT id FROM nowhere WHERE id = $1', 6_000),
        entry('VACUUM orders', 4_000),
      ],
    },
  }
  const { code, report, found } = await rehearse('alter table orders drop column note', {
    's/scenario.ts': `export default { profile: 'p.json', traffic: { factor: 0.5 } }`,
    's/p.json': JSON.stringify(profile),
  })
  const [old] = report.recording.traffic
  expect(old).toMatchObject({
    source: 'production',
    coverage: { calls: 100_000, callsPlayed: 90_000, statements: 4, statementsPlayed: 2 },
  })
  expect(old?.leftOut.map(({ calls }) => calls).sort()).toEqual([4_000, 6_000])
  // 90,000 calls in 600 s are 150 a second, and half of that is 75.
  const timed = report.recording.passes.find((pass) => pass.kind === 'timed')
  expect(timed?.generator.ratePerSecond).toBe(75)
  // What production sends is known to use the column.
  expect(found('old-code-breaks').map(({ severity }) => severity)).toEqual(['fail'])
  expect(broken(report)).toHaveLength(1)
  expect(code).toBe(1)
})
