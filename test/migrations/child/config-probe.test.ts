import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { readdirSync, symlinkSync, mkdirSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { evaluateConfig } from '../../../src/migrations/child/config-probe.js'
import { RehearsalError } from '../../../src/errors.js'
import { processes } from '../../support/child-process.js'
import { scratch, type Scratch } from './support.js'

let project: Scratch
beforeEach(() => (project = scratch()))
afterEach(() => project.remove())

const evaluate = (files: Record<string, string>, name = Object.keys(files)[0] ?? '', limitMs?: number) => {
  project.write(files)
  return evaluateConfig(name, project.path, limitMs)
}
const failure = async (promise: Promise<unknown>): Promise<RehearsalError> => {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  )
  if (error instanceof RehearsalError) return error
  throw new Error(`no failure: ${String(error)}`)
}

describe('where the address comes from', () => {
  test('one URL, and values that are not plain data', async () => {
    const { value, reads, literals } = await evaluate({
      'drizzle.config.ts': `
        import type { Nothing } from './types'
        const again: Record<string, unknown> = { out: './drizzle', when: new Date(0), big: 1n, list: [1, () => 2], url: new URL('http://a/b') }
        again['again'] = again
        export default { ...again, dialect: 'postgresql' as const, number: Number(process.env.COUNT),
          dbCredentials: { url: process.env.DATABASE_URL! }, hook() {} } satisfies Nothing | object`,
      'types.ts': 'export type Nothing = null',
    })
    expect(value).toMatchObject({ out: './drizzle', when: '1970-01-01T00:00:00.000Z', big: '1', list: [1, null] })
    expect(value).toMatchObject({ number: null, url: 'http://a/b', again: { again: null } })
    expect(value).not.toHaveProperty('hook')
    expect(reads).toEqual([
      { name: 'DATABASE_URL', path: 'dbCredentials.url', whole: true },
      { name: 'COUNT', path: null, whole: false },
    ])
    expect(literals).toEqual([])
  })

  test('parts, put together or taken apart', async () => {
    const { reads } = await evaluate({
      'c.js': `
        const e = process.env
        const u = new URL(e.MAIN_URL)
        module.exports = {
          parts: { host: e.DB_HOST, port: Number(e.DB_PORT), user: e.DB_USER, password: e.DB_PASSWORD, database: e.DB_NAME },
          together: 'postgres://' + e.DB_USER + ':' + encodeURIComponent(e.DB_PASSWORD) + '@' + e.DB_HOST + ':' + e.DB_PORT + '/x',
          apart: { host: u.hostname, user: u.username, database: u.pathname.slice(1) },
          longer: e.MAIN_URL_2,
        }`,
    })
    const at = (path: string) =>
      reads.filter((read) => read.path === path).map(({ name, whole }) => (whole ? name : `${name}?`))
    for (const [path, name] of Object.entries({
      host: 'HOST',
      port: 'PORT',
      user: 'USER',
      password: 'PASSWORD',
      database: 'NAME',
    }))
      expect(at(`parts.${path}`)).toEqual([`DB_${name}`])
    expect(at('together').sort()).toEqual(['DB_HOST?', 'DB_PASSWORD?', 'DB_PORT?', 'DB_USER?'])
    for (const path of ['host', 'user', 'database']) expect(at(`apart.${path}`)).toEqual(['MAIN_URL?'])
    expect(at('longer')).toEqual(['MAIN_URL_2'])
  })

  test('validated, asked for with in, defaulted, imported from another module through an alias', async () => {
    mkdirSync(join(project.path, 'node_modules'))
    symlinkSync(new URL('../../../node_modules/zod', import.meta.url).pathname, join(project.path, 'node_modules/zod'))
    const { value, reads } = await evaluate({
      'drizzle.config.ts': `
        import { env } from '~/env'
        import { has } from '@lib/has.js'
        if (!has('SECOND_URL')) throw new Error('not there')
        export default { url: env.DATABASE_URL, direct: process.env['DIRECT_URL'] ?? 'postgres://prod/d', mode: process.env.NODE_ENV ?? 'none' }`,
      'src/env.ts': `
        import { z } from 'zod'
        export const env = z.object({ DATABASE_URL: z.url(), PORT: z.coerce.number().max(65535), NODE_ENV: z.enum(['development', 'test', 'production']).optional() }).parse(process.env)`,
      'lib/has.ts': 'export const has = (name: string) => name in process.env && Object.hasOwn(process.env, name)',
      'tsconfig.json': '{ "compilerOptions": { "paths": { "~/*": ["./src/*"], "@lib/*": ["./lib/*"] } } }',
    })
    expect(reads.filter(({ path }) => path !== null)).toEqual([
      { name: 'DATABASE_URL', path: 'url', whole: true },
      { name: 'DIRECT_URL', path: 'direct', whole: true },
    ])
    expect(value).toHaveProperty('direct')
  })

  test('a .env file does not come in between, however it is read', async () => {
    const { reads, literals } = await evaluate({
      'c.ts': `
        import fs, { readFileSync } from 'node:fs'
        import { env } from 'node:process'
        const parsed: Record<string, string> = {}
        const look = (text: string) => { for (const line of text.split('\\n')) { const [k, v] = line.split(/=(.*)/); if (k && v) parsed[k] = v } }
        try { look(readFileSync('.env', 'utf8')) } catch {}
        if (fs.existsSync('.env')) throw new Error('it is there')
        try { process.loadEnvFile('.env') } catch {}
        Object.assign(process.env, { DATABASE_URL: 'postgres://u:p@prod/d' })
        process.env = { ...process.env, OTHER_URL: 'postgres://u:p@prod/d' }
        delete process.env.DATABASE_URL
        export default async () => {
          try { look(await fs.promises.readFile('.env', 'utf8')) } catch {}
          return { url: process.env.DATABASE_URL, other: env.OTHER_URL, parsed }
        }`,
      '.env': 'DATABASE_URL=postgres://u:p@prod/d\nOTHER_URL=postgres://u:p@prod/d\n',
    })
    expect(reads).toEqual([
      { name: 'DATABASE_URL', path: 'url', whole: true },
      { name: 'OTHER_URL', path: 'other', whole: true },
    ])
    expect(literals).toEqual([])
  })

  test('our own environment is not seen', async () => {
    process.env['REHEARSE_TEST_SECRET_URL'] = 'postgres://prod/d'
    process.env['SECRET_DATABASE_URL'] = 'postgres://prod/d'
    const { value } = await evaluate({
      'c.cjs':
        'module.exports = { a: process.env.REHEARSE_TEST_SECRET_URL ?? null, b: process.env.SECRET_DATABASE_URL }',
    })
    delete process.env['REHEARSE_TEST_SECRET_URL']
    delete process.env['SECRET_DATABASE_URL']
    expect(JSON.stringify(value)).not.toContain('prod')
  })
})

