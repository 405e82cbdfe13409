/**
 * Which way the arrows point (DESIGN section 2). A room is a folder of src, or a file directly below it. Rules are about
 * rooms, exceptions about single files and each with its reason; an exception that nobody needs is a failure too.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

const LEAVES = ['errors', 'recording', 'clock', 'events', 'version', 'units', 'sql', 'pg'] as const
const DOERS = [
  'branches',
  'profile',
  'values',
  'seeds',
  'migrations',
  'wire',
  'traffic',
  'apps',
  'observe',
  'probe',
  'disturb',
  'worktree',
] as const

/** What a room may import besides itself. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  recording: [],
  clock: [],
  version: [],
  events: ['recording'],
  units: ['recording'],
  sql: ['errors', 'recording'],
  pg: ['errors', 'recording'],
  ...Object.fromEntries(DOERS.map((doer) => [doer, LEAVES])),
  // What passed on the wire is what is known of a migration.
  migrations: [...LEAVES, 'wire'],
  // Rows and parameters are made of the same values.
  seeds: [...LEAVES, 'values'],
  traffic: [...LEAVES, 'values', 'profile'],
  // A program's queries are seen on the wire; it is started as a migration tool is, and reports as traffic does.
  apps: [...LEAVES, 'wire', 'traffic', 'migrations', 'worktree'],
  // Its packages are linked, its .env files left out and programs started in it as in the copy for a migration tool.
  worktree: [...LEAVES, 'migrations'],
  scenario: LEAVES,
  environment: LEAVES,
  plan: ['scenario'],
  health: ['recording'],
  judge: ['recording', 'sql', 'units', 'health'],
  report: ['recording', 'units'],
  terminal: ['recording', 'events', 'units', 'report'],
  'json-schema': ['recording'],
  'read-recording': ['errors', 'recording'],
  pass: [...LEAVES, ...DOERS],
  launch: ['clock', 'migrations', 'pass', 'scenario'],
  // The applied migrations are run as the pending ones will be.
  fill: [...LEAVES, ...DOERS, 'scenario', 'launch', 'pass'],
  // What traffic is made of is learnt on a copy where the migration is run as in a pass.
  supply: [...LEAVES, ...DOERS, 'scenario', 'launch', 'pass'],
  begun: [...LEAVES, ...DOERS, 'fill', 'launch', 'scenario', 'supply'],
  rehearse: [...LEAVES, ...DOERS, 'begun', 'supply', 'fill', 'launch', 'pass', 'scenario', 'environment', 'health'],
  index: [...LEAVES, ...DOERS, 'scenario', 'judge', 'report', 'rehearse', 'read-recording'],
  commands: [...LEAVES, 'scenario', 'environment', 'plan', 'rehearse', 'judge', 'report', 'terminal', 'read-recording'],
  cli: ['commands', 'branches', 'errors', 'recording', 'report', 'version'],
}

/** `file -> file` that no rule permits, and why it is all right. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'seeds/define.ts -> traffic/random.ts': 'one generator of seeded random numbers for data and traffic',
  'values/random.ts -> traffic/random.ts': 'the same',
  'seeds/run-seed.ts -> traffic/random.ts': 'the same',
  'observe/work.ts -> migrations/session.ts': 'the type of a notice with its stamp',
  'observe/snapshot.ts -> migrations/session.ts': 'the same',
  'probe/compat.ts -> traffic/operation.ts': 'what is tried on every schema state are the operations of the traffic',
  'probe/compat.ts -> traffic/random.ts': 'the same, with parameters of the same kind',
  'probe/timings.ts -> traffic/operation.ts': 'what is timed are the operations of the traffic',
  'probe/timings/results.ts -> traffic/operation.ts': 'the same',
  'probe/timings/work.ts -> traffic/operation.ts': 'the same',
  'probe/timings/work.ts -> traffic/random.ts': 'the same, with parameters of the same kind',
  'scenario/module.ts -> seeds/define.ts': "handed to the user's files as 'pg-rehearse'",
  'scenario/module.ts -> traffic/define.ts': 'the same',
  'scenario/traffic.ts -> profile/schema.ts': 'statements of production are read with the rest',
  'scenario/traffic.ts -> traffic/define.ts': 'reads operations from files',
  'scenario/traffic.ts -> traffic/operation.ts': 'the same',
  'scenario/traffic.ts -> traffic/script.ts': 'the same',
  'scenario/files.ts -> traffic/script-header.ts': 'data checks are named with the same header',
  'scenario.ts -> traffic/operation.ts': 'a scenario has operations',
  'scenario.ts -> migrations/tools/index.ts': 'which folders of plain SQL a project may have',
  'scenario/tool.ts -> migrations/tools/index.ts': "a project's migration tool is found with the rest",
  'scenario/tool.ts -> migrations/tools/types.ts': 'the same',
  'scenario/tool.ts -> migrations/child/literal-urls.ts':
    'what could reach another database is refused when it is read',
  'scenario.ts -> seeds/index.ts': 'a seed is loaded and checked with the rest',
  'scenario/schema.ts -> judge/budgets.ts': 'names of the metrics, pure data',
  'scenario/budgets.ts -> judge/budgets.ts': 'usual limits, pure data',
  'health.ts -> judge/budgets.ts': 'the limits that the baseline must not cross, pure data',
}

/** Files of more than 300 lines. */
const LONG: Readonly<Record<string, string>> = {
  'recording.ts': 'the data contract on one page',
}
const MOST_LINES = 300

