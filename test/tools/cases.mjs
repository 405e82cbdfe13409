/**
 * Rehearses a folder of cases with known answers and prints where the answers differ:
 *   npm run cases -- <folder of cases> [--rename] [--only <name part>]
 *
 * A case is schema.sql, seed.sql, migration/*.sql, old.sql, new.sql, rollback.sql, case.json (transaction modes, n) and
 * expected.json. With --rename its tables and columns get other names first: the answers must stay the same.
 */
import { mkdtempSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync, existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { judge, loadScenario, rehearse } from '../../dist/index.js'

const args = process.argv.slice(2)
const folder = args.find((a) => !a.startsWith('--'))
const renaming = args.includes('--rename')
const only = args.includes('--only') ? args[args.indexOf('--only') + 1] : ''
if (!folder) {
  console.error('usage: npm run cases -- <folder of cases> [--rename] [--only <name part>]')
  process.exit(2)
}

const NAMES = {
  users: 'clientele',
  accounts: 'patrons',
  contacts: 'addressbook',
  posts: 'epistles',
  orgs: 'guilds',
  orders: 'bookings',
  email: 'e_addr',
  username: 'handle',
  first_name: 'given',
  last_name: 'family',
  age: 'years',
  notes: 'remarks',
  created_at: 'born_at',
  company_name: 'firm',
  company_id: 'firm_ref',
  display_name: 'shown_as',
  login: 'signin',
}
const rename = (text) =>
  renaming
    ? Object.entries(NAMES).reduce((t, [from, to]) => t.replace(new RegExp(`\\b${from}\\b`, 'g'), to), text)
    : text

/** A table's name must be read before renaming to fix production's size. */
const tablesOf = (schema) => [...schema.matchAll(/create table (?:if not exists )?([\w.]+)/gi)].map((m) => m[1])

function toScenario(path, target) {
  const meta = JSON.parse(readFileSync(join(path, 'case.json'), 'utf8'))
  const expected = JSON.parse(rename(readFileSync(join(path, 'expected.json'), 'utf8')))
  mkdirSync(join(target, 'migrations'), { recursive: true })
  const copy = (from, to, first = '') =>
    existsSync(from) && writeFileSync(to, first + rename(readFileSync(from, 'utf8')))
  for (const name of ['schema.sql', 'seed.sql', 'old.sql', 'new.sql']) copy(join(path, name), join(target, name))
  const bare = '-- rehearse: no-transaction\n'
  copy(join(path, 'rollback.sql'), join(target, 'rollback.sql'), meta.rollback_mode === 'autocommit' ? bare : '')
  for (const name of readdirSync(join(path, 'migration'))) {
    const mode = meta.mode?.[name] ?? meta.mode?.default ?? 'tx'
    copy(join(path, 'migration', name), join(target, 'migrations', name), mode === 'autocommit' ? bare : '')
  }
  const checks = (expected.data ?? []).map(
    (d, i) => `-- name: data_${i + 1}\nselect 1 from (${d.sql}) as c(v) where v <> ${d.bad ? 0 : d.expect};\n`,
  )
  if (checks.length > 0) writeFileSync(join(target, 'checks.sql'), checks.join(''))
  const rows = Object.fromEntries(
    tablesOf(readFileSync(join(target, 'schema.sql'), 'utf8')).map((t) => [t, 50_000_000]),
  )
  const modes = ['one', 'all'].includes(meta.mode?.default) ? { migrations: { transaction: 'all' } } : {}
  writeFileSync(
    join(target, 'scenario.ts'),
    `export default ${JSON.stringify({ ...modes, production: { rows } }, null, 2)}\n`,
  )
  return { expected, n: meta.n ?? 200_000 }
}

const sorted = (value) =>
  JSON.stringify(value, (_, v) =>
    v && typeof v === 'object' && !Array.isArray(v)
      ? Object.fromEntries(Object.entries(v).sort())
      : Array.isArray(v)
        ? [...v].sort()
        : v,
  )

/** What the report says, in the words of expected.json. */
function answers(report) {
  const { recording } = report
  const quiet = recording.passes.find((p) => p.kind === 'quiet')
  const timed = recording.passes.findLast((p) => p.kind === 'timed')
  const statements = new Map(recording.migrations.flatMap((f) => f.statements.map((s) => [s.id, s])))
  const failure = (run) => {
    if (run.outcome.ok) return null
    const s = statements.get(run.failedStatement)
    return { file: basename(s?.file ?? ''), stmt: s?.ordinal ?? 0, sqlstate: run.outcome.error.sqlstate }
  }
  const works = quiet.migration.statements.flatMap((r) => (r.work ? [{ run: r, work: r.work }] : []))
  const states = quiet.states.filter((s) => s.kind !== 'rolled-back')
  const last = states.at(-1)?.id
  const breaks = (release, state, kind = 'fresh') =>
    Object.fromEntries(
      quiet.compat.flatMap((c) => {
        if (c.release !== release || c.state !== state) return []
        const end = c[kind]
        if (kind === 'prepared' && !c.fresh.ok) return []
        return end && !end.ok ? [[c.operation, end.error.sqlstate]] : []
      }),
    )
  // A scan blocks when its transaction holds a lock by then that stops reads or writes on a table that was there.
  const blocking = new Set()
  for (const t of quiet.migration.transactions) {
    let held = false
    for (const id of t.statements) {
      const work = works.find((w) => w.run.statement === id)?.work
      held ||= (work?.locks ?? []).some(
        (l) => l.existedBefore && ['SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'].includes(l.mode),
      )
      if (held) for (const s of work?.scans ?? []) if (s.existedBefore) blocking.add(s.relation)
    }
  }
  return {
    verdict: report.verdict,
    locks: Object.fromEntries(report.relations.map((r) => [r.relation, r.strongest])),
    rewrites: [...new Set(works.flatMap((w) => w.work.rewrites.map((r) => r.relation)))],
    scans: [...new Set(works.flatMap((w) => w.work.scans.filter((s) => s.existedBefore).map((s) => s.relation)))],
    blocking_scans: [...blocking],
    blocks_reads: report.relations.filter((r) => r.blocksReads).map((r) => r.relation),
    blocks_writes: report.relations.filter((r) => r.blocksWrites).map((r) => r.relation),
    migration_error: failure(quiet.migration),
    under_traffic: timed ? failure(timed.migration) : undefined,
    old_breaks: breaks('old', last),
    old_prepared_breaks: breaks('old', last, 'prepared'),
    new_breaks_before: breaks('new', 'before'),
    new_breaks_after: breaks('new', last),
    invalid_indexes: [...new Set([quiet, timed].flatMap((p) => p?.leftovers.invalidIndexes.map((i) => i.index) ?? []))],
    rollback: quiet.rollback && {
      error: quiet.rollback.run.outcome.ok ? null : quiet.rollback.run.outcome.error.sqlstate,
      old_breaks: breaks('old', 'rolled-back'),
    },
    data: quiet.dataChecks.map((c) => (c.rowsAfter ?? -1) > 0),
  }
}

let passed = 0
let failed = 0
const work = mkdtempSync(join(tmpdir(), 'rehearse-cases-'))
for (const name of readdirSync(folder).sort()) {
  if (!name.includes(only) || !existsSync(join(folder, name, 'expected.json'))) continue
  const target = join(work, name)
  const { expected, n } = toScenario(join(folder, name), target)
  const differences = []
  let got
  try {
    const scenario = await loadScenario(target, {
      rows: n,
      phases: { warmupMs: 1_000, baselineMs: 3_000, rolloutMs: 3_000, settleMs: 2_000 },
    })
    const recording = await rehearse(scenario)
    const report = judge(recording)
    got = answers(report)
    if (args.includes('--keep')) writeFileSync(join(target, 'report.json'), JSON.stringify(report, null, 2))
    for (const key of Object.keys(expected)) {
      if (!(key in got)) continue
      let want = expected[key]
      if (key === 'data') want = want.map((d) => d.bad === true)
      if (key === 'rollback') want = { error: want.error, old_breaks: want.old_breaks }
      const have =
        key === 'locks' ? Object.fromEntries(Object.keys(want).map((r) => [r, got.locks[r] ?? null])) : got[key]
      if (sorted(want) !== sorted(have)) differences.push(`${key}: expected ${sorted(want)}, got ${sorted(have)}`)
    }
    if (got.verdict !== expected.verdict || args.includes('--findings'))
      for (const f of report.findings) differences.push(`    finding ${f.severity} ${f.rule}: ${f.title}`)
  } catch (error) {
    differences.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  if (differences.length === 0) passed++
  else failed++
  console.log(`${differences.length === 0 ? 'ok  ' : 'DIFF'} ${name} (${got?.verdict ?? 'no verdict'})`)
  for (const line of differences) console.log(`     ${line}`)
}
if (!args.includes('--keep')) rmSync(work, { recursive: true, force: true })
else console.log(work)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
