import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  blank,
  inCopy,
  lineOf,
  listFolder,
  readJson,
  readMigration,
  sha256,
} from '../../../src/migrations/tools/files.js'
import { findPackage, readManifest, refuseLiteralAddress } from '../../../src/migrations/tools/package.js'
import { packageJson, projectOf, requestIn } from '../../support/tool-project.js'

describe('a migration file', () => {
  it('is blanked out with spaces, so that every line and column stays', () => {
    const text = 'a\r\nbé😀c\r\n-- down\nd'
    const blanked = blank(text, [{ start: 3, end: text.indexOf('c') }])
    expect(blanked).toBe('a\r\n    c\r\n-- down\nd')
    expect(blanked).toHaveLength(text.length)
    expect(
      blank('abcdef', [
        { start: 4, end: 9 },
        { start: 0, end: 2 },
        { start: 1, end: 3 },
      ]),
    ).toBe('   d  ')
  })

  it('is read with its byte order mark and the hash of its bytes', async () => {
    const root = projectOf({ 'm/1.sql': '\uFEFFselect 1;\r\n' })
    const file = await readMigration(`${root}/m/1.sql`, { name: '1', shown: requestIn(root).shown })
    expect(file).toMatchObject({ name: '1', shown: 'm/1.sql', kind: 'sql', sql: '\uFEFFselect 1;\r\n' })
    expect(file.sha256).toBe(createHash('sha256').update('\uFEFFselect 1;\r\n').digest('hex'))
    expect(sha256(file.text)).toBe(file.sha256)
  })

  it('of a program has no SQL', async () => {
    const root = projectOf({ '1.js': 'exports.up = () => {}' })
    const file = await readMigration(`${root}/1.js`, { name: '1', shown: requestIn(root).shown, kind: 'code' })
    expect(file).toMatchObject({ kind: 'code', sql: '', text: 'exports.up = () => {}' })
  })

  it('that is missing is named, without a path of the machine', async () => {
    const root = projectOf({ 'a/b': '' })
    const { shown } = requestIn(root)
    await expect(readMigration(`${root}/x.sql`, { name: 'x', shown })).rejects.toThrow(/^x\.sql: does not exist$/)
    await expect(listFolder(`${root}/none`, 'none')).rejects.toThrow(/^none: does not exist$/)
    await expect(listFolder(`${root}/a/b`, 'a/b')).rejects.toThrow(/^a\/b: is no folder$/)
  })

  it('is found by listing, links by what they lead to', async () => {
    const root = projectOf({ 'm/b.sql': '', 'm/sub/x': '', 'm/A.sql@': 'b.sql', 'm/gone@': 'nowhere' })
    const entries = await listFolder(`${root}/m`, 'm')
    expect(entries.map(({ name, kind }) => `${name} ${kind}`)).toEqual([
      'A.sql file',
      'b.sql file',
      'gone other',
      'sub folder',
    ])
  })

  it('outside of the project is not cut out of a copy', () => {
    expect(inCopy('/p/app', '/copy', '/p/app/m/1.sql', '')).toBe('/copy/m/1.sql')
    expect(() => inCopy('/p/app', '/copy', '/p/db/1.sql', '../db/1.sql')).toThrow(/outside the folder of the project/)
    expect(inCopy('/p/app', '/copy', '/p/app/..m/1.sql', '')).toBe('/copy/..m/1.sql')
  })
})

describe('JSON', () => {
  it.each([
    ['{\n  "a": 1,\n  "url": postgres://u:hunter2@h/db\n}', 3],
    ['{\n "a": 1\n "b": 2\n}\n', 3],
    ['{\n "a": 1,\n', 3],
    ['{ "a": "x\ny" }', 1],
    ['', 1],
    ['{\n}\n}', 3],
  ])('that is broken is told by its line, and none of it repeated (%#)', async (text, line) => {
    const root = projectOf({ 'x.json': text })
    const error: unknown = await readJson(`${root}/x.json`, 'x.json').catch((e: unknown) => e)
    expect(String(error)).toBe(`RehearsalError: x.json:${line}: is not valid JSON`)
  })

  it('with a byte order mark is read', async () => {
    const root = projectOf({ 'x.json': '\uFEFF{"a":1}' })
    expect((await readJson(`${root}/x.json`, 'x.json')).value).toEqual({ a: 1 })
    expect(lineOf('a\nb\nc', 'x', 'c')).toBe(3)
  })
})

