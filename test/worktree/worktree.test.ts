import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import { importDefault } from '../../src/scenario/module.js'
import { openWorktree, type Worktree, type WorktreeOptions } from '../../src/worktree/worktree.js'
import { repository, type Repository } from './repository.js'

const open = (repo: Repository, options: Partial<WorktreeOptions> = {}): Promise<Worktree> =>
  openWorktree({
    project: repo.root,
    ref: 'v1',
    into: repo.into,
    shell: process.env,
    signal: new AbortController().signal,
    ...options,
  })

async function failure(promise: Promise<unknown>): Promise<RehearsalError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  )
  if (error instanceof RehearsalError) return error
  throw new Error('no RehearsalError', { cause: error })
}

const at = (root: string, name: string): string => readFileSync(join(root, name), 'utf8')
const PACKAGE = JSON.stringify({ name: 'shop', dependencies: { a: '1.0.0' } })

describe('the files of a ref', () => {
  test('are those of the ref, and nothing of the repository is changed', async () => {
    const repo = repository()
    const first = repo.commit({
      'src/schema.ts': 'old',
      'gone.ts': 'gone',
      '.gitattributes': 'gone.ts export-ignore\n',
    })
    repo.git('tag', 'v1')
    repo.git('rm', '--quiet', 'gone.ts')
    repo.commit({ 'src/schema.ts': 'new' })
    repo.write({ 'src/schema.ts': 'changed', 'untracked.ts': 'x', 'staged.ts': 'y' })
    repo.git('add', 'staged.ts')
    // As a user may have set; it must not leave anything out.
    repo.git('config', 'core.sparseCheckout', 'true')
    repo.write({ '.git/info/sparse-checkout': '/src/\n' })
    const before = repo.state()
    const tree = await open(repo)
    expect(tree).toMatchObject({ commit: first, dependencies: 'linked', notes: [] })
    expect(readdirSync(tree.root).sort()).toEqual(['.gitattributes', 'gone.ts', 'src'])
    expect(at(tree.root, 'src/schema.ts')).toBe('old')
    expect(repo.state()).toBe(before)
    await tree.remove()
    await tree.remove()
    expect(readdirSync(dirname(repo.into))).toEqual([])
    expect(at(repo.root, 'src/schema.ts')).toBe('changed')
  })

  test('whatever a git hook has left in our environment', async () => {
    const repo = repository()
    repo.commit({ 'a.ts': 'old' })
    repo.git('tag', 'v1')
    for (const [name, value] of Object.entries({
      GIT_DIR: '/nowhere',
      GIT_INDEX_FILE: join(repo.root, '.git/index'),
    })) {
      process.env[name] = value
      onTestFinished(() => void Reflect.deleteProperty(process.env, name))
    }
    expect(at((await open(repo)).root, 'a.ts')).toBe('old')
  })

  test('without .env files, and with a note of submodules and pointers', async () => {
    const inner = repository()
    inner.commit({ 'lib.ts': 'x' })
    const repo = repository()
    repo.git('submodule', '--quiet', 'add', inner.root, 'vendor/inner')
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 12345\n`
    // Set by `git lfs install`; the program itself is not here.
    for (const [name, value] of Object.entries({ required: 'true', process: 'no-such-program', clean: 'cat' }))
      repo.git('config', `filter.lfs.${name}`, value)
    repo.write({ '.git/info/attributes': '*.none filter=lfs\n' })
    repo.commit({ 'a.png': pointer, 'app/.env.test': 'DATABASE_URL=postgres://u:secret@db/x', 'app/a.ts': '1' })
    repo.git('tag', 'v1')
    repo.write({ '.git/info/attributes': '*.png filter=lfs\n' })
    const tree = await open(repo, { project: join(repo.root, 'app') })
    expect(readdirSync(tree.root)).toEqual(['a.ts'])
    expect(readdirSync(join(tree.top, 'vendor/inner'))).toEqual([])
    expect(tree.notes).toEqual([
      'In the files of v1, submodules are empty folders: vendor/inner.',
      'In the files of v1, files of git-lfs are pointers without their content: a.png.',
      'In the files of v1, tracked .env files are left out: app/.env.test.',
    ])
  })
})

describe('dependencies', () => {
  /** Programs that note how they were started, in place of the package managers. */
  function managers(repo: Repository): { shell: Record<string, string>; started: () => string[] } {
    const [bin, log] = [join(dirname(repo.root), 'bin'), join(dirname(repo.root), 'log')]
    mkdirSync(bin)
    for (const name of ['npm', 'pnpm', 'yarn', 'bun']) {
      writeFileSync(
        join(bin, name),
        `#!/bin/sh\necho "${name} $* | $(basename "$PWD") | $DATABASE_URL$PGHOST$INIT_CWD | $TOKEN" >> ${log}\n`,
      )
      chmodSync(join(bin, name), 0o755)
    }
    const shell = { PATH: `${bin}:${process.env['PATH'] ?? ''}`, TOKEN: 'token', INIT_CWD: '/x', PGHOST: 'prod' }
    return {
      shell: { ...shell, DATABASE_URL: 'postgres://u:p@prod/x' },
      started: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
    }
  }

  test('are linked where the ref asks for the same, those of the repository itself to the files of the ref', async () => {
    const repo = repository()
    const lock = '{"lockfileVersion":3}'
    repo.commit({
      '.gitignore': 'node_modules\n',
      'package.json': JSON.stringify({ workspaces: ['packages/*'] }),
      'package-lock.json': lock,
      'packages/api/package.json': PACKAGE,
      'packages/api/traffic.ts':
        "import { a } from 'a'\nimport { b } from 'b'\nimport { defineTraffic } from 'pg-rehearse'\nexport default defineTraffic({ operations: { [a + b]: { run: async () => null } } })\n",
      'packages/b/package.json': JSON.stringify({ name: 'b', type: 'module', exports: './b.js' }),
      'packages/b/b.js': "export const b = 'old'\n",
    })
    repo.git('tag', 'v1')
    repo.commit({
      'packages/b/b.js': "export const b = 'new'\n",
      'packages/api/package.json': JSON.stringify({
        version: '2.0.0',
        scripts: {},
        ...(JSON.parse(PACKAGE) as object),
      }),
    })
    repo.write({
      'node_modules/a/package.json': JSON.stringify({ name: 'a', type: 'module', exports: './a.js' }),
      'node_modules/a/a.js': "export const a = 'installed '\n",
      'packages/api/node_modules/own/index.js': '',
    })
    execFileSync('ln', ['-s', '../packages/b', join(repo.root, 'node_modules/b')])
    const { shell, started } = managers(repo)
    const tree = await open(repo, { project: join(repo.root, 'packages/api'), shell, install: 'npm ci' })
    expect(tree.dependencies).toBe('linked')
    expect(started()).toEqual([])
    expect(tree.root).toBe(join(repo.into, 'packages/api'))
    expect(realpathSync(join(tree.top, 'node_modules/b'))).toBe(join(repo.into, 'packages/b'))
    expect(realpathSync(join(tree.root, 'node_modules/own'))).toBe(join(repo.root, 'packages/api/node_modules/own'))
    const traffic = (await importDefault(join(tree.root, 'traffic.ts'), 'traffic.ts', 'SCRIPT_INVALID')) as {
      operations: object
    }
    expect(Object.keys(traffic.operations)).toEqual(['installed old'])
    await tree.remove()
    expect(existsSync(join(repo.root, 'node_modules/a/a.js'))).toBe(true)
  })

  test.each([
    ['package-lock.json', '{}', 'npm ci --ignore-scripts --no-audit --no-fund'],
    ['pnpm-lock.yaml', 'lockfileVersion: 9\n', 'pnpm install --frozen-lockfile --ignore-scripts'],
    ['yarn.lock', '# yarn lockfile v1\n', 'yarn install --frozen-lockfile --ignore-scripts'],
    ['yarn.lock', '__metadata:\n  version: 8\n', 'yarn install --immutable --mode=skip-build'],
    ['bun.lock', '{}', 'bun install --frozen-lockfile --ignore-scripts'],
  ])('are installed by what wrote %s (%#) where it asks for others', async (lock, text, command) => {
    const repo = repository()
    repo.commit({ 'package.json': '{}', [lock]: text, 'api/package.json': PACKAGE })
    repo.git('tag', 'v1')
    repo.commit({ [lock]: `${text} ` })
    repo.write({ 'node_modules/a/index.js': '' })
    const { shell, started } = managers(repo)
    const tree = await open(repo, { project: join(repo.root, 'api'), shell })
    expect(tree.dependencies).toBe('installed')
    // In the folder of the lock file, with the user's environment, without any database.
    expect(started()).toEqual([`${command} | worktree |  | token`])
    expect(existsSync(join(tree.top, 'node_modules'))).toBe(false)
  })

  test("are installed by the user's own line in the project's folder, for another Prisma schema too", async () => {
    const repo = repository()
    repo.commit({ 'api/package.json': PACKAGE, 'api/schema.prisma': 'model A {}' })
    repo.git('tag', 'v1')
    repo.commit({ 'api/schema.prisma': 'model B {}' })
    const { shell, started } = managers(repo)
    const tree = await open(repo, { project: join(repo.root, 'api'), shell, install: 'npm ci && echo x > made' })
    expect(tree.dependencies).toBe('installed')
    expect(started()).toEqual(['npm ci | api |  | token'])
    expect(at(tree.root, 'made')).toBe('x\n')
  })

  test('that cannot be installed are one line, and nothing stays', async () => {
    const repo = repository()
    repo.commit({ 'package.json': PACKAGE })
    repo.git('tag', 'v1')
    repo.commit({ 'package.json': '{}' })
    const install = 'echo "npm error 404 no such package at https://u:secret@registry.test/a"; exit 3'
    const error = await failure(open(repo, { install }))
    expect(error).toMatchObject({ code: 'INSTALL_FAILED', exitCode: 3 })
    expect(error.message).toBe(
      `the dependencies of v1 cannot be installed: ${install}: exit code 3; it said: npm error 404 no such package at https://u:***@registry.test/a`,
    )
    expect(error.hint).toContain('traffic.install')
    expect(readdirSync(dirname(repo.into))).toEqual([])
    const abort = new AbortController()
    setTimeout(() => abort.abort(), 300)
    await expect(open(repo, { install: 'sleep 30', signal: abort.signal })).rejects.toThrow()
    expect(readdirSync(dirname(repo.into))).toEqual([])
  })
})

