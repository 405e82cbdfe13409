import { truncateSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findLiteralUrls, findLiteralUrlsInLaunch, hasLiteralUrl } from '../../../src/migrations/child/literal-urls.js'
import { scratch, type Scratch } from './support.js'

let project: Scratch
beforeEach(() => (project = scratch()))
afterEach(() => project.remove())

test.each([
  'postgres://u:p@prod.acme.dev/d',
  'x("postgresql://10.0.0.3:5432/d")',
  'jdbc:postgresql://db/d',
  'postgres://localhost:1,prod.acme.dev:2/d',
  'postgres:///d?host=prod.acme.dev',
  'postgres://u:${PASSWORD}@prod.acme.dev/d',
])('%s is one', (text) => expect(hasLiteralUrl(text)).toBe(true))

test.each([
  'postgres://localhost/d',
  'postgres://u:p@127.0.0.1:5432/d',
  'postgres://[::1]:5432/d',
  'postgres://u:p@example.com/d',
  'postgres://user:password@host:5432/d',
  'postgres://${HOST}/d',
  '`postgres://u:p@${process.env.HOST}:${PORT}/d`',
  'postgres:///d',
  'https://prod.acme.dev/postgres',
])('%s is none', (text) => expect(hasLiteralUrl(text)).toBe(false))

test('files and lines, without comments', async () => {
  project.write({
    'a.ts': "// postgres://prod/d\nconst a = 1\nconnect('postgres://prod/d')\n * postgres://prod/d\n",
    'b.toml': '# postgres://prod/d\nurl = "postgres://prod/d"\n',
    'bundle.js': "'postgres://prod/d'",
  })
  truncateSync(join(project.path, 'bundle.js'), 2 * 1024 * 1024)
  const paths = ['a.ts', 'b.toml', 'bundle.js', 'missing', '.', 'a.ts'].map((name) => join(project.path, name))
  expect(await findLiteralUrls(paths)).toEqual([
    { file: paths[0], line: 3 },
    { file: paths[1], line: 2 },
  ])
})

test('what a command names, through the scripts of package.json', async () => {
  project.write({
    'package.json': `{
      "scripts": {
        "premigrate": "PGX=postgres://u:p@prod/d true",
        "migrate": "npm run inner -- --x",
        "inner": "tsx src/migrate.ts && npm run migrate",
        "other": "psql postgres://u:p@prod/other"
      }
    }`,
    'src/migrate.ts': "\nrun('postgres://u:p@prod/d')",
    'unnamed.ts': "run('postgres://u:p@prod/d')",
  })
  const find = async (line: string) =>
    (await findLiteralUrlsInLaunch({ kind: 'shell', line }, project.path)).map(
      ({ file, line: at }) => `${file.replace(`${project.path}/`, '')}:${at}`,
    )
  expect(await find('pnpm migrate')).toEqual(['package.json:3', 'src/migrate.ts:2'])
  expect(await find("psql 'postgres://u:p@prod/d'")).toEqual(['the command:1'])
  expect(await find('tsx "./src/migrate.ts"')).toEqual(['src/migrate.ts:2'])
  expect(await find('echo migrate other')).toEqual([])
  expect(await find('psql "$DATABASE_URL" -f unnamed.sql')).toEqual([])
  const argv = ['dbmate', '--url', 'postgres://u:p@prod/d', 'up']
  expect(await findLiteralUrlsInLaunch({ kind: 'program', argv }, project.path)).toEqual([
    { file: 'the command', line: 1 },
  ])
})
