import { execFileSync } from 'node:child_process'
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { copyProject } from '../../../src/migrations/child/tree.js'
import { LIMITS } from '../../../src/migrations/child/tree-files.js'
import { isRoot, nobody } from '../../support/child-process.js'
import { scratch, type Scratch } from './support.js'

let repository: Scratch
let place: Scratch
beforeEach(() => {
  repository = scratch()
  place = scratch()
})
afterEach(() => {
  repository.remove()
  place.remove()
})

const copy = (project = '.') => copyProject(join(repository.path, project), join(place.path, 'copy'))
/** Files and links below a folder, sorted. */
const everything = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) =>
      entry.isDirectory() ? everything(join(folder, entry.name)).map((path) => `${entry.name}/${path}`) : [entry.name],
    )
    .sort()

describe('in git', () => {
  beforeEach(() => {
    repository.git('init', '-q')
    repository.write({
      '.gitignore': 'node_modules\n/dist\n/generated\n.next\n.env*\n!.env.example\n*.log\nsecrets/.pgpass\n',
    })
  })

  test('tracked, new and ignored files come along, but what is built, cached or secret', async () => {
    repository.write({
      'a.sql': 'a',
      'gone.sql': '',
      'packages/db/migrations/1.sql': 'one',
      'packages/db/build/tracked.js': '',
      'generated/client/index.js': 'g',
      'generated/client/node_modules/x/index.js': '',
      'generated/.env': 'DATABASE_URL=postgres://prod/d',
      'dist/main.js': '',
      'packages/db/.next/x.js': '',
      'some.log': '',
      '.env': 'A=1',
      '.env.example': 'A=',
      'packages/db/.env.production': 'B=1',
      'packages/db/.envrc': 'export C=1',
      'supabase/.temp/project-ref': 'x',
      'ünï cödé "q"\n.sql': 'u',
    })
    repository.git('add', '-A')
    rmSync(join(repository.path, 'gone.sql'))
    repository.write({ 'new.sql': 'n' })
    const result = await copy('packages/db')
    expect(everything(result.top)).toEqual(
      [
        '.env.example',
        '.gitignore',
        'a.sql',
        'generated/client/index.js',
        'generated/client/node_modules/x',
        'new.sql',
        'packages/db/build/tracked.js',
        'packages/db/migrations/1.sql',
        'some.log',
        'ünï cödé "q"\n.sql',
      ].sort(),
    )
    expect(result.root).toBe(join(result.top, 'packages/db'))
    expect(readFileSync(join(result.root, 'migrations/1.sql'), 'utf8')).toBe('one')
    expect(result.environmentFiles).toEqual(['../../.env', '../../generated/.env', '.env.production', '.envrc'])
    expect(result).toMatchObject({ databaseVariables: ['DATABASE_URL'], otherVariables: ['A', 'B', 'C'] })
  })

  test('what the tool writes stays in the copy', async () => {
    repository.write({ 'a.sql': 'a', 'node_modules/p/index.js': 'p', 'node_modules/.cache/x': 'x' })
    const { root } = await copy()
    writeFileSync(join(root, 'a.sql'), 'changed')
    mkdirSync(join(root, 'node_modules/.cache'))
    writeFileSync(join(root, 'node_modules/.cache/y'), 'y')
    expect(readFileSync(join(repository.path, 'a.sql'), 'utf8')).toBe('a')
    expect(readdirSync(join(repository.path, 'node_modules/.cache'))).toEqual(['x'])
  })

  test('packages are those of the original, packages of the workspace those of the copy', async () => {
    repository.write({
      'node_modules/.bin/tool': '',
      'node_modules/.pnpm/p@1/node_modules/p/index.js': 'p',
      'node_modules/@scope/q/index.js': 'q',
      'packages/db/package.json': '{}',
      'packages/db/node_modules/r/index.js': 'r',
      'packages/app/index.js': '',
    })
    symlinkSync('.pnpm/p@1/node_modules/p', join(repository.path, 'node_modules/p'))
    symlinkSync('../../packages/db', join(repository.path, 'node_modules/@scope/db'))
    symlinkSync('/nonexistent', join(repository.path, 'node_modules/broken'))
    const { root, top, binFolders } = await copy('packages/db')
    const real = (path: string) => realpathSync(join(top, path))
    expect(real('node_modules/p')).toBe(join(repository.path, 'node_modules/.pnpm/p@1/node_modules/p'))
    expect(real('node_modules/@scope/q')).toBe(join(repository.path, 'node_modules/@scope/q'))
    expect(real('node_modules/@scope/db')).toBe(root)
    expect(real('packages/db/node_modules/r')).toBe(join(repository.path, 'packages/db/node_modules/r'))
    expect(binFolders).toEqual([join(root, 'node_modules/.bin'), join(top, 'node_modules/.bin')])
    expect(existsSync(join(top, 'node_modules/.bin/tool'))).toBe(true)
  })

  test('tracked node_modules are links too, and a submodule is part of it', async () => {
    repository.write({
      '.gitignore': '',
      'node_modules/p/index.js': 'p',
      'sub/migrations/1.sql': 's',
      'sub/.env': 'A=1',
    })
    const sub = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], { cwd: join(repository.path, 'sub') })
    sub('init', '-q')
    sub('add', '-A')
    sub('commit', '-qm', 'x')
    repository.git('add', '-A')
    const { top, environmentFiles } = await copy()
    expect(everything(top)).toEqual(['.gitignore', 'node_modules/p', 'sub/migrations/1.sql'])
    expect(environmentFiles).toEqual(['sub/.env'])
    expect(lstatSync(join(top, 'node_modules/p')).isSymbolicLink()).toBe(true)
  })

  test('links stay links: inside as they are, outside to where they led', async () => {
    repository.write({ 'real/a.sql': 'a' })
    const link = (to: string, name: string) => symlinkSync(to, join(repository.path, name))
    link('real', 'relative')
    link(join(repository.path, 'real/a.sql'), 'absolute')
    link('../elsewhere', 'out')
    link('.env', 'hidden')
    repository.write({ '.env': 'A=1' })
    const { top } = await copy()
    expect(readlinkSync(join(top, 'relative'))).toBe('real')
    expect(realpathSync(join(top, 'absolute'))).toBe(join(top, 'real/a.sql'))
    expect(readlinkSync(join(top, 'out'))).toBe(join(repository.path, '../elsewhere'))
    expect(existsSync(join(top, 'hidden'))).toBe(false)
  })

  test.skipIf(!isRoot)('of another owner', async () => {
    repository.write({ 'a.sql': 'a', 'ignored.log': 'i', 'dist/x': '' })
    const { uid, gid } = nobody()
    for (const path of ['.', '.git', 'a.sql', '.gitignore']) chownSync(join(repository.path, path), uid, gid)
    const { top } = await copy()
    expect(everything(top)).toEqual(['.gitignore', 'a.sql', 'ignored.log'])
  })

  test('a project that the repository around it ignores is on its own', async () => {
    repository.write({ 'generated/app/a.sql': 'a', 'outside.sql': '' })
    const { top, root } = await copy('generated/app')
    expect(root).toBe(top)
    expect(everything(top)).toEqual(['a.sql'])
  })

  test('large files are left out when ignored, and too much of the rest is refused', async () => {
    repository.write({ 'big.log': '', 'big.sql': '' })
    truncateSync(join(repository.path, 'big.log'), LIMITS.ignoredFileBytes + 1)
    truncateSync(join(repository.path, 'big.sql'), LIMITS.ignoredFileBytes + 1)
    expect(everything((await copy()).top)).toEqual(['.gitignore', 'big.sql'])
    truncateSync(join(repository.path, 'big.sql'), LIMITS.bytes + 1)
    await expect(copyProject(repository.path, join(place.path, 'other'))).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('more than 4 GB to copy') as string,
    })
  })

  test('a copy inside the repository does not contain itself', async () => {
    repository.write({ 'a.sql': 'a', 'work/old': 'x', 'work/copy/left': '' })
    const { top } = await copyProject(repository.path, join(repository.path, 'work/copy'))
    expect(everything(top)).toEqual(['.gitignore', 'a.sql', 'left', 'work/old'])
  })
})

test('without git', async () => {
  repository.write({
    'app/a.sql': 'a',
    'app/dist/b.js': 'b',
    'app/.cache/c': '',
    'app/.env': `
      # comment=1
      export ONE='postgres://u:p@prod/d' # tail
      TWO="\${ONE}"
      THREE: jdbc:postgresql://prod/d
      FOUR=$TWO
      KEY="-----BEGIN
      NOT_A_NAME=x
      -----END"
      HOST=\${ONE}/path
      EMPTY=
    `,
    'app/node_modules/p/index.js': '',
  })
  symlinkSync('nowhere', join(repository.path, 'app/.env.link'))
  const result = await copy('app')
  expect(everything(result.root)).toEqual(['a.sql', 'dist/b.js', 'node_modules/p'])
  expect(result).toMatchObject({
    databaseVariables: ['FOUR', 'ONE', 'THREE', 'TWO'],
    otherVariables: ['EMPTY', 'HOST', 'KEY'],
    environmentFiles: ['.env', '.env.link'],
  })
  expect(JSON.stringify(result)).not.toContain('prod')
})
