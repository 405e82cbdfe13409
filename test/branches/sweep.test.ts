import {
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  existsSync,
  readFileSync,
} from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { branches, sweep } from '../../src/branches/index.js'
import { processStart } from '../../src/branches/run-directory.js'
import { ROLES } from '../support/postgres.js'

let scratch: string
const before = process.env['TMPDIR']
beforeEach(() => {
  scratch = mkdtempSync(join(os.tmpdir(), 'rehearse-test-'))
  process.env['TMPDIR'] = scratch
})
afterEach(() => {
  if (before === undefined) delete process.env['TMPDIR']
  else process.env['TMPDIR'] = before
  rmSync(scratch, { recursive: true, force: true })
})

const uid = process.getuid?.() ?? 0
function runDirectory(name: string, owner: unknown): string {
  const directory = join(scratch, `pg-rehearse-${uid}-${name}`)
  mkdirSync(join(directory, 'data'), { recursive: true })
  if (owner !== undefined) writeFileSync(join(directory, 'owner.json'), JSON.stringify(owner))
  return directory
}

/** What this process would write about itself: taken from a real run directory, through a branch that fails early. */
async function ourOwner(): Promise<Record<string, unknown>> {
  const { createRunDirectory } = await import('../../src/branches/run-directory.js')
  const { OURSELVES } = await import('../../src/branches/user.js')
  const directory = await createRunDirectory(OURSELVES)
  const owner = JSON.parse(readFileSync(join(directory, 'owner.json'), 'utf8')) as Record<string, unknown>
  rmSync(directory, { recursive: true })
  return owner
}

test('only what belongs to a dead process of this user and machine is removed', async () => {
  const ours = await ourOwner()
  expect(ours['pid']).toBe(process.pid)
  const dead = [
    runDirectory('ended', { ...ours, pid: 2 ** 22 + 1 }),
    runDirectory('reused', { ...ours, started: '1' }),
    runDirectory('unowned', undefined),
  ]
  const old = new Date(Date.now() - 10 * 60_000)
  utimesSync(join(scratch, `pg-rehearse-${uid}-unowned`), old, old)
  const kept = [
    runDirectory('living', ours),
    runDirectory('elsewhere', { ...ours, pid: 2 ** 22 + 1, host: 'another machine' }),
    runDirectory('strange', { hello: 'world' }),
    runDirectory('fresh', undefined),
  ]
  mkdirSync(join(scratch, 'precious'))
  const link = join(scratch, `pg-rehearse-${uid}-link`)
  symlinkSync(join(scratch, 'precious'), link)
  const swept = await sweep()
  expect(swept.map((entry) => entry.directory).sort()).toEqual(dead.sort())
  expect(swept.every((entry) => !entry.serverStopped)).toBe(true)
  for (const directory of dead) expect(existsSync(directory), directory).toBe(false)
  for (const directory of [...kept, link, join(scratch, 'precious')])
    expect(existsSync(directory), directory).toBe(true)
})

test('a postmaster.pid with the id of an innocent process does not get it killed', async () => {
  const directory = runDirectory('ended', { ...(await ourOwner()), pid: 2 ** 22 + 1 })
  writeFileSync(join(directory, 'data', 'postmaster.pid'), `${process.pid}\n${directory}/data\n`)
  expect(await sweep()).toEqual([{ directory, serverStopped: false }])
})

test('opening a branch sweeps, and works where the path is too long for a socket', async () => {
  const deep = join(scratch, 'a'.repeat(90))
  mkdirSync(deep)
  process.env['TMPDIR'] = deep
  const dead = join(deep, `pg-rehearse-${uid}-dead`)
  mkdirSync(dead)
  writeFileSync(join(dead, 'owner.json'), JSON.stringify({ ...(await ourOwner()), pid: 2 ** 22 + 1 }))
  const { chmodSync } = await import('node:fs')
  chmodSync(scratch, 0o755)
  const branch = await branches.embedded.open({ major: 18, roles: ROLES })
  expect(existsSync(dead)).toBe(false)
  await branch.close()
})

test('a temporary folder that PostgreSQL cannot enter is a clear error', async () => {
  if (uid !== 0) return
  await expect(branches.embedded.open({ major: 18, roles: ROLES })).rejects.toThrow(/TMPDIR.*cannot be entered by/)
})

test('the start of a process tells it from others', async () => {
  expect(await processStart(process.pid)).toBe(await processStart(process.pid))
  expect(await processStart(process.pid)).not.toBe(await processStart(1))
  expect(await processStart(2 ** 22 + 1)).toBeNull()
})
