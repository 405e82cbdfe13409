/** `rehearse` in a project with a tool: what it says, and its exit code, before anything is started. */
import { execFileSync } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { place, root, type Finished, type Place } from '../support/cli.js'

let here: Place
beforeEach(() => {
  here = place()
  symlinkSync(`${root}node_modules`, join(here.cwd, 'node_modules'), 'dir')
  here.write({
    '.gitignore': 'node_modules\nreports\n',
    'package.json': '{"private":true}',
    'migrate.mjs': 'process.exit(0)\n',
    'migrations/1_a.sql': 'select 1;',
    'migrations/2_b.sql': 'select 2;',
    'rehearsal/old.sql': '-- name: get\nselect 1;\n',
    'rehearse.config.ts': `export default { migrations: { command: 'node migrate.mjs' } }\n`,
  })
})
afterEach(() => here.remove())

const git = (...args: string[]): void => {
  execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
    cwd: here.cwd,
    stdio: 'ignore',
    env: { PATH: process.env['PATH'], HOME: here.tmp, GIT_CONFIG_NOSYSTEM: '1' },
  })
}
const repository = (): void => {
  git('init', '-q', '-b', 'main')
  git('add', '-A')
  git('commit', '-q', '-m', 'first')
}

/** Two lines at most, no stack, nothing written anywhere. */
async function run(...args: string[]): Promise<Finished> {
  const finished = await here.run(args)
  expect(finished.stdout).toBe('')
  expect(finished.stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2)
  expect(finished.stderr).not.toMatch(/^\s+at /m)
  expect(here.leftovers()).toEqual([])
  return finished
}

describe('nothing to rehearse', () => {
  test('nothing is pending: exit 0, and it says so', async () => {
    repository()
    const { code, stderr } = await run()
    expect(stderr).toMatch(
      /^rehearse: nothing is pending, nothing was rehearsed: Command has 2 migrations, and none is new by git: migrations that are not in the merge-base with main \([\da-f]{7}\)$/m,
    )
    expect(stderr).toMatch(/^ {2}.*--pending-since <git ref>/m)
    expect(code).toBe(0)
  })

  test('not known what is pending: exit 2, with the candidates', async () => {
    const { code, stderr } = await run()
    expect(stderr).toMatch(/^rehearse: which migrations are pending is not known: there is no git history .*1_a, 2_b$/m)
    expect(stderr).toMatch(/^ {2}.*--pending-since <git ref>.*rehearse\.config\.ts/m)
    expect(code).toBe(2)
  })

  test('a commit that git does not know: exit 2', async () => {
    repository()
    const { code, stderr } = await run('--pending-since', 'origin/main')
    expect(stderr).toMatch(/^rehearse: pending since origin\/main: git does not know this commit here/m)
    expect(code).toBe(2)
  })
})

describe('refused before anything starts', () => {
  test('an address in the program', async () => {
    repository()
    here.write({
      'migrations/3_c.sql': 'select 3;',
      'migrate.mjs': `\nconst url = 'postgres://prod:hidden@db.prod.internal/prod'\n`,
    })
    const { code, stderr } = await run()
    expect(stderr).toMatch(/^rehearse: migrate\.mjs:2: holds the address of a database/m)
    expect(stderr).not.toContain('hidden')
    expect(code).toBe(2)
  })

  test('no command for the tool that is there', async () => {
    here.write({
      'rehearse.config.ts': `export default { migrations: { tool: 'command' } }\n`,
    })
    const { code, stderr } = await run()
    expect(stderr).toMatch(/no command to run: set migrations\.command/)
    expect(code).toBe(2)
  })
})
