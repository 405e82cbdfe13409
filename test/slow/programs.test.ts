/**
 * Whole rehearsals in which the traffic is the application itself: the real Drizzle query builder of two git refs, and a
 * small HTTP server under the load of autocannon.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test, type TestContext } from 'vitest'
import type { Report, TimedPass } from '../../src/recording.js'
import { place } from '../support/cli.js'
import { needTool } from '../support/tools.js'

const FIXTURES = fileURLToPath(new URL('../fixtures/projects', import.meta.url))

/** The fixture as a repository: `main` has the old release, `feature` is checked out and has the new one. */
async function repositoryOf(context: TestContext, name: string, packages: string): Promise<string> {
  const tools = await needTool(context, packages)
  const root = mkdtempSync(join(tmpdir(), 'rehearse-project-'))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
      cwd: root,
      encoding: 'utf8',
    })
  git('init', '--quiet', '--initial-branch=main')
  for (const release of ['old', 'new']) {
    if (release === 'new') git('checkout', '--quiet', '-b', 'feature')
    cpSync(join(FIXTURES, name, release), root, { recursive: true })
    git('add', '--all')
    git('commit', '--quiet', '--message', release)
  }
  symlinkSync(join(tools, 'node_modules'), join(root, 'node_modules'))
  return root
}

interface Rehearsed {
  code: number | null
  stderr: string
  report: Report
  timed: TimedPass
}

async function rehearse(root: string): Promise<Rehearsed> {
  const here = place()
  onTestFinished(() => here.remove())
  const phases = ['--warmup', '300ms', '--baseline', '1500ms', '--rollout', '3s', '--settle', '2s']
  const args = [
    'run',
    root,
    '--quiet',
    '--json',
    '--rows',
    '200',
    '--rate',
    '60',
    ...phases,
    '--out',
    join(here.cwd, 'out'),
  ]
  const { code, stdout, stderr } = await here.run(args, {
    env: { PRODUCTION_DATABASE_URL: 'postgres://u:secret@production.example/x', HOME: here.cwd },
  })
  if (stdout === '') throw new Error(`exit code ${code ?? '?'}: ${stderr}`)
  const report = JSON.parse(stdout) as Report
  const timed = report.recording.passes.filter((pass) => pass.kind === 'timed').at(-1)
  if (!timed) throw new Error(`stopped: ${report.recording.stopped?.message ?? ''}: ${stderr}`)
  expect(report.recording.complete).toBe(true)
  expect(here.leftovers()).toEqual([])
  const processes = execFileSync('sh', ['-c', `grep -ls -- "REHEARSE_CHILD=${here.tmp}" /proc/[0-9]*/environ || true`])
  expect(String(processes)).toBe('')
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: root, encoding: 'utf8' })
  expect(git('worktree', 'list').trim().split('\n')).toHaveLength(1)
  expect(git('status', '--porcelain').replace('?? node_modules\n', '')).toBe('')
  return { code, stderr, report, timed }
}

/** `old getUser 42703 column "name" does not exist`. */
const errorsOf = ({ errors }: TimedPass): string[] =>
  errors.map(({ release, operation, error }) => `${release} ${operation} ${error.sqlstate} ${error.message}`)

/** How many of an operation ended well in these phases. */
const completed = ({ traffic }: TimedPass, release: string, operation: RegExp, ...phases: string[]): number =>
  traffic
    .filter((row) => row.release === release && operation.test(row.operation) && phases.includes(row.phase))
    .reduce((sum, row) => sum + row.completed, 0)

test('the real Drizzle query builder of two git refs as old and new code', async (context) => {
  const root = await repositoryOf(context, 'drizzle-git-refs', 'drizzle-0.45')
  const { report, timed, code } = await rehearse(root)
  expect(timed.migration.outcome.ok).toBe(true)
  // The renamed column breaks what the old release's schema lists, from the migration on, and nothing else of it.
  const broken = errorsOf(timed).filter((error) => error.startsWith('old'))
  expect([...new Set(broken)].sort()).toEqual([
    'old getUser 42703 column "name" does not exist',
    'old renameUser 42703 column "name" of relation "users" does not exist',
  ])
  expect(timed.errors.filter(({ phases }) => (phases.baseline ?? 0) + (phases.warmup ?? 0) > 0)).toEqual([])
  expect(completed(timed, 'old', /^getUser$/, 'baseline')).toBeGreaterThan(0)
  expect(completed(timed, 'old', /^latestOrders$/, 'rollout')).toBeGreaterThan(0)
  for (const operation of ['getUser', 'renameUser', 'latestOrders', 'addOrder', 'raiseOrder'])
    expect(completed(timed, 'new', new RegExp(`^${operation}$`), 'rollout', 'settled'), operation).toBeGreaterThan(0)
  expect(timed.errors.filter(({ release, phases }) => release === 'new' && (phases.settled ?? 0) > 0)).toEqual([])
  expect({ verdict: report.verdict, code }).toEqual({ verdict: 'fail', code: 1 })
})

test('a small HTTP server under the load of autocannon, of two git refs', async (context) => {
  const root = await repositoryOf(context, 'http-server', 'http-server')
  const { report, timed, code } = await rehearse(root)
  expect(timed.migration.outcome.ok).toBe(true)
  const guests = report.recording.operations.filter(({ sql }) => sql[0]?.includes('nickname'))
  expect(guests).toMatchObject([
    { release: 'old', source: 'program', sql: ['select id, name, nickname from guests where id = $1'] },
  ])
  const operation = guests[0]?.name ?? ''
  expect(operation).toMatch(/^select_guests_[\da-f]{4}$/)
  // Only the statement that names the dropped column fails, once it is gone.
  const broken = new Set(errorsOf(timed).filter((error) => !error.includes('0A000')))
  expect([...broken]).toEqual([`old ${operation} 42703 column "nickname" does not exist`])
  expect(timed.errors.filter(({ phases }) => (phases.baseline ?? 0) > 0)).toEqual([])
  for (const name of [/^select_guests/, /^select_entries/, /^insert_entries/, /^commit$/]) {
    expect(completed(timed, 'old', name, 'baseline'), String(name)).toBeGreaterThan(0)
    expect(completed(timed, 'new', name, 'rollout', 'settled'), String(name)).toBeGreaterThan(0)
  }
  expect(completed(timed, 'new', /./, 'migrate')).toBe(0)
  const ended = timed.programs.map(({ release, role, byItself, refused }) => ({ release, role, byItself, refused }))
  expect(ended).toEqual(
    ['old', 'new'].flatMap((release) =>
      ['serve', 'load'].map((role) => ({ release, role, byItself: false, refused: [] })),
    ),
  )
  expect(JSON.stringify(report)).not.toContain('secret@')
  expect(existsSync(join(root, 'reports'))).toBe(false)
  expect({ verdict: report.verdict, code }).toEqual({ verdict: 'fail', code: 1 })
})
