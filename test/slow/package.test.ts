/** The package as others get it: packed, installed into an empty project, run and imported there. Needs an npm registry. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { root } from '../support/cli.js'

const MOST_BYTES = 150 * 1000 * 1000
const SHORT = ['--rows', '2000', '--warmup', '200ms', '--baseline', '1s', '--rollout', '500ms', '--settle', '500ms']

let base: string
let tarball: string
beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'rehearse-package-'))
  // The database's user must be able to pass.
  chmodSync(base, 0o755)
  const packed = run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', base], root)
  const [{ filename }] = JSON.parse(packed.stdout) as [{ filename: string }]
  tarball = join(base, filename)
})
afterAll(() => rmSync(base, { recursive: true, force: true }))

/** Without what npm gave to the tests, so that the project below is a project of its own. */
const environment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(?!config_)|^NODE_OPTIONS$|^VITEST/.test(name)),
  )

function run(command: string, args: readonly string[], cwd: string, expected = 0): { stdout: string; stderr: string } {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...environment(), LANG: 'C.UTF-8' },
    maxBuffer: 64 * 1024 * 1024,
  })
  if (error) throw error
  expect(status, `${command} ${args.join(' ')}\n${stdout.slice(-2000)}\n${stderr.slice(-4000)}`).toBe(expected)
  return { stdout, stderr }
}

function project(name: string, install: readonly string[]): string {
  const folder = join(base, name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }))
  run('npm', ['install', '--no-audit', '--no-fund', ...install, tarball], folder)
  return folder
}

const bytesBelow = (folder: string): number =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).reduce((sum, name) => {
    const found = lstatSync(join(folder, name))
    return sum + (found.isFile() ? found.size : 0)
  }, 0)

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string
  devDependencies: Record<string, string>
}

describe.each([
  ['without install scripts', ['--ignore-scripts']],
  ['with install scripts', []],
])('installed into an empty project %s', (name, flags) => {
  let folder: string
  beforeAll(() => {
    folder = project(name.replaceAll(' ', '-'), flags)
  })

  test('both names answer', () => {
    expect(run('npx', ['pg-rehearse', '--version'], folder).stdout.trim()).toBe(manifest.version)
    expect(run('npx', ['rehearse', '--version'], folder).stdout.trim()).toBe(manifest.version)
  })

  test('an example of the package is rehearsed and fails as it should', () => {
    const example = 'node_modules/pg-rehearse/scenarios/rename-column-unsafe'
    const { stderr } = run('npx', ['rehearse', 'run', example, ...SHORT, '--out', 'out'], folder, 1)
    expect(stderr).toMatch(/^✗ fail {2}/m)
    expect(readdirSync(join(folder, 'out')).sort()).toEqual([
      'recording.json',
      'report.html',
      'report.json',
      'report.md',
    ])
  })

  test('nothing of the development comes along, and it is small enough', () => {
    const modules = join(folder, 'node_modules')
    for (const dependency of Object.keys(manifest.devDependencies))
      if (!dependency.startsWith('@types/')) expect(existsSync(join(modules, dependency)), dependency).toBe(false)
    const bytes = bytesBelow(modules)
    console.log(`node_modules ${name}: ${(bytes / 1e6).toFixed(1)} MB`)
    expect(bytes).toBeLessThan(MOST_BYTES)
  })

  test('the schemas and the examples are there, sources and tests are not', () => {
    const files = readdirSync(join(folder, 'node_modules/pg-rehearse'))
    expect(files).toEqual(expect.arrayContaining(['dist', 'schema', 'seeds', 'scenarios', 'package.json']))
    expect(files).not.toContain('src')
    expect(files).not.toContain('test')
  })
})

describe('typed imports', () => {
  let folder: string
  beforeAll(() => {
    folder = project('typed', ['--ignore-scripts', `@types/node@${manifest.devDependencies['@types/node'] ?? ''}`])
    writeFileSync(
      join(folder, 'use.ts'),
      `import { defineScenario, defineSeed, defineTraffic, judge, loadScenario, rehearse, render } from 'pg-rehearse'
       import type { Recording, Report, Verdict } from 'pg-rehearse'
       export const scenario = defineScenario({ rows: 10, phases: { baseline: '5s' } })
       export const seed = defineSeed({ tables: { t: { rows: ({ n }) => n, columns: ['id'], row: (i) => ({ id: i }) } } })
       export const traffic = defineTraffic({ operations: { a: { run: (sql, random) => sql\`select \${random.int(1, 2)}\` } } })
       export async function verdictOf(folder: string): Promise<Verdict> {
         const recording: Recording = await rehearse(await loadScenario(folder), { signal: AbortSignal.timeout(60_000) })
         const report: Report = judge(recording)
         const html: string = render(report, 'html')
         return html === '' ? 'inconclusive' : report.verdict
       }
       // @ts-expect-error -- rows is a number
       defineScenario({ rows: 'many' })
       // @ts-expect-error -- there is no such format
       export const no = (report: Report): string => render(report, 'pdf')`,
    )
  })

  test.each([false, true])('compile in strict mode, skipLibCheck %s', (skipLibCheck) => {
    const options = { strict: true, module: 'NodeNext', target: 'ES2022', noEmit: true, types: ['node'], skipLibCheck }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['use.ts'] }))
    run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'], folder)
  })

  test('work at run time', () => {
    const code = `import * as all from 'pg-rehearse'
      import schema from 'pg-rehearse/schema/report-1.json' with { type: 'json' }
      console.log(typeof all.rehearse, typeof all.judge, typeof all.render, schema.title)`
    writeFileSync(join(folder, 'use.mjs'), code)
    expect(run(process.execPath, ['use.mjs'], folder).stdout).toMatch(/^function function function Rehearse report \d/)
  })
})

test('a copy of the tree works after `npm ci --ignore-scripts`', () => {
  const copy = join(base, 'tree')
  cpSync(root, copy, {
    recursive: true,
    filter: (path) =>
      !/^(?:node_modules|dist|reports|\.git|coverage)(?:\/|$)/.test(relative(root, path)) &&
      !basename(path).endsWith('.tgz'),
  })
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], copy)
  run('npm', ['run', 'build'], copy)
  const { stderr } = run(
    'npx',
    ['rehearse', 'run', 'scenarios/rename-column-unsafe', ...SHORT, '--out', 'out'],
    copy,
    1,
  )
  expect(stderr).toMatch(/^✗ fail {2}/m)
})
