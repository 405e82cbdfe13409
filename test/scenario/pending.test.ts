/** Which migrations are pending: by git, by the profile, by the configuration; in real repositories. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import { loadScenario, type Scenario, type ScenarioOverrides } from '../../src/scenario.js'
import { littleProject, PLAIN, type LittleProject, type ProjectOptions } from '../pass/tool-project.js'

let project: LittleProject
const start = (options: ProjectOptions = {}): void => {
  project = littleProject(PLAIN, { '1_a.sql': 'select 1;', '2_b.sql': 'select 2;' }, { config: '', ...options })
}
beforeEach(() => start())
afterEach(() => project.remove())

const git = (...args: string[]): string => project.git(...args)
const commit = (message: string): void => {
  git('add', '-A')
  git('commit', '-q', '-m', message)
}
const migration = (name: string): void => project.write({ [`migrations/${name}.sql`]: 'select 3;' })
/** main with 1_a and 2_b, and a branch `feature`. */
const repository = (main = 'main'): void => {
  project.write({ '.gitignore': 'node_modules\n' })
  git('init', '-q', '-b', main)
  commit('first')
  git('switch', '-q', '-c', 'feature')
}

const told = ({ tool }: Scenario): unknown => ({ applied: tool?.applied, pending: tool?.pending })
const load = (overrides?: ScenarioOverrides): Promise<Scenario> => project.load(overrides)
async function failure(loading: Promise<Scenario>): Promise<RehearsalError> {
  const error: unknown = await loading.then(
    (scenario) => told(scenario),
    (e: unknown) => e,
  )
  if (!(error instanceof RehearsalError)) throw new Error(`it was loaded: ${JSON.stringify(error)}`)
  return error
}

describe('git: where the branch left the default branch', () => {
  it('what was committed since, and what is not committed yet', async () => {
    repository()
    migration('3_c')
    commit('third')
    migration('4_d')
    const scenario = await load()
    expect(told(scenario)).toEqual({ applied: ['1_a', '2_b'], pending: ['3_c', '4_d'] })
    expect(scenario.tool?.pendingBy).toBe(
      `git: migrations that are not in the merge-base with main (${git('rev-parse', '--short=7', 'main')})`,
    )
  })

  it('whatever the default branch did in the meantime', async () => {
    repository()
    const base = git('rev-parse', '--short=7', 'main')
    git('switch', '-q', 'main')
    migration('3_theirs')
    commit('theirs')
    git('switch', '-q', 'feature')
    migration('4_ours')
    commit('ours')
    const scenario = await load()
    expect(told(scenario)).toEqual({ applied: ['1_a', '2_b'], pending: ['4_ours'] })
    expect(scenario.tool?.pendingBy).toContain(base)
  })

  it('a migration that was changed is applied all the same', async () => {
    repository()
    project.write({ 'migrations/2_b.sql': 'select 22;' })
    migration('3_c')
    expect(told(await load())).toEqual({ applied: ['1_a', '2_b'], pending: ['3_c'] })
  })

  it('a file that git ignores is pending: it would be run', async () => {
    repository()
    project.write({ '.gitignore': 'node_modules\n*_local.sql\n' })
    migration('3_local')
    expect(told(await load())).toMatchObject({ pending: ['3_local'] })
  })

  it.each(['master', 'main'])('%s, without any remote', async (main) => {
    repository(main)
    migration('3_c')
    expect(told(await load())).toMatchObject({ pending: ['3_c'] })
  })

  it('on the default branch itself: only what is not committed', async () => {
    repository()
    git('switch', '-q', 'main')
    migration('3_c')
    expect(told(await load())).toEqual({ applied: ['1_a', '2_b'], pending: ['3_c'] })
    commit('third')
    const error = await failure(load())
    expect(error).toMatchObject({ code: 'NOTHING_PENDING', exitCode: 0 })
    expect(error.message).toMatch(
      /^nothing is pending, nothing was rehearsed: Command has 3 migrations, .* merge-base with main/,
    )
  })

  it('the remote’s default branch, whatever its name, and not an old local one', async () => {
    repository('trunk')
    const bare = join(dirname(project.root), 'origin.git')
    execFileSync('git', ['clone', '-q', '--bare', '--branch', 'trunk', project.root, bare], { stdio: 'ignore' })
    git('remote', 'add', 'origin', bare)
    git('fetch', '-q', 'origin')
    git('remote', 'set-head', 'origin', 'trunk')
    git('branch', '-q', '-D', 'trunk')
    migration('3_c')
    commit('third')
    const scenario = await load()
    expect(told(scenario)).toEqual({ applied: ['1_a', '2_b'], pending: ['3_c'] })
    expect(scenario.tool?.pendingBy).toContain('origin/trunk')
  })

  it('a default branch that nobody can guess is asked for', async () => {
    repository('production')
    migration('3_c')
    const error = await failure(load())
    expect(error).toMatchObject({ code: 'PENDING_UNKNOWN', exitCode: 2 })
    expect(error.message).toMatch(/git knows no default branch .*; the last ones are 1_a, 2_b, 3_c$/)
    expect(error.hint).toMatch(/--pending-since <git ref>.*pending: \{ from: '3_c' \}/)
    expect(told(await load({ pendingSince: 'production' }))).toMatchObject({ pending: ['3_c'] })
  })

  it('a project in a folder of its repository', async () => {
    const [top, inner] = [project.root, join(project.root, 'packages/api')]
    const moved = join(dirname(top), 'moved')
    renameSync(top, moved)
    mkdirSync(dirname(inner), { recursive: true })
    renameSync(moved, inner)
    repository()
    project.write({ 'packages/api/migrations/3_c.sql': 'select 3;' })
    expect(told(await loadScenario(inner))).toEqual({ applied: ['1_a', '2_b'], pending: ['3_c'] })
  })

  it('by another path', async () => {
    repository()
    migration('3_c')
    const link = join(dirname(project.root), 'link')
    symlinkSync(project.root, link, 'dir')
    expect(told(await loadScenario(link))).toEqual({ applied: ['1_a', '2_b'], pending: ['3_c'] })
  })

  it('a repository of somebody else’s that surrounds it has none of its files', async () => {
    repository()
    project.write({ '.gitignore': 'node_modules\nmigrations\n' })
    git('rm', '-q', '-r', '--cached', 'migrations')
    commit('not kept here')
    git('branch', '-q', '-f', 'main')
    expect(told(await load())).toEqual({ applied: [], pending: ['1_a', '2_b'] })
  })
})

