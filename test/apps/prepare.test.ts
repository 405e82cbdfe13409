import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { prepareProgram, type PrepareOptions, type ProgramDefinition } from '../../src/apps/prepare.js'
import { freePort, isReady, readReady } from '../../src/apps/ready.js'
import { repository, type Repository } from '../worktree/repository.js'

const prepare = (repo: Repository, definition: ProgramDefinition, options: Partial<PrepareOptions> = {}) =>
  prepareProgram({
    release: 'old',
    definition,
    project: repo.root,
    directory: dirname(repo.into),
    install: null,
    shell: {},
    signal: new AbortController().signal,
    ...options,
  })

function shop(): Repository {
  const repo = repository()
  repo.commit({
    '.gitignore': '.env\ndist\n',
    'package.json': '{"scripts":{"start":"node server.js"}}',
    'api/a.js': 'old',
  })
  repo.git('tag', 'v1')
  repo.commit({ 'api/a.js': 'new' })
  repo.write({
    '.env': 'SHOP_DB=postgres://u:secret@production.example/shop\nSTRIPE_KEY=secret\nLOG=debug\nPORT=1\n',
    'dist/server.js': 'built',
    'dist/.env': 'X=1',
    'api/a.js': 'changed',
  })
  return repo
}

test('a program of the working tree runs in a copy without .env files, with what is built', async () => {
  const repo = shop()
  const { program, commit, notes } = await prepare(repo, {
    command: 'npm start',
    env: { LOG: 'info' },
    urlEnv: 'MAIN_DB',
  })
  expect(program).toEqual({
    command: 'npm start',
    load: null,
    ready: null,
    readyWithinMs: 60_000,
    cwd: join(dirname(repo.into), 'project'),
    variables: ['MAIN_DB', 'SHOP_DB'].map((name) => ({ name, part: 'url' })),
    env: { LOG: 'info' },
    passEnv: [],
    allowHosts: [],
    binFolders: [],
  })
  expect(commit).toBeNull()
  expect(notes).toEqual([
    'The program of the old release runs without .env files; variables of them that it does not get: STRIPE_KEY. Pass what it needs with traffic.old.env.',
  ])
  expect(readFileSync(join(program.cwd, 'api/a.js'), 'utf8')).toBe('changed')
  expect(readdirSync(join(program.cwd, 'dist'))).toEqual(['server.js'])
  expect(existsSync(join(program.cwd, '.env'))).toBe(false)
})

test('a program of a git ref runs in its files, with the names of the variables of today', async () => {
  const repo = shop()
  const { program, commit } = await prepare(repo, { command: 'node a.js', ref: 'v1', cwd: 'api', readyWithin: 5_000 })
  expect(commit).toBe(repo.git('rev-parse', 'v1').trim())
  expect(program.cwd).toBe(join(repo.into, 'api'))
  expect(readFileSync(join(program.cwd, 'a.js'), 'utf8')).toBe('old')
  expect(program.variables.map(({ name }) => name)).toEqual(['SHOP_DB'])
  expect(program.readyWithinMs).toBe(5_000)
})

test('an address of a database in the command, or in what it runs, is refused', async () => {
  const repo = shop()
  repo.write({ 'package.json': '{"scripts":{"start":"DB=postgres://u:secret@production.test.org/x node a.js"}}' })
  await expect(prepare(repo, { command: 'npm start' })).rejects.toMatchObject({
    code: 'USAGE',
    message:
      "traffic.old.command: package.json:1 holds the address of a database on another machine; the program gets the rehearsal database's in DATABASE_URL (or traffic.old.urlEnv)",
  })
  await expect(
    prepare(repo, { command: 'node api/a.js', load: 'psql postgres://u:secret@production.test.org/x' }),
  ).rejects.toThrow('traffic.old.load: the command holds the address')
})

test('what says that a program is ready', async () => {
  const read = (text: string) => readReady(text, 4711, 'traffic.old.ready')
  expect(read('http://127.0.0.1:$PORT/health?a=$PORTS')).toEqual({
    kind: 'url',
    url: 'http://127.0.0.1:4711/health?a=$PORTS',
  })
  expect(read('${PORT}')).toEqual({ kind: 'port', host: '127.0.0.1', port: 4711 })
  expect(read(':3000')).toEqual({ kind: 'port', host: '127.0.0.1', port: 3000 })
  expect(read('localhost:3000')).toEqual({ kind: 'port', host: 'localhost', port: 3000 })
  for (const text of ['', 'yes', '70000', 'http://', 'a b:3'])
    expect(() => read(text)).toThrow(`traffic.old.ready: "${text}" is neither a URL`)
  const port = await freePort()
  const signal = new AbortController().signal
  expect(await isReady({ kind: 'port', host: '127.0.0.1', port }, signal)).toBe(false)
  expect(await isReady({ kind: 'url', url: `http://127.0.0.1:${port}/` }, signal)).toBe(false)
})
