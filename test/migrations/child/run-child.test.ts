import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cleanUp } from '../../../src/branches/clean-up.js'
import { startClock } from '../../../src/clock.js'
import { runChild, type RunChildOptions } from '../../../src/migrations/child/run-child.js'
import { processes, until } from '../../support/child-process.js'
import { scratch, type Scratch } from './support.js'

let folder: Scratch
let count = 0
beforeEach(() => (folder = scratch()))
afterEach(() => folder.remove())

const env = { PATH: process.env['PATH'] ?? '' }
const run = (line: string, options: Partial<RunChildOptions> = {}) =>
  runChild({
    launch: { kind: 'shell', line },
    cwd: folder.path,
    env,
    signal: new AbortController().signal,
    clock: startClock(),
    secrets: [],
    runDirectory: null,
    ...options,
  })
/** A number of seconds that nobody else sleeps. */
const seconds = (): string => `${700 + count++}.${process.pid}`
const sleeping = (time: string): boolean => processes().some((p) => p.command.trim() === `sleep ${time}`)

describe('the end of the tool', () => {
  test('exit code, both streams, times, no input', async () => {
    const clock = startClock()
    const result = await run('echo one; echo two >&2; cat; sleep 0.05; exit 7', { clock })
    expect(result).toMatchObject({ exitCode: 7, signal: null })
    expect(result.output.split('\n').sort()).toEqual(['', 'one', 'two'])
    expect(result.endMs - result.startMs).toBeGreaterThanOrEqual(45)
    expect(result.endMs).toBeLessThanOrEqual(clock.nowMs())
  })

  test('by a signal', async () => {
    expect(await run('kill -TERM $$')).toMatchObject({ exitCode: null, signal: 'SIGTERM' })
  })

  test('a program and its arguments, without a shell', async () => {
    const launch = { kind: 'program', argv: ['node', '-p', 'process.argv.slice(1).join()', 'a b', '$HOME'] } as const
    expect((await run('', { launch })).output).toBe('a b,$HOME\n')
  })

  test('only the end of much output is kept, and no secret of it', async () => {
    folder.write({
      'much.cjs': `
        for (let i = 0; i < 3000; i++) console.log('postgresql://bob:hunter2@127.0.0.1:1/d secret+word secret%2Bword é' + i)`,
    })
    const { output } = await run('node much.cjs', { secrets: ['secret+word'] })
    expect(output.length).toBeLessThanOrEqual(16 * 1024)
    expect(output).toMatch(/é2999\n$/)
    expect(output.length).toBeGreaterThan(15 * 1024)
    expect(output).not.toMatch(/hunter2|secret/)
  })
})