/** Rooms that must stay pure: nothing of the world in them or in whatever they import. */
const PURE = ['judge', 'report', 'sql']
const PURE_PACKAGES = /^(?:zod|preact|preact-render-to-string|d3-scale|d3-shape|libpg-query)$/

type Sources = Readonly<Record<string, string>>

const roomOf = (file: string): string => (file.split('/')[0] ?? '').replace(/\.tsx?$/, '')

/** Local files and packages that a file imports or exports from, type imports included. */
function importsOf(file: string, sources: Sources): { files: string[]; packages: string[]; missing: string[] } {
  const found = { files: [] as string[], packages: [] as string[], missing: [] as string[] }
  for (const { fileName } of ts.preProcessFile(sources[file] ?? '', true, true).importedFiles) {
    if (!fileName.startsWith('.')) found.packages.push(fileName)
    else {
      const path = normalize(join(dirname(file), fileName)).replace(/\.js$/, '')
      const target = [`${path}.ts`, `${path}.tsx`].find((name) => name in sources)
      if (target === undefined) found.missing.push(fileName)
      else found.files.push(target)
    }
  }
  return found
}

function reachable(from: string, sources: Sources, seen = new Set<string>()): Set<string> {
  if (seen.has(from)) return seen
  seen.add(from)
  for (const file of importsOf(from, sources).files) reachable(file, sources, seen)
  return seen
}

interface Rules {
  exceptions: Readonly<Record<string, string>>
  long: Readonly<Record<string, string>>
}

function violations(sources: Sources, rules: Rules): string[] {
  const wrong: string[] = []
  const unused = new Set(Object.keys(rules.exceptions))
  for (const [file, text] of Object.entries(sources)) {
    const room = roomOf(file)
    const allowed = ROOMS[room]
    if (allowed === undefined) {
      wrong.push(`${file}: no rule for the room ${room}`)
      continue
    }
    const { files, missing } = importsOf(file, sources)
    for (const name of missing) wrong.push(`${file}: no file ${name}`)
    for (const target of files) {
      if (roomOf(target) === room || allowed.includes(roomOf(target))) continue
      const arrow = `${file} -> ${target}`
      unused.delete(arrow)
      if (!(arrow in rules.exceptions)) wrong.push(arrow)
    }
    if (PURE.includes(room))
      for (const inside of reachable(file, sources))
        for (const name of importsOf(inside, sources).packages)
          if (!PURE_PACKAGES.test(name)) wrong.push(`${file} must be pure, but needs ${name} (in ${inside})`)
    if (file !== 'cli.ts' && /\bprocess\.(?:argv|exit|exitCode)\b/.test(text))
      wrong.push(`${file}: only cli.ts reads the arguments and ends the process`)
    const lines = text.trimEnd().split('\n').length
    if (lines > MOST_LINES !== file in rules.long)
      wrong.push(`${file}: ${lines} lines${file in rules.long ? ', needs no exception any more' : ''}`)
  }
  return [...wrong, ...[...unused].map((arrow) => `nobody needs the exception ${arrow}`)]
}

