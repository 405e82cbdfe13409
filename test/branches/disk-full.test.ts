import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asDiskFull, branches, readServerLog } from '../../src/branches/index.js'
import { ROLES, connect } from '../support/postgres.js'

const before = process.env['TMPDIR']
let disk: string

/** Makes the temporary folder a disk of its own with this many MB. False where that is not allowed. */
function smallDisk(megabytes: number): boolean {
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=1777`, 'tmpfs', disk])
  return status === 0
}
const mayMount = ((): boolean => {
  const probe = mkdtempSync(join(os.tmpdir(), 'rehearse-test-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', probe]).status === 0
  if (mounted) spawnSync('umount', [probe])
  rmSync(probe, { recursive: true })
  return mounted
})()

describe.skipIf(!mayMount)('a full disk (needs the right to mount)', () => {
  beforeEach(() => {
    disk = mkdtempSync(join(os.tmpdir(), 'rehearse-test-'))
    chmodSync(disk, 0o755)
    process.env['TMPDIR'] = disk
  })
  afterEach(() => {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
    spawnSync('umount', [disk])
    rmSync(disk, { recursive: true, force: true })
  })

  test.each([8, 30, 45])('of %i MB stops the opening and leaves nothing', async (megabytes) => {
    expect(smallDisk(megabytes)).toBe(true)
    await expect(branches.embedded.open({ major: 18, roles: ROLES })).rejects.toMatchObject({ code: 'DISK_FULL' })
    expect(readdirSync(disk)).toEqual([])
  })

  test('while forking leaves the branch closable', async () => {
    expect(smallDisk(150)).toBe(true)
    const branch = await branches.embedded.open({ major: 18, roles: ROLES })
    try {
      const sql = connect(branch.address('migrate'))
      await sql`CREATE TABLE t (x text)`
      await sql`INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 30000)`
      await sql.end()
      await branch.seal()
      await expect(branch.fork('a')).rejects.toMatchObject({ code: 'DISK_FULL' })
    } finally {
      await branch.close()
    }
    expect(readdirSync(disk)).toEqual([])
  })

  test.each([
    ['in a table', 'UNLOGGED'],
    ['in the write-ahead log, which takes the server down', ''],
  ])('while filling is recognised: %s', async (_, kind) => {
    expect(smallDisk(120)).toBe(true)
    const branch = await branches.embedded.open({ major: 18, roles: ROLES })
    try {
      const sql = connect(branch.address('migrate'))
      await sql.unsafe(`CREATE ${kind} TABLE t (x text)`)
      const error: unknown =
        await sql`INSERT INTO t SELECT repeat('canary', 200) FROM generate_series(1, 300000)`.catch(
          (caught: unknown) => caught,
        )
      await sql.end({ timeout: 1 })
      expect(asDiskFull(error, branch.serverLog)).toMatchObject({ code: 'DISK_FULL' })
      if (kind === 'UNLOGGED') return
      expect(readFileSync(branch.serverLog, 'utf8')).toMatch(/PANIC/)
      expect(readServerLog(branch.serverLog)).toMatch(/PANIC/)
      expect(readServerLog(branch.serverLog)).not.toMatch(/canary/)
      await expect(branch.seal()).rejects.toMatchObject({ code: 'DISK_FULL' })
    } finally {
      await branch.close()
    }
    expect(readdirSync(disk)).toEqual([])
  })
})
