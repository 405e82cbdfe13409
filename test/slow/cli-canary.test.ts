/**
 * No data in any output. A rehearsal full of canary values, in rows, parameters, literals, messages of the server and of
 * the scenario's own code, and every byte that it writes or prints searched for them and for the passwords of the run.
 */
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Recording, Report } from '../../src/recording.js'
import { processes } from '../support/child-process.js'
import { type Finished, type Place, place, SHORT } from '../support/cli.js'
import { schemaErrors } from '../support/validate.js'

let here: Place
beforeEach(() => {
  here = place()
})
afterEach(() => here.remove())

/** Every canary, by the place where it is planted. Numbers too: a literal without quotes must not show either. */
const CANARY = {
  seedSql: 'canaryseedsql',
  seedTs: 'canaryseedts',
  bytes: 'canarybytes',
  variable: '918273645546',
  literal: 'canaryliteral',
  number: '564738291019',
  inline: 'canaryinline',
  comment: 'canarycomment',
  parameter: 'canaryparameter',
  thrown: 'canarythrown',
  regclass: 'canaryregclass',
  setting: 'canarysetting',
  check: 'canarycheckquery',
  environment: 'canaryenvironment',
} as const

const SCENARIO = {
  'scenario.ts': "export default { seed: ['seed.sql', 'more.ts'], traffic: { old: 'old.sql', new: 'new.ts' } }",
  'schema.sql': `
    create table t (id bigint primary key, v text not null check (v not like '%refused%'), raw bytea);
    create table u (id bigint primary key, v text not null unique);
    create function complain(x bigint) returns void language plpgsql as $$
      begin raise exception 'this row: %', (select v from t where id = x) using
        detail = (select v from t where id = x), hint = (select v from t where id = x);
      end $$;
    create function complain_as_duplicate(x bigint) returns void language plpgsql as $$
      begin raise unique_violation using message = (select v from t where id = x); end $$;`,
  'seed.sql': `insert into t select g, '${CANARY.seedSql}' || g, '${CANARY.bytes}' from generate_series(1, :n) g;`,
  'more.ts': `import { defineSeed } from 'pg-rehearse'
    export default defineSeed({ tables: { u: { rows: ({ n }) => n, columns: ['id', 'v'],
      row: (i) => ({ id: i, v: '${CANARY.seedTs}' + i }) } } })`,
  'old.sql': `
-- name: read
\\set id random(1, :n)
\\set x ${CANARY.variable}
select v, '${CANARY.literal}' /* ${CANARY.comment} */ from t where id = :id or id = :x or id = ${CANARY.number};
-- name: inline; prepared: no
\\set x ${CANARY.variable}
select v from t where v = '${CANARY.inline}' or id = :x;
-- name: refused
\\set id random(1, :n)
insert into t values (${CANARY.number} + :id, '${CANARY.literal} refused');
-- name: duplicate
\\set id random(1, :n)
insert into u select ${CANARY.number} + :id, v from u where id = :id;
-- name: cast
\\set id random(1, :n)
select v::int from t where id = :id;
-- name: cast_inline; prepared: no
select id from t where v::int = 3;
-- name: raise
\\set id random(1, :n)
select complain(:id);
-- name: raise_duplicate; prepared: no
\\set id random(1, :n)
select complain_as_duplicate(:id);
-- name: no_such_relation; prepared: no
select '${CANARY.regclass}'::regclass;
-- name: no_such_setting; prepared: no
select set_config('work_mem', '${CANARY.setting}', true);
`,
  'new.ts': `import { defineTraffic } from 'pg-rehearse'
    export default defineTraffic({ operations: {
      find: { run: (sql) => sql\`select id from t where v = \${'${CANARY.parameter}'}\` },
      bad_parameter: { run: (sql) => sql.unsafe('select id from t where id = $1', ['${CANARY.parameter}']) },
      duplicate: { run: (sql) => sql\`insert into u values (1, \${'${CANARY.parameter}'})\` },
      throws: { run: async () => { throw new Error('${CANARY.thrown}') } },
      throws_text: { run: async () => { throw '${CANARY.thrown}' } },
      throws_code: { run: async () => { throw Object.assign(new Error('${CANARY.thrown}'), { code: '${CANARY.thrown}' }) } },
    } })`,
  'checks.sql': `
-- name: finds_rows
select v from t where v <> '${CANARY.check}'
-- name: cannot_run
select v from t where v::int = 3
`,
  // What is written here is the user's own text and may be shown; what it meets in the rows may not.
  'migrations/001.sql': `
    do $$ begin raise notice '%', (select v from t where id = 1); raise warning '%', (select v from u where id = 1); end $$;
    alter table t add column w text;
    update t set w = v where id < 10;`,
  'rollback.sql': 'alter table t alter column w type int using w::int;',
}