describe('literals', () => {
  test('are found with their lines', async () => {
    const { literals } = await evaluate({
      'c.mjs': `export default {
        a: 'postgres://u:p@prod.internal/d',
        nested: { list: [{ host: 'db.internal' }, { host: 'localhost' }] },
        b: 'postgresql://' + 'u@other.internal' + '/d',
        half: 'postgres://' + process.env.DB_USER + '@third.internal/d',
        fine: 'postgres://u:p@' + process.env.DB_HOST + '/d',
        local: 'postgres://localhost/d',
        name: 'postgres',
      }`,
    })
    expect(literals.map(({ path, line }) => [path, line])).toEqual([
      ['a', 2],
      ['nested.list.0.host', 3],
      ['b', 4],
      ['half', 5],
      ['local', 7],
    ])
    expect(literals[0]?.value).toBe('postgres://u:p@prod.internal/d')
  })

  test('in JSON', async () => {
    const { value, literals, reads } = await evaluate({
      'c.json': '\uFEFF{\n "out": "x",\n "url": "postgres://prod/d"\n}',
    })
    expect(value).toEqual({ out: 'x', url: 'postgres://prod/d' })
    expect({ literals, reads }).toEqual({ literals: [{ path: 'url', value: 'postgres://prod/d', line: 3 }], reads: [] })
  })
})

describe('a configuration that cannot be evaluated', () => {
  test('says where and why, without any secret', async () => {
    const error = await failure(
      evaluate({
        'a/c.ts': `const x = process.env.MY_URL\n\nthrow new Error('no ' + x + ' and postgres://u:hunter2@prod/d\\nmore')`,
      }),
    )
    expect(error.code).toBe('SCENARIO_INVALID')
    expect(error.message).toBe(
      'a/c.ts:3: the configuration cannot be evaluated: no <MY_URL> and postgres://u:***@prod/d',
    )
  })

  test.each([
    ['a syntax error', 'export default {', /^c\.ts(:\d+)?: the configuration cannot be evaluated: /],
    ['a missing module', "import 'no-such-package'", /no-such-package/],
    [
      'a promise that fails later',
      'export default new Promise((_, no) => setTimeout(() => no(new Error("late")), 20))',
      /: late$/,
    ],
    [
      'an error in a timer',
      'setTimeout(() => { throw new Error("later") }, 10); export default new Promise(() => setTimeout(() => {}, 5000))',
      /later$/,
    ],
    ['the end of the process', 'process.exit(4)', /it ended the process \(exit code 4\)/],
    ['something that is not an Error', 'throw "text"', /: text$/],
  ])('%s', async (_, text, message) => {
    const error = await failure(evaluate({ 'c.ts': text }))
    expect(error.code).toBe('SCENARIO_INVALID')
    expect(error.message).toMatch(message)
  })

  test('JSON that is none, without its text; a file that is not there', async () => {
    const error = await failure(evaluate({ 'c.json': '{ "password": hunter2 }' }))
    expect(error.message).toBe('c.json: the configuration cannot be evaluated: it is not valid JSON')
    expect(await failure(evaluateConfig('none.ts', project.path))).toMatchObject({ code: 'FILE_UNREADABLE' })
  })

  test('one that does not end is ended, with what it started', async () => {
    const seconds = `800.${process.pid}`
    const error = await failure(
      evaluate(
        { 'c.ts': `require('child_process').spawn('sleep', ['${seconds}'], { detached: true }); for (;;);` },
        'c.ts',
        1500,
      ),
    )
    expect(error.message).toContain('it did not end within 1.5 s')
    expect(processes().filter((p) => p.command.includes(`sleep ${seconds}`))).toEqual([])
  })
})

test('nothing is reached, and nothing is left', async () => {
  let reached = 0
  const server = http.createServer((_, response) => {
    reached++
    response.end('postgres://prod/d')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const left = () => readdirSync(os.tmpdir()).filter((name) => name.startsWith('rehearse-config-'))
  const { value } = await evaluate({
    'c.mjs': `export default { said: await fetch('http://127.0.0.1:${port}').then((r) => r.text(), (e) => e.cause.code) }
      setInterval(() => {}, 1000)`,
  })
  server.close()
  expect(value).toEqual({ said: 'ECONNREFUSED' })
  expect(reached).toBe(0)
  expect(left()).toEqual([])
})
