/** `rehearse report`, the help texts, and how the command line behaves as part of a script. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { METRICS } from '../../src/judge/budgets.js'
import type { Recording, Report } from '../../src/recording.js'
import * as make from '../fixtures/make.js'
import { type Place, place } from '../support/cli.js'

let here: Place
beforeEach(() => {
  here = place()
})
afterEach(() => here.remove())

const store = (recording: Recording): void => here.write({ 'r.json': JSON.stringify(recording) })

describe('rehearse report', () => {
  test('says the verdict first, writes beside the recording, exits with the code of the verdict', async () => {
    store(make.failReport().recording)
    const { code, stdout, stderr } = await here.run(['report', 'r.json'])
    expect(code).toBe(1)
    expect(stdout).toBe('')
    expect(stderr.split('\n')[0]).toMatch(/^✗ fail {2}/)
    expect(readdirSync(here.cwd).sort()).toEqual([
      'r.json',
      'recording.json',
      'report.html',
      'report.json',
      'report.md',
    ])
  })

  test('--json gives the report and nothing else on stdout, --quiet the verdict and nothing else on stderr', async () => {
    store(make.failReport().recording)
    const { stdout, stderr } = await here.run(['report', 'r.json', '--json', '--quiet', '--format', 'md', '--out', 'o'])
    const report = JSON.parse(stdout) as Report
    expect(report).toMatchObject({ kind: 'report', verdict: 'fail' })
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(stderr).toContain(report.headline)
    expect(readdirSync(join(here.cwd, 'o')).sort()).toEqual(['recording.json', 'report.md'])
    // What was written can be read again.
    expect((await here.run(['report', 'o/recording.json', '--quiet'])).stderr).toBe(stderr)
  })

  test.each([
    ['interrupted by SIGINT', 'INTERRUPTED', 130],
    ['interrupted by SIGTERM', 'INTERRUPTED', 143],
    ['the disk is full: here', 'DISK_FULL', 3],
    ['something that a later version knows', 'LATER', 3],
  ])('a recording that was stopped: %s', async (message, code, exit) => {
    store({ ...make.failReport().recording, complete: false, stopped: { code, message } })
    expect((await here.run(['report', 'r.json', '--quiet'])).code).toBe(exit)
  })

  test('a limit of the command line counts, and so does --fail-on', async () => {
    const { recording } = make.failReport()
    // A data check fails whatever the limits are.
    for (const pass of recording.passes) if (pass.kind !== 'race') pass.dataChecks = []
    store(recording)
    const codes = async (...flags: string[]): Promise<number | null> =>
      (await here.run(['report', 'r.json', '--quiet', ...flags])).code
    const generous = ['lock.held=100ms:1000m', 'operation.blocked=1ms:1000m', 'statement.underLock=1000m'].flatMap(
      (limit) => ['--budget', limit],
    )
    expect(await codes()).toBe(1)
    expect(await codes(...generous)).toBe(0)
    expect(await codes(...generous, '--fail-on', 'warn')).toBe(1)
  })

  test('a reader that has seen enough is no failure', async () => {
    store(make.failReport().recording)
    const started = here.start(['report', 'r.json', '--json'])
    started.child.stdout?.destroy()
    const { code, stderr } = await started.finished
    expect(code).toBe(1)
    expect(stderr).not.toMatch(/EPIPE|^\s+at /m)
  })
})

describe('help', () => {
  test('--version and --help answer on stdout with exit code 0', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    expect(await here.run(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
    for (const args of [['--help'], ['run', '--help'], ['report', '--help'], ['help', 'run']]) {
      const { code, stdout, stderr } = await here.run(args)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      expect(stdout).toMatch(/^Usage: rehearse/)
      expect(stdout).toMatch(/--debug/)
      for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
    }
  })

  const samples: Readonly<Record<string, string>> = {
    '--branch': 'embedded',
    '--postgres': '18',
    '--rows': '200_000',
    '--rate': '12.5',
    '--connections': '80',
    '--warmup': '0s',
    '--baseline': '1.5s',
    '--rollout': '500ms',
    '--settle': '5m',
    '--max-duration': '10m',
    '--seed': '0',
    '--disturb-for': '2s',
    '--port': '5433',
    '--budget': Object.keys(METRICS)
      .map((metric) => `${metric}=1`)
      .join(),
    '--fail-on': 'warn',
    '--out': 'o',
    '--format': 'html,json,md',
  }

  test.each(['run', 'report'])('every flag in the help of %s works, and there is no other', async (command) => {
    const { stdout } = await here.run([command, '--help'])
    const listed = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)(?: <(.*?)>)?/gm)]
    const flags: string[] = []
    for (const [, flag = '', argument] of listed) {
      if (['--help', '--version'].includes(flag)) continue
      if (flag === '--budget')
        for (const [metric, { unit }] of Object.entries(METRICS)) {
          expect(stdout.replace(/\s+/g, ' ')).toContain(metric)
          flags.push(flag, `${metric}=${unit === 'ms' ? '100ms:1s' : '1.5:2'}`)
        }
      else if (argument === undefined) flags.push(flag)
      else flags.push(flag, samples[flag] ?? `no sample for ${flag}`)
    }
    expect(flags).toContain('--debug')
    const { code, stderr } = await here.run([command, 'nowhere', ...flags])
    expect(stderr).toMatch(/^rehearse: nowhere: (no scenario here|cannot be read)/)
    expect(code).toBe(2)
    if (command === 'run') for (const flag of Object.keys(samples)) expect(flags).toContain(flag)
  })
})