describe('a tool that cannot be started', () => {
  test.each([
    [{ kind: 'program', argv: ['no-such-tool', 'up'] }, 'no-such-tool: it is not in PATH'],
    [{ kind: 'program', argv: [] }, 'there is no program to start'],
    [{ kind: 'program', argv: ['./plain.txt'] }, './plain.txt: it is not executable'],
  ] as const)('%o', async (launch, message) => {
    folder.write({ 'plain.txt': 'x' })
    await expect(run('', { launch })).rejects.toMatchObject({
      code: 'TOOL_FAILED_TO_START',
      exitCode: 3,
      message: expect.stringContaining(message) as string,
      hint: expect.stringContaining('migrations.command') as string,
    })
  })

  test('in a folder that is not there', async () => {
    await expect(run('true', { cwd: join(folder.path, 'gone') })).rejects.toThrow(/gone is not a folder/)
  })

  test('because it was aborted before', async () => {
    const reason = new Error('stop')
    await expect(run('true', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  })
})

describe('aborted', () => {
  test('the whole group gets SIGINT, and a tool that obeys ends by itself', async () => {
    const time = seconds()
    const controller = new AbortController()
    const running = run(
      `trap 'echo tidy; exit 5' INT; (trap 'echo child tidy; exit' INT; sleep ${time}) & wait; sleep ${time}`,
      {
        signal: controller.signal,
      },
    )
    await until('it runs', 5000, () => sleeping(time))
    controller.abort()
    const result = await running
    expect(result).toMatchObject({ exitCode: 5 })
    expect(result.output).toContain('tidy')
    expect(sleeping(time)).toBe(false)
  })

  test('what ignores SIGINT and SIGTERM is killed, its children and those in sessions of their own too', async () => {
    const [time, inner, apart] = [seconds(), seconds(), seconds()]
    const controller = new AbortController()
    const deaf = `trap '' INT TERM HUP`
    const running = run(
      `${deaf}; sh -c "${deaf}; sleep ${inner}; true" & setsid sh -c "${deaf}; sleep ${apart}; true" & sleep ${time}; sleep ${time}`,
      { signal: controller.signal, killAfterMs: 300 },
    )
    await until('all run', 5000, () => [time, inner, apart].every(sleeping))
    controller.abort()
    expect(await running).toMatchObject({ exitCode: null, signal: 'SIGKILL' })
    expect([time, inner, apart].filter(sleeping)).toEqual([])
  })
})

test('what the tool left running is ended with it, and does not hold the output back', async () => {
  const [time, apart] = [seconds(), seconds()]
  const result = await run(`echo said; sleep ${time} & setsid sleep ${apart} & sleep 0.2`)
  expect(result).toMatchObject({ exitCode: 0, output: 'said\n' })
  expect([time, apart].filter(sleeping)).toEqual([])
})

/** Runs the tool in a process that then ends in one way or the other; resolves when the tool runs. */
async function owner(time: string, runDirectory: string, end: string) {
  const url = (path: string) => JSON.stringify(new URL(`../../../src/${path}`, import.meta.url).pathname)
  folder.write({
    'owner.ts': `
      import { runChild } from ${url('migrations/child/run-child.ts')}
      import { recordChild } from ${url('branches/run-directory.ts')}
      import { startClock } from ${url('clock.ts')}
      void runChild({
        launch: { kind: 'shell', line: "trap '' INT TERM HUP; sleep ${time}; true" },
        cwd: '/', env: { PATH: process.env.PATH ?? '' }, signal: new AbortController().signal, clock: startClock(),
        secrets: [], runDirectory: ${JSON.stringify(runDirectory)},
        onStart: (pid) => recordChild(${JSON.stringify(runDirectory)}, pid),
      })
      setTimeout(() => { ${end} }, 1000)`,
  })
  const root = new URL('../../../', import.meta.url).pathname
  const child = spawn(process.execPath, ['--import', 'jiti/register', join(folder.path, 'owner.ts')], {
    cwd: root,
    stdio: 'inherit',
    env: { ...env, JITI_FS_CACHE: 'false' },
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  await until('the tool runs', 10_000, () => sleeping(time))
  await ended
}

describe('the end of ourselves', () => {
  test.each(['process.exit(0)', "throw new Error('expected by the test')"])(
    'by %s: the tool is killed',
    async (end) => {
      const time = seconds()
      await owner(time, folder.path, end)
      await until('nothing is left', 3000, () => !sleeping(time))
    },
  )

  test('by SIGKILL: whoever cleans the run directory up kills the tool', async () => {
    const time = seconds()
    const runDirectory = join(folder.path, 'run')
    mkdirSync(runDirectory)
    await owner(time, runDirectory, "process.kill(process.pid, 'SIGKILL')")
    expect(sleeping(time)).toBe(true)
    const [recorded] = processes().filter((p) => p.command.includes(`sleep ${time}`) && p.command.startsWith('/bin/sh'))
    expect(readFileSync(join(runDirectory, `child-${recorded?.pid ?? 0}`), 'utf8')).toMatch(/^\d+$/)
    expect(await cleanUp(runDirectory)).toBe(true)
    await until('nothing is left', 3000, () => !sleeping(time))
    expect(existsSync(runDirectory)).toBe(false)
    rmSync(runDirectory, { recursive: true, force: true })
  })
})