describe('what cannot be had is said in one line', () => {
  test('a ref that is not known, here and in a shallow clone', async () => {
    const repo = repository()
    repo.commit({ 'a.ts': '1' })
    const unknown = await failure(open(repo, { ref: 'origin/main' }))
    expect(unknown).toMatchObject({ code: 'USAGE', exitCode: 2 })
    expect(unknown.message).toBe('git does not know origin/main: no such branch, tag or commit here (git fetch?)')
    expect((await failure(open(repo, { ref: '--output=x' }))).message).toContain('git does not know --output=x')
    repo.git('tag', 'v1')
    repo.commit({ 'a.ts': '2' })
    const clone = join(dirname(repo.root), 'clone')
    repo.git('clone', '--quiet', '--depth=1', '--no-tags', `file://${repo.root}`, clone)
    expect((await failure(open(repo, { project: clone }))).message).toContain('this clone is shallow')
    expect(lstatSync(clone).isDirectory()).toBe(true)
    expect(existsSync(repo.into)).toBe(false)
  })

  test('a folder that is not there, a folder that is in no repository, and no git', async () => {
    const repo = repository()
    repo.commit({ 'a.ts': '1' })
    repo.git('tag', 'v1')
    repo.write({ 'later/a.ts': '1' })
    const folder = await failure(open(repo, { project: join(repo.root, 'later') }))
    expect(folder.message).toMatch(/^v1 \([\da-f]{7}\) has no folder later$/)
    expect((await failure(open(repo, { project: dirname(repo.root) }))).message).toContain('in no git repository')
    const path = process.env['PATH'] ?? ''
    process.env['PATH'] = '/nowhere'
    try {
      expect((await failure(open(repo))).message).toContain('there is no git in PATH')
    } finally {
      process.env['PATH'] = path
    }
  })
})
