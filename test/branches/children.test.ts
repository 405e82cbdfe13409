import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { cleanUp, startWatchdog } from '../../src/branches/clean-up.js'
import { recordChild } from '../../src/branches/run-directory.js'
import { processes, until } from '../support/child-process.js'

let base: string
let directory: string
const started: ChildProcess[] = []
let count = 0
beforeEach(() => {
  base = mkdtempSync(join(os.tmpdir(), 'rehearse-test-'))
  directory = join(base, 'pg-rehearse-0-run dir')
  mkdirSync(directory)
})
afterEach(() => {
  for (const child of started.splice(0))
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL')
    } catch {
      child.kill('SIGKILL')
    }
  rmSync(base, { recursive: true, force: true })
})

/** A shell that leads a group and has a child; neither listens to anything but SIGKILL. */
function tool(env: Record<string, string> = {}): { pid: number; alive: () => boolean } {
  const seconds = `${600 + count++}.${process.pid}`
  const child = spawn('/bin/sh', ['-c', `trap '' INT TERM QUIT HUP; sleep ${seconds}; sleep ${seconds}`], {
    detached: true,
    stdio: 'ignore',
    env: { PATH: process.env['PATH'], ...env },
  })
  started.push(child)
  return { pid: child.pid ?? 0, alive: () => processes().some((p) => p.command.includes(`sleep ${seconds}`)) }
}

test('a recorded child and what it started are killed with the run directory', async () => {
  const [ours, other] = [tool(), tool()]
  await until('both run', 5000, () => ours.alive() && other.alive())
  await recordChild(directory, ours.pid)
  expect(await cleanUp(directory)).toBe(true)
  expect(existsSync(directory)).toBe(false)
  await until('the child is gone', 5000, () => !ours.alive())
  expect(other.alive()).toBe(true)
})

test('a process that only has the same id is left alone', async () => {
  const other = tool()
  await until('it runs', 5000, other.alive)
  writeFileSync(join(directory, `child-${other.pid}`), '1')
  writeFileSync(join(directory, 'child-4194305'), '')
  expect(await cleanUp(directory)).toBe(false)
  expect(other.alive()).toBe(true)
})

test.skipIf(process.platform !== 'linux')('a process with the mark of the run is killed wherever it went', async () => {
  const marked = tool({ REHEARSE_CHILD: `${directory}/1` })
  const other = tool({ REHEARSE_CHILD: `${directory}2/1` })
  await until('both run', 5000, () => marked.alive() && other.alive())
  expect(await cleanUp(directory)).toBe(true)
  await until('it is gone', 5000, () => !marked.alive())
  expect(other.alive()).toBe(true)
})

test('recording a process that has ended already is nothing', async () => {
  await recordChild(directory, 4_194_305)
  expect(await cleanUp(directory)).toBe(false)
})

test('the watchdog ends recorded children too', async () => {
  const ours = tool()
  await until('it runs', 5000, ours.alive)
  await recordChild(directory, ours.pid)
  // A watchdog whose owner dies: here a Node process that starts one and is killed.
  const watchdog = startWatchdog(directory)
  expect(ours.alive()).toBe(true)
  await watchdog.dismiss()
  expect(ours.alive()).toBe(true)
  const owner = spawn(
    process.execPath,
    [
      '--import',
      'jiti/register',
      '--input-type=module',
      '-e',
      `const module = await import(${JSON.stringify(new URL('../../src/branches/clean-up.ts', import.meta.url).href)})
       ;(module.startWatchdog ?? module.default.startWatchdog)(${JSON.stringify(directory)}); console.log('ready'); setInterval(() => {}, 1000)`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env['PATH'] } },
  )
  started.push(owner)
  await new Promise((resolve) => owner.stdout.once('data', resolve))
  owner.kill('SIGKILL')
  await until('everything is gone', 10_000, () => !ours.alive() && !existsSync(directory))
})
