/** Whole runs of the command line: several scenarios, exit codes, where the reports go, a server that dies. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Report } from '../../src/recording.js'
import { processes, until } from '../support/child-process.js'
import { type Place, place, SHORT, tiny } from '../support/cli.js'

let here: Place
beforeEach(() => {
  here = place()
})
afterEach(() => here.remove())

test('several scenarios: one that cannot be filled costs nothing of the others', async () => {
  here.write({
    ...tiny('bad', { 'seed.sql': 'select * from nothing;\n' }),
    ...tiny('good'),
    ...tiny('failing', { 'migrations/001.sql': 'alter table t add column w text not null;\n' }),
  })
  const { code, stdout, stderr } = await here.run(['run', 'bad', 'good', 'failing', ...SHORT, '--json', '--out', 'o'])
  expect(code, stderr).toBe(1)
  expect(stderr).toMatch(/^rehearse: bad: bad\/seed\.sql:1: seeding failed: /m)
  const reports = JSON.parse(stdout) as Report[]
  expect(reports.map((report) => [report.recording.name, report.recording.complete])).toEqual([
    ['good', true],
    ['failing', true],
  ])
  expect(reports[1]?.verdict).toBe('fail')
  expect(readdirSync(join(here.cwd, 'o')).sort()).toEqual(['failing', 'good'])
  expect(here.leftovers()).toEqual([])
})

test('--fail-on warn, --format, --seed and the default folder', async () => {
  // Without a lock_timeout, which is a warning.
  here.write(tiny('s', { 'migrations/001.sql': 'alter table t add column w text;\n' }))
  const args = ['run', 's', ...SHORT, '--quiet', '--format', 'md', '--seed', '7']
  const { code, stdout, stderr } = await here.run([...args, '--fail-on', 'warn'])
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(/^! warn {2}s: .*\n$/)
  const [folder = ''] = readdirSync(join(here.cwd, 'reports/s'))
  expect(folder).toMatch(/^\d{8}T\d{6}Z-[0-9a-f]{7}$/)
  expect(readdirSync(join(here.cwd, 'reports/s', folder)).sort()).toEqual(['recording.json', 'report.md'])
})

test.skipIf(process.platform !== 'linux')(
  'a server that dies is no verdict: exit 3, with what was recorded',
  async () => {
    here.write(
      tiny('s', {
        'migrations/001.sql': `select pg_sleep(case when count(*) > 10 then 30 else 0 end)
        from pg_stat_activity where usename = 'rehearse_app';\n`,
      }),
    )
    const started = here.start(['run', 's', ...SHORT, '--out', 'o', '--json'])
    try {
      await until('the migration runs', 60_000, () => /timed pass\n[^]*pg_sleep/.test(started.stderr()))
      for (const { pid, command } of processes())
        if (command.includes(here.tmp) && /\/postgres -D /.test(command)) process.kill(pid, 'SIGKILL')
      const { code, stdout, stderr } = await started.finished
      expect(code, stderr).toBe(3)
      expect(stderr).not.toMatch(/in the tool itself|^\s+at /m)
      const report = JSON.parse(stdout) as Report
      expect(report.recording).toMatchObject({ complete: false, stopped: { code: 'CONNECTION_LOST' } })
      expect(report.verdict).not.toBe('pass')
      expect(here.leftovers()).toEqual([])
    } finally {
      started.child.kill('SIGKILL')
    }
  },
)
