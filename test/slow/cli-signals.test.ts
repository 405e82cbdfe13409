/** The end of a rehearsal that somebody ends from outside: what is written, what is left, and how long it takes. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Recording, Report } from '../../src/recording.js'
import { processes, until } from '../support/child-process.js'
import { type Place, place, SHORT, type Started, tiny } from '../support/cli.js'
import { schemaErrors } from '../support/validate.js'

let here: Place
let started: Started
beforeEach(() => {
  here = place()
})
afterEach(() => {
  started.child.kill('SIGKILL')
  here.remove()
})

/** Waits for half a minute where both releases have their connections: in the timed pass. */
const SLEEPS_UNDER_TRAFFIC = `select pg_sleep(case when count(*) > 10 then 30 else 0 end)
  from pg_stat_activity where usename = 'rehearse_app';\n`

const text = (path: string): string => readFileSync(join(here.cwd, path), 'utf8')

/** Starts a rehearsal and waits until stderr says so. */
async function runUntil(what: RegExp, changes: Parameters<typeof tiny>[1]): Promise<void> {
  here.write(tiny('s', changes))
  started = here.start(['run', 's', ...SHORT, '--out', 'reports/o'])
  await until(`stderr says ${String(what)}`, 60_000, () => {
    if (started.child.exitCode !== null) throw new Error(started.stderr())
    return what.test(started.stderr())
  })
}

const migrating = (): Promise<void> =>
  runUntil(/timed pass\n[^]*migrate\n[^]*pg_sleep/, { 'migrations/001.sql': SLEEPS_UNDER_TRAFFIC })

/** Servers, their helpers and watchdogs of this test: they all carry its temporary folder in their command line. */
const leftRunning = (): string[] =>
  processes()
    .filter((process) => process.command.includes(here.tmp))
    .map((process) => process.command)

async function end(signal: NodeJS.Signals): Promise<{ code: number | null; ms: number }> {
  const start = Date.now()
  started.child.kill(signal)
  const { code } = await started.finished
  return { code, ms: Date.now() - start }
}

async function expectNothingLeft(): Promise<void> {
  // A watchdog may be on its way out.
  await until('no process is left', 3_000, () => leftRunning().length === 0)
  expect(here.leftovers()).toEqual([])
}

describe.skipIf(process.platform !== 'linux')('interrupted', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s while the migration runs under traffic: partial report, exit %i', async (signal, expected) => {
    await migrating()
    expect(leftRunning().length).toBeGreaterThan(1)
    const { code, ms } = await end(signal)
    expect(code).toBe(expected)
    expect(ms).toBeLessThan(10_000)
    await expectNothingLeft()

    const recording = JSON.parse(text('reports/o/recording.json')) as Recording
    expect(recording).toMatchObject({ complete: false, stopped: { code: 'INTERRUPTED' } })
    expect(recording.passes.map((pass) => pass.kind)).toEqual(['quiet', 'timed'])
    expect(schemaErrors('recording', recording)).toEqual([])
    const report = JSON.parse(text('reports/o/report.json')) as Report
    expect(report.verdict).toBe('inconclusive')
    expect(schemaErrors('report', report)).toEqual([])
    expect(text('reports/o/report.html')).toContain('</html>')
    expect(started.stderr()).toContain(`interrupted by ${signal}`)
    expect(started.stderr()).not.toMatch(/^\s+at /m)
  })

  test('SIGINT while a long statement fills the tables: nothing is left at all', async () => {
    await runUntil(/filling the tables/, { 'seed.sql': 'select pg_sleep(60);\n' })
    const { code, ms } = await end('SIGINT')
    expect(code).toBe(130)
    expect(ms).toBeLessThan(10_000)
    expect(started.stderr()).toMatch(/^rehearse: interrupted by SIGINT$/m)
    await expectNothingLeft()
    expect(existsSync(join(here.cwd, 'reports'))).toBe(false)
  })

  test('twice: at once, wherever it is', async () => {
    await runUntil(/quiet pass\n[^]*pg_sleep/, { 'migrations/001.sql': 'select pg_sleep(60);\n' })
    started.child.kill('SIGINT')
    await new Promise((resolve) => setTimeout(resolve, 300))
    const { ms } = await end('SIGINT')
    expect(ms).toBeLessThan(5_000)
    await expectNothingLeft()
    // The first one may have come to its tidy end, with reports, before the second arrived.
    expect(readdirSync(here.cwd).filter((name) => name !== 'reports')).toEqual(['s'])
  })
})

describe.skipIf(process.platform !== 'linux')('killed while the migration runs under traffic', () => {
  test('no server after 5 s, no directory after the next run', async () => {
    await migrating()
    started.child.kill('SIGKILL')
    await until('no process is left', 5_000, () => leftRunning().length === 0)
    const { code, stderr } = await here.run(['run', 's', ...SHORT, '--out', 'again', '--max-duration', '1s', '--quiet'])
    expect([1, 4], stderr).toContain(code)
    await expectNothingLeft()
  })

  test('together with its watchdog: the next run sweeps', async () => {
    await migrating()
    for (const { pid, command } of processes())
      if (command.includes('rehearse-watchdog') && command.includes(here.tmp)) process.kill(pid, 'SIGKILL')
    started.child.kill('SIGKILL')
    await started.finished
    expect(here.leftovers()).toHaveLength(1)
    // Even one that comes to nothing.
    here.write({ 's/seed.sql': 'select * from nothing;\n' })
    expect((await here.run(['run', 's', '--quiet'])).code).toBe(2)
    await expectNothingLeft()
  })
})

describe('an error that nothing waited for', () => {
  test("in the traffic's own code is no verdict: exit 3, without its text", async () => {
    here.write(
      tiny('s', {
        'old.sql': null,
        'old.ts': `export default { operations: { a: { run: async (sql) => {
          setTimeout(() => { throw new TypeError('canary') }, 20)
          await sql\`select 1\`
        } } } }`,
      }),
    )
    started = here.start(['run', 's', ...SHORT, '--out', 'o', '--debug'])
    const { code, stderr } = await started.finished
    expect(code).toBe(3)
    expect(stderr).toMatch(/stopped by an error that nothing\s+waited for \(TypeError\)/)
    expect(stderr).toMatch(/^\s+at .*old\.ts/m)
    expect(stderr).not.toContain('canary')
    expect(JSON.parse(text('o/report.json'))).toMatchObject({
      verdict: 'inconclusive',
      recording: { stopped: { code: 'CRASHED' } },
    })
    await expectNothingLeft()
  })
})