/** The only file that has anything in it that the migration itself did not say: one more, which meets the rows. */
const FAILING = { 'migrations/002.sql': 'select pg_sleep(0.3);\nalter table u alter column v type int using v::int;' }

/** Loaded into the command line's process: tells the secrets that are made there. */
const SPY = `
const crypto = require('node:crypto'), fs = require('node:fs'), original = crypto.randomBytes
crypto.randomBytes = (size, ...rest) => {
  const bytes = original(size, ...rest)
  if (size >= 16 && !rest.length) fs.appendFileSync(process.env.SPY_FILE, bytes.toString('base64url') + '\\n')
  return bytes
}
require('node:module').syncBuiltinESMExports()
`

interface Searched extends Finished {
  secrets: string[]
  /** Where it was found -> text, for everything that anybody could see. */
  seen: Map<string, string>
}

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false)

/**
 * Files of the run directories themselves: settings, logs. The folders below hold the data, and only the database's user
 * may enter them; the file with the first password is as closed, and gone when the server starts.
 */
const runFiles = (tmp: string): string[] =>
  readdirSync(tmp).flatMap((directory) => {
    try {
      return readdirSync(join(tmp, directory), { withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.name !== 'password')
        .map((entry) => join(tmp, directory, entry.name))
    } catch {
      return []
    }
  })

/** Runs the scenario and keeps everything that it writes: files, screen, server logs and command lines while it runs. */
async function runSearched(files: Readonly<Record<string, string>>, flags: readonly string[]): Promise<Searched> {
  here.write(Object.fromEntries(Object.entries(files).map(([name, text]) => [`s/${name}`, text])))
  const aside = join(here.cwd, '..', 'aside')
  mkdirSync(aside)
  here.write({ '../aside/spy.cjs': SPY, '../aside/secrets': '' })
  const started = here.start(['run', 's', ...SHORT, '--rate', '80', ...flags], {
    env: {
      NODE_OPTIONS: `--require ${join(aside, 'spy.cjs')}`,
      SPY_FILE: join(aside, 'secrets'),
      PGPASSWORD: CANARY.environment,
      DATABASE_URL: `postgres://someone:${CANARY.environment}@production/db`,
    },
  })
  const seen = new Map<string, string>()
  const look = (): void => {
    for (const path of runFiles(here.tmp))
      try {
        seen.set(path, readFileSync(path, 'utf8'))
      } catch {
        // Gone in the meantime.
      }
    for (const { pid, command } of processes())
      if (command.includes(here.tmp)) {
        seen.set(`command line of ${command.slice(0, 40)}`, command)
        try {
          seen.set(`environment of ${command.slice(0, 40)}`, readFileSync(`/proc/${pid}/environ`, 'utf8'))
        } catch {
          // Gone in the meantime.
        }
      }
  }
  const timer = setInterval(look, 100)
  const finished = await started.finished
  clearInterval(timer)
  seen.set('stdout', finished.stdout).set('stderr', finished.stderr)
  for (const path of filesBelow(here.cwd))
    if (!path.startsWith(join(here.cwd, 's/'))) seen.set(path.slice(here.cwd.length + 1), readFileSync(path, 'utf8'))
  const secrets = readFileSync(join(aside, 'secrets'), 'utf8').trim().split('\n').filter(Boolean)
  return { ...finished, secrets, seen }
}

/** Where a canary or a password can be seen. Bytes are looked for in hexadecimal too. */
function leaks({ seen, secrets }: Searched): string[] {
  const wanted: [string, string][] = Object.entries(CANARY).flatMap(([name, value]) => [
    [name, value],
    [`${name} in hexadecimal`, Buffer.from(value).toString('hex')],
  ])
  for (const [index, secret] of secrets.entries()) wanted.push([`password ${index}`, secret])
  return [...seen].flatMap(([where, text]) =>
    wanted.flatMap(([name, value]) => {
      const at = text.indexOf(value)
      return at === -1 ? [] : [`${name} in ${where}: ${text.slice(Math.max(0, at - 80), at + 80)}`]
    }),
  )
}

const onLinux = test.skipIf(process.platform !== 'linux')

onLinux('a migration that works, with traffic that goes wrong in every way', async () => {
  const ran = await runSearched(SCENARIO, ['--json', '--debug'])
  expect(ran.secrets.length).toBeGreaterThanOrEqual(3)
  expect(leaks(ran)).toEqual([])

  // All of it did happen, and is told without values.
  const report = JSON.parse(ran.stdout) as Report
  const timed = report.recording.passes.find((pass) => pass.kind === 'timed')
  const told = new Set(timed?.errors.map(({ operation, error }) => `${operation} ${error.sqlstate}`))
  for (const expected of [
    ...['refused 23514', 'duplicate 23505', 'cast 22P02', 'cast_inline 22P02', 'raise P0001', 'raise_duplicate 23505'],
    ...['no_such_relation 42P01', 'no_such_setting 22023', 'throws CLIENT', 'throws_text CLIENT', 'throws_code CLIENT'],
  ])
    expect([...told]).toContain(expected)
  const quiet = report.recording.passes.find((pass) => pass.kind === 'quiet')
  expect(quiet?.dataChecks.map((check) => [check.rowsAfter, check.error?.sqlstate])).toEqual([
    [100, undefined],
    [null, '22P02'],
  ])
  expect(quiet?.rollback?.run.outcome).toMatchObject({ ok: false, error: { sqlstate: '22P02' } })
  expect(report.recording.operations.find((one) => one.name === 'read')?.sql[0]).toMatch(/^select v, \$\d/)

  // The logs of the servers were looked at, and the files are what their schemas say.
  expect([...ran.seen.keys()].filter((path) => path.endsWith('.log')).length).toBeGreaterThanOrEqual(3)
  const [out] = [...ran.seen.keys()].filter((path) => path.endsWith('/recording.json'))
  const recording = JSON.parse(ran.seen.get(out ?? '') ?? '') as Recording
  expect(schemaErrors('recording', recording)).toEqual([])
  expect(schemaErrors('report', report)).toEqual([])
  expect(out).toMatch(/^reports\/s\/\d{8}T\d{6}Z-[0-9a-f]{7}\/recording\.json$/)
})

onLinux('a migration that fails on a row', async () => {
  const ran = await runSearched({ ...SCENARIO, ...FAILING }, ['--json', '--debug'])
  expect(ran.code).toBe(1)
  expect(leaks(ran)).toEqual([])
  const report = JSON.parse(ran.stdout) as Report
  for (const pass of report.recording.passes)
    expect(pass.kind === 'race' ? null : pass.migration.outcome).toMatchObject({
      ok: false,
      error: { sqlstate: '22P02' },
    })
})

onLinux.each([
  [
    'schema.sql',
    `create table t (v text); insert into t values ('${CANARY.seedSql}'); select v::int from t;`,
    'SCHEMA',
  ],
  ['seed.sql', `insert into t values (1, '${CANARY.seedSql}'); insert into t select * from t;`, 'SEED'],
  [
    'more.ts',
    `export default { tables: { u: { rows: 2, columns: ['id', 'v'], row: () => ({ id: 1, v: '${CANARY.seedTs}' }) } } }`,
    'SEED',
  ],
  ['scenario.ts', "export default { roleSettings: { app: { work_mem: 'elephant' } } }", ''],
])('a failure in %s, with --debug', async (file, text) => {
  const ran = await runSearched({ ...SCENARIO, [file]: text }, ['--debug'])
  expect(ran.stderr).toMatch(/^rehearse: /m)
  expect(ran.stderr).toMatch(/^\s+at /m)
  expect([2, 3]).toContain(ran.code)
  expect(leaks(ran)).toEqual([])
})
