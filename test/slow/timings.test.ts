/** Timings within a whole quiet pass, judged: lasting and passing plan changes, hundreds of operations, a busy machine. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { judge } from '../../src/judge/index.js'
import type { QuietInput } from '../../src/pass/timing.js'
import { quietPass } from '../../src/pass/quiet.js'
import { QuietPass, type Finding } from '../../src/recording.js'
import type { Operation } from '../../src/traffic/operation.js'
import { recording } from '../judge/build.js'
import { environment } from '../fixtures/parts.js'
import { migrationFiles, oldTraffic, passInput } from '../pass/build.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'

const ROWS = 40_000
let server: TestServer
let copies = 0
let running = 0

beforeAll(async () => {
  server = await startServer({
    fill: async (admin) => {
      await admin.unsafe(`
        create table orders (id int primary key, user_id int, state int, total int);
        insert into orders select g, g % 8000, case when g % 50 = 0 then g else 1 end, g from generate_series(1, ${ROWS}) g;
        create index orders_user_id_idx on orders (user_id);
        create table lines (id int primary key, order_id int, text text);
        insert into lines select g, g % ${ROWS}, 'x' from generate_series(1, ${ROWS}) g;
        create index lines_order_id_idx on lines (order_id);
        alter table orders owner to owner; alter table lines owner to owner;
        grant select, insert, update, delete on orders, lines to app;`)
      await admin.unsafe('vacuum (freeze, analyze)')
    },
  })
})
afterAll(async () => {
  await server.stop()
})

/** A quiet pass on a copy of its own, compared with another one, and what the judge says of it. */
async function rehearsed(sql: string, operations: Operation[], over: Partial<QuietInput> = {}) {
  const copy = await server.branch.fork(`quiet-${++copies}`)
  const input: QuietInput = {
    ...passInput(server, { migrations: await migrationFiles([sql]), operations, rows: ROWS }),
    admin: copy.address('admin'),
    migrate: copy.address('migrate'),
    app: copy.address('app'),
    unmigrated: async () => {
      const other = await server.branch.fork(`unmigrated-${copies}`)
      running++
      return {
        app: other.address('app'),
        admin: other.address('admin'),
        stop: async () => {
          running--
          await other.stop()
        },
      }
    },
    ...over,
  }
  const admin = connect(copy.address('admin'))
  try {
    const { pass, migrations } = await quietPass(input)
    const [{ autovacuum } = { autovacuum: '' }] = await admin<{ autovacuum: string }[]>`show autovacuum`
    const parsed = QuietPass.parse(JSON.parse(JSON.stringify(pass)))
    const relations = ['orders', 'lines'].map((relation) => ({
      relation,
      kind: 'table' as const,
      rows: ROWS,
      bytes: 1,
    }))
    const whole = recording({
      recording: { migrations: [...migrations], environment: { ...environment, relations }, passes: [parsed] },
    })
    return { pass: parsed, autovacuum, findings: judge(whole).findings }
  } finally {
    await admin.end()
    await copy.stop()
  }
}
const of = (findings: readonly Finding[], rule: string): Finding[] => findings.filter((one) => one.rule === rule)

test('what lasts is a warning at its statement, what passes is information, and the copy is stopped', async () => {
  const { pass, findings, autovacuum } = await rehearsed(
    'drop index orders_user_id_idx;\nalter table orders alter column state type bigint;',
    oldTraffic(`
-- name: of_user; prepared: yes
\\set user random(0, 7999)
select id, total from orders where user_id = :user;
-- name: in_state
select l.text from orders o join lines l on l.order_id = o.id where o.state = 1 and l.order_id % 7 = 0;
-- name: pay; prepared: yes
\\set id random(1, 1000)
update orders set total = total + 1 where id = :id;
`),
  )
  expect(running).toBe(0)
  expect(autovacuum).toBe('on')
  expect(pass.timings.map((t) => [t.operation, t.reason])).toEqual([
    ['of_user', null],
    ['in_state', null],
    ['pay', null],
  ])
  for (const one of pass.timings) expect([one.ratio, one.settledRatio]).not.toContain(null)
  const [warning, information, ...more] = of(findings, 'plan-changed')
  expect(more).toEqual([])
  expect(warning).toMatchObject({
    severity: 'warn',
    relation: 'orders',
    at: { statement: '1.sql#1' },
    title: 'of_user (old release) reads orders from beginning to end after the migration',
  })
  expect(information?.severity).toBe('info')
  expect(information?.title).toMatch(/^Until autovacuum has been there.*in_state/)
  expect(information?.evidence.join()).toMatch(/statistics of orders\.state are gone/)
  expect(information?.advice?.sql).toBe('ANALYZE orders;')
}, 60_000)

test('hundreds of operations on a busy machine: in time, none falsely slower, none left out in silence', async () => {
  const operations = oldTraffic(
    Array.from(
      { length: 220 },
      (_, i) => `-- name: op_${i}\n\\set id random(1, ${1_000 + i})\nselect total from orders where id = :id;\n`,
    ).join('') +
      '-- name: heavy\nselect count(*), sum(total) from orders o join lines l on l.order_id = o.id;\n' +
      '-- name: write\n\\set id random(1, 900)\nupdate lines set text = :id where order_id < 500;\n',
  )
  const busy = [0, 1].map(() => connect(server.admin))
  let stop = false
  const load = busy.map(async (sql) => {
    while (!stop) {
      await sql`select count(*) from generate_series(1, 300000)`
      await new Promise((resolve) => setTimeout(resolve, 60))
    }
  })
  try {
    const { pass, findings } = await rehearsed('alter table orders add column note text;', operations, {
      timingBudgetMs: 8_000,
    })
    expect(pass.timings).toHaveLength(operations.length)
    expect(of(findings, 'query-slower')).toEqual([])
    expect(of(findings, 'plan-changed').filter((one) => one.severity !== 'info')).toEqual([])
    const untimed = pass.timings.filter((t) => t.before === null)
    if (untimed.length > 0) expect(pass.warnings.join()).toContain('Not timed before and after the migration')
    for (const one of untimed) expect(one.reason).toMatch(/./)
    // How many there is time for is the machine's affair.
    expect(untimed.length).toBeLessThan(operations.length)
  } finally {
    stop = true
    await Promise.all(load)
    await Promise.all(busy.map((sql) => sql.end()))
  }
}, 120_000)

test('without a second copy nothing is timed, and it is said; a migration that fails whole is not timed at all', async () => {
  const get = oldTraffic('-- name: get\nselect total from orders where id = 1;\n')
  const none = await rehearsed('alter table orders add column a int;', get, { unmigrated: () => Promise.resolve(null) })
  expect(none.pass.timings).toEqual([])
  expect(none.pass.warnings.join()).toMatch(/The queries were not timed: there is no second copy/)
  const failed = await rehearsed('alter table orders add column id int;', get)
  expect(failed.pass.migration.outcome.ok).toBe(false)
  expect(failed.pass.timings).toEqual([])
}, 60_000)