const folder = new URL('../src/', import.meta.url).pathname
const sources: Sources = Object.fromEntries(
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => [name, readFileSync(join(folder, name), 'utf8')]),
)

test('the imports of src follow the rules', () => {
  expect(Object.keys(sources).length).toBeGreaterThan(50)
  expect(violations(sources, { exceptions: EXCEPTIONS, long: LONG })).toEqual([])
})

describe('the checker notices', () => {
  const check = (files: Sources, rules: Partial<Rules> = {}): string[] =>
    violations(files, { exceptions: {}, long: {}, ...rules })

  test.each<[string, Sources, string]>([
    [
      'a doer that imports another',
      { 'traffic/a.ts': "import { b } from '../branches/b.js'", 'branches/b.ts': '' },
      'traffic/a.ts -> branches/b.ts',
    ],
    [
      'a type import, a re-export and a lazy import',
      {
        'seeds/a.ts':
          "import type { B } from '../probe/b.js'\nexport * from '../wire/w.js'\nawait import('../pass/p.js')",
        'probe/b.ts': '',
        'wire/w.ts': '',
        'pass/p.ts': '',
      },
      'seeds/a.ts -> probe/b.ts, seeds/a.ts -> wire/w.ts, seeds/a.ts -> pass/p.ts',
    ],
    [
      'a leaf that looks up',
      { 'pg/a.ts': "import { rehearse } from '../rehearse.js'", 'rehearse.ts': '' },
      'pg/a.ts -> rehearse.ts',
    ],
    [
      'a rule that touches the world itself',
      { 'judge/rules/a.ts': "import fs from 'node:fs'" },
      'judge/rules/a.ts must be pure, but needs node:fs (in judge/rules/a.ts)',
    ],
    [
      'a section that touches it through others',
      { 'report/a.tsx': "import { u } from '../units.js'", 'units.ts': "import postgres from 'postgres'" },
      'report/a.tsx must be pure, but needs postgres (in units.ts)',
    ],
    ['a file without a room', { 'helpers/a.ts': '' }, 'helpers/a.ts: no rule for the room helpers'],
    ['an import of nothing', { 'clock.ts': "import './gone.js'" }, 'clock.ts: no file ./gone.js'],
    [
      'somebody else who ends the process',
      { 'commands/a.ts': 'process.exit(1)' },
      'commands/a.ts: only cli.ts reads the arguments and ends the process',
    ],
    ['a long file', { 'clock.ts': 'a\n'.repeat(301) }, 'clock.ts: 301 lines'],
  ])('%s', (_, files, expected) => {
    expect(check(files).join(', ')).toBe(expected)
  })

  test('nothing where nothing is wrong, and exceptions that nobody needs', () => {
    const good = {
      'traffic/a.ts': "import { c } from '../clock.js'\nprocess.on('exit', c)",
      'clock.ts': 'a\n'.repeat(300),
    }
    expect(check(good)).toEqual([])
    expect(check(good, { exceptions: { 'a.ts -> b.ts': '' }, long: { 'clock.ts': '' } })).toEqual([
      'clock.ts: 300 lines, needs no exception any more',
      'nobody needs the exception a.ts -> b.ts',
    ])
  })
})