describe('a shallow clone', () => {
  /** Clones the repository with one commit only, as CI does. */
  function clone(branch: string): string {
    repository()
    migration('3_c')
    commit('third')
    git('switch', '-q', 'main')
    const to = join(dirname(project.root), 'shallow')
    execFileSync('git', ['clone', '-q', '--depth', '1', '--branch', branch, `file://${project.root}`, to], {
      stdio: 'ignore',
    })
    symlinkSync(join(project.root, 'node_modules'), join(to, 'node_modules'), 'dir')
    return to
  }

  it('of a branch: it says what to fetch', async () => {
    const error = await failure(loadScenario(clone('feature')))
    expect(error).toMatchObject({ code: 'PENDING_UNKNOWN', exitCode: 2 })
    expect(error.message).toContain('fetch-depth: 0')
  })

  it('with a base that is not there', async () => {
    const folder = clone('feature')
    const error = await failure(loadScenario(folder, { pendingSince: 'origin/main' }))
    expect(error).toMatchObject({ code: 'USAGE', exitCode: 2 })
    expect(error.message).toMatch(/pending since origin\/main: .*fetch-depth: 0/)
  })

  it('of the base, fetched beside it: its tree is enough when it is named', async () => {
    const folder = clone('feature')
    execFileSync('git', ['fetch', '-q', '--depth', '1', 'origin', 'main:refs/remotes/origin/main'], {
      cwd: folder,
      stdio: 'ignore',
    })
    expect(told(await loadScenario(folder, { pendingSince: 'origin/main' }))).toEqual({
      applied: ['1_a', '2_b'],
      pending: ['3_c'],
    })
    // Where the two histories part is not known.
    expect(await failure(loadScenario(folder))).toMatchObject({ code: 'PENDING_UNKNOWN' })
  })
})

describe('without git', () => {
  it('is not guessed', async () => {
    const error = await failure(load())
    expect(error).toMatchObject({ code: 'PENDING_UNKNOWN', exitCode: 2 })
    expect(error.message).toContain('there is no git history to compare with; the last ones are 1_a, 2_b')
  })
  it('a repository without a commit is none', async () => {
    git('init', '-q', '-b', 'main')
    expect(await failure(load())).toMatchObject({ code: 'PENDING_UNKNOWN' })
  })
})

describe('--pending-since', () => {
  beforeEach(() => {
    repository()
    git('tag', 'v1')
    migration('3_c')
    commit('third')
    git('tag', '-a', 'v2', '-m', 'annotated')
    migration('4_d')
    commit('fourth')
  })
  it.each([
    ['a tag', 'v1', ['3_c', '4_d']],
    ['an annotated tag', 'v2', ['4_d']],
    ['a branch', 'main', ['3_c', '4_d']],
    ['a commit before', 'HEAD~1', ['4_d']],
  ])('%s', async (_, ref, pending) => {
    const scenario = await load({ pendingSince: ref })
    expect(scenario.tool?.pending).toEqual(pending)
    expect(scenario.tool?.pendingBy).toBe(`git: migrations that are not in ${ref}`)
  })
  it.each(['nowhere', '--all', 'HEAD:migrations', ''])('%j is no commit', async (ref) => {
    expect(await failure(load({ pendingSince: ref }))).toMatchObject({ code: 'USAGE', exitCode: 2 })
  })
  it('wins over the configuration and the profile', async () => {
    project.write({
      'rehearse.config.ts': `export default { migrations: { command: 'node migrate.mjs' }, pending: ['1_a'], profile: 'p.json' }`,
      'p.json': '{"appliedMigrations":[]}',
    })
    expect((await load({ pendingSince: 'v2' })).tool?.pending).toEqual(['4_d'])
  })
})