describe('an installed package', () => {
  it('is found upwards, in a hoisted monorepo', async () => {
    const root = projectOf({ 'node_modules/tool/package.json': packageJson('tool', '1.2.3'), 'packages/db/x': '' })
    expect(await findPackage('tool', `${root}/packages/db`)).toEqual({
      name: 'tool',
      version: '1.2.3',
      folder: `${root}/node_modules/tool`,
      bins: { tool: `${root}/node_modules/tool/bin.cjs` },
    })
    expect(await findPackage('tool', `${root}/node_modules/tool`)).toMatchObject({ version: '1.2.3' })
    expect(await findPackage('none-such-package', root)).toBeNull()
  })

  it('of the project wins over a hoisted one, and scopes and a plain bin are read', async () => {
    const root = projectOf({
      'node_modules/@a/tool/package.json': packageJson('@a/tool', '1.0.0'),
      'db/node_modules/@a/tool/package.json': JSON.stringify({ name: '@a/tool', version: '2.0.0', bin: './cli.js' }),
    })
    const found = await findPackage('@a/tool', `${root}/db`)
    expect(found).toMatchObject({ version: '2.0.0', bins: { tool: `${root}/db/node_modules/@a/tool/cli.js` } })
  })

  it("is looked for from pnpm's store, where the link leads", async () => {
    const root = projectOf({
      'node_modules/.pnpm/kit@1/node_modules/kit/package.json': packageJson('kit', '1.0.0'),
      'node_modules/.pnpm/kit@1/node_modules/orm/package.json': packageJson('orm', '9.0.0'),
      'node_modules/kit@': '.pnpm/kit@1/node_modules/kit',
    })
    const kit = await findPackage('kit', root)
    expect(kit?.folder).toBe(`${root}/node_modules/.pnpm/kit@1/node_modules/kit`)
    expect(await findPackage('orm', root)).toBeNull()
    expect(await findPackage('orm', kit?.folder ?? '')).toMatchObject({ version: '9.0.0' })
  })
})

describe('package.json', () => {
  it('gives scripts and dependencies', async () => {
    const root = projectOf({
      'package.json': '{"scripts":{"a":"b","c":1},"devDependencies":{"x":"1"},"dependencies":{"y":"1"}}',
    })
    const manifest = await readManifest(root, requestIn(root).shown)
    expect(manifest?.scripts).toEqual({ a: 'b' })
    expect([...(manifest?.dependencies ?? [])].sort()).toEqual(['x', 'y'])
    expect(await readManifest(`${root}/none`, requestIn(root).shown)).toBeNull()
  })
})

describe('a literal address in a command', () => {
  it.each([
    'drizzle-kit migrate --url postgres://me:hunter2@db/x',
    'DB_URL=x drizzle-kit migrate',
    'env FOO=1 DB_URL="x" drizzle-kit migrate',
  ])('is refused without being repeated: %s', (command) => {
    const refuse = () => refuseLiteralAddress(command, [{ name: 'DB_URL', part: 'url' }], 'migrations.command')
    expect(refuse).toThrow(/^migrations\.command: .*remove it/)
    expect(refuse).not.toThrow(/hunter2/)
  })

  it('is no other variable', () => {
    const variables = [{ name: 'DB_URL', part: 'url' }] as const
    expect(() => refuseLiteralAddress('MY_DB_URL=1 x --db-url $DB_URL', variables, 'x')).not.toThrow()
  })
})