describe('the profile', () => {
  const withProfile = (text: string, more = ''): void => {
    project.remove()
    start({ config: `profile: 'rehearsal/profile.json', ${more}`, files: { 'rehearsal/profile.json': text } })
  }
  it('says what production has; names of which there is no file do not matter', async () => {
    withProfile('{"appliedMigrations":["1_a","0_gone"],"tables":[]}')
    repository()
    const scenario = await load()
    expect(told(scenario)).toEqual({ applied: ['1_a'], pending: ['2_b'] })
    expect(scenario.tool?.pendingBy).toMatch(/^the profile .*rehearsal\/profile\.json$/)
  })
  it('the configuration wins over it', async () => {
    withProfile('{"appliedMigrations":["1_a"]}', 'pending: { applied: [] }')
    expect(told(await load())).toEqual({ applied: [], pending: ['1_a', '2_b'] })
  })
  it.each([
    ['no list of names', '{"appliedMigrations":{}}', /appliedMigrations of the profile is no list/],
    ['no JSON', '{', /cannot be read/],
  ])('%s', async (_, text, message) => {
    withProfile(text)
    const error = await failure(load())
    expect(error).toMatchObject({ code: 'SCENARIO_INVALID', exitCode: 2 })
    expect(error.message).toMatch(message)
  })
  it('without a word about migrations it leaves the question to git', async () => {
    withProfile('{"statements":{"since":null,"takenAt":null,"entries":[]}}')
    repository()
    // On the default branch nothing is new.
    expect(await failure(load())).toMatchObject({ code: 'NOTHING_PENDING' })
  })
  it('everything is applied', async () => {
    withProfile('{"appliedMigrations":["1_a","2_b"]}')
    expect(await failure(load())).toMatchObject({ code: 'NOTHING_PENDING', exitCode: 0 })
  })
})

describe('the configuration', () => {
  it.each<[string, string, unknown]>([
    ['names', `pending: ['2_b']`, { applied: ['1_a'], pending: ['2_b'] }],
    ['names of files', `pending: ['2_b.sql']`, { applied: ['1_a'], pending: ['2_b'] }],
    ['paths', `pending: ['migrations/2_b.sql']`, { applied: ['1_a'], pending: ['2_b'] }],
    ['from', `pending: { from: '1_a' }`, { applied: [], pending: ['1_a', '2_b'] }],
    ['what is applied', `pending: { applied: ['1_a'] }`, { applied: ['1_a'], pending: ['2_b'] }],
    ['nothing is applied', `pending: { applied: [] }`, { applied: [], pending: ['1_a', '2_b'] }],
  ])('%s', async (_, config, expected) => {
    project.remove()
    start({ config })
    expect(told(await load())).toEqual(expected)
  })
  it('inside migrations, where the other one is not given', async () => {
    project.remove()
    start({ tool: `pending: { from: '2_b' }` })
    expect(told(await load())).toEqual({ applied: ['1_a'], pending: ['2_b'] })
  })
  it('since', async () => {
    project.remove()
    start({ config: `pending: { since: 'v1' }` })
    repository()
    git('tag', 'v1')
    migration('3_c')
    expect(told(await load())).toMatchObject({ pending: ['3_c'] })
  })
  it.each([`pending: ['3_x']`, `pending: { from: '3_x' }`, `pending: { applied: ['3_x'] }`])(
    'a name that is not there: %s',
    async (config) => {
      project.remove()
      start({ config })
      const error = await failure(load())
      expect(error).toMatchObject({ code: 'SCENARIO_INVALID', exitCode: 2 })
      expect(error.message).toContain('no migration 3_x (the last ones are 1_a, 2_b)')
    },
  )
})

describe('plain SQL files of a project', () => {
  it('by git as well', async () => {
    project.write({ 'rehearse.config.ts': `export default { migrations: { tool: 'sql' } }` })
    repository()
    migration('3_c')
    const scenario = await load()
    expect(scenario.tool).toBeNull()
    expect(scenario.appliedMigrations.map(({ file }) => file.at(-7))).toEqual(['1', '2'])
    expect(scenario.migrations).toHaveLength(1)
    expect(scenario.assumptions.join()).toMatch(/pending is known by git: .*merge-base with main/)
  })
})
