/** With the real evaluation of configuration files. */
import { describe, expect, it } from 'vitest'
import { evaluateConfig } from '../../../src/migrations/child/config-probe.js'
import { partByName, readDrizzleConfig, type EvaluateConfig } from '../../../src/migrations/tools/drizzle-config.js'
import { chooseDriver } from '../../../src/migrations/tools/drizzle-driver.js'
import { packageJson, projectOf, requestIn, type Files } from '../../support/tool-project.js'
import type { ToolRequest } from '../../../src/migrations/tools/types.js'

const read = (files: Files, rest: Partial<ToolRequest> = {}, evaluate: EvaluateConfig = evaluateConfig) =>
  readDrizzleConfig(requestIn(projectOf(files), rest), evaluate)
const withCredentials = (credentials: string, before = '') => ({
  'drizzle.config.ts': `${before}export default { dialect: 'postgresql', dbCredentials: ${credentials} }`,
})

describe('the configuration', () => {
  it('is found under all its names, those that drizzle-kit looks for first', async () => {
    for (const ending of ['js', 'mjs', 'cjs', 'mts', 'cts']) {
      const body = `{ dialect: 'postgresql', dbCredentials: { url: process.env.A_URL } }`
      const text = ending.startsWith('c') ? `module.exports = ${body}` : `export default ${body}`
      const config = await read({ [`drizzle.config.${ending}`]: text, 'package.json': '{"type":"module"}' })
      expect(config).toMatchObject({ shown: `drizzle.config.${ending}`, variables: [{ name: 'A_URL', part: 'url' }] })
    }
    const both = { 'drizzle.config.mjs': 'throw 1', ...withCredentials('{ url: process.env.B }') }
    expect(await read(both)).toMatchObject({ shown: 'drizzle.config.ts' })
    expect(await read({})).toBeNull()
  })

  it('may be named, in a folder of its own; paths are from the project', async () => {
    const files = { 'config/drizzle-prod.config.ts': withCredentials('{ url: process.env.B }')['drizzle.config.ts'] }
    const config = await read(files, { config: 'config/drizzle-prod.config.ts' })
    expect(config?.out.endsWith('/drizzle')).toBe(true)
    expect(config?.out).not.toContain('/config/')
    expect(await read(files, { config: 'prisma.config.ts' })).toBeNull()
    await expect(read(files, { tool: 'drizzle', config: 'x.ts' })).rejects.toThrow(/^x\.ts: does not exist/)
  })

  it('of another database is none of ours, but an error when it was asked for', async () => {
    const files = { 'drizzle.config.ts': `export default { dialect: 'sqlite' }` }
    expect(await read(files)).toBeNull()
    await expect(read(files, { tool: 'drizzle' })).rejects.toThrow(/drizzle\.config\.ts: has no dialect: 'postgresql'/)
    await expect(read({ 'drizzle.config.ts': `export default { driver: 'pg' }` })).rejects.toThrow(/no dialect/)
  })

  it('can be missing when the command and the folder are given', async () => {
    await expect(read({}, { tool: 'drizzle' })).rejects.toThrow(/^\.: no drizzle\.config\.ts here/)
    const config = await read({}, { tool: 'drizzle', command: 'x', folder: 'db/drizzle' })
    expect(config).toMatchObject({ file: null, variables: [{ name: 'DATABASE_URL', part: 'url' }] })
    expect(config?.out.endsWith('/db/drizzle')).toBe(true)
  })

  it('that fails is told with its file and line', async () => {
    await expect(read({ 'drizzle.config.ts': `const a = 1\nthrow new Error('no')` })).rejects.toThrow(
      /^drizzle\.config\.ts:2: .*no/,
    )
  })
})

describe('the address', () => {
  it('is a variable, also with a fallback, a check and parameters', async () => {
    for (const url of [
      'process.env.POSTGRES_URL!',
      "process.env.POSTGRES_URL ?? 'postgres://me:hunter2@localhost/dev'",
      "process.env.POSTGRES_URL || ''",
    ])
      expect(await read(withCredentials(`{ url: ${url} }`))).toMatchObject({
        variables: [{ name: 'POSTGRES_URL', part: 'url' }],
        ssl: null,
      })
  })

  it('can be rewritten on its way', async () => {
    const before = `const url = new URL(process.env.POSTGRES_URL!); url.hostname = url.hostname.replace('-pooler', '');\n`
    const config = await read(withCredentials('{ url: url.href }', before))
    expect(config?.variables).toEqual([{ name: 'POSTGRES_URL', part: 'url' }])
  })

  it('can be made of parts', async () => {
    const config = await read(
      withCredentials(`{ host: process.env.DB_HOST!, port: Number(process.env.DB_PORT), user: process.env.DB_USER,
        password: process.env.DB_PASSWORD, database: process.env.DB_NAME!, ssl: false }`),
    )
    expect(config?.variables).toEqual([
      { name: 'DB_HOST', part: 'host' },
      { name: 'DB_PORT', part: 'port' },
      { name: 'DB_USER', part: 'user' },
      { name: 'DB_PASSWORD', part: 'password' },
      { name: 'DB_NAME', part: 'database' },
    ])
    expect(config?.ssl).toBeNull()
  })

  it('of parts that are left away is what the driver reads by itself', async () => {
    const config = await read(withCredentials(`{ host: process.env.H, database: process.env.D }`))
    expect(config?.variables.map(({ name }) => name)).toEqual(['H', 'PGPORT', 'PGUSER', 'PGPASSWORD', 'D'])
    expect(config?.ssl).toBe('usual')
  })

  it('is matched by name where a part comes out nowhere', async () => {
    const evaluate: EvaluateConfig = () =>
      Promise.resolve({
        value: { dialect: 'postgresql', dbCredentials: { host: 'h', port: null, database: 'd' } },
        reads: [
          { name: 'DB_HOST', path: 'dbCredentials.host', whole: true },
          { name: 'DB', path: 'dbCredentials.database', whole: true },
          { name: 'SERVICE_PORT', path: null, whole: false },
          { name: 'STAGE', path: null, whole: false },
        ],
        literals: [],
      })
    const config = await read({ 'drizzle.config.ts': '' }, {}, evaluate)
    expect(config?.variables.map(({ name }) => name)).toEqual(['DB_HOST', 'SERVICE_PORT', 'PGUSER', 'PGPASSWORD', 'DB'])
  })

  it.each([
    [
      "{\n url: 'postgres://me:hunter2@prod.example.org/x' }",
      /^drizzle\.config\.ts:2: dbCredentials\.url is written out/,
    ],
    ['{ url: `postgres://${process.env.U}:hunter2@prod/x` }', /dbCredentials\.url is written out/],
    ["{ url: 'postgres://me:hunter2@localhost/x' }", /dbCredentials\.url is written out/],
    ["{ host: 'prod.internal', database: 'hunter2' }", /dbCredentials\.host is written out/],
    ["{ host: 'localhost', port: 5432, database: 'x' }", /dbCredentials\.host is written out/],
    [
      "{ host: process.env.DB_HOST, port: 5432, database: 'x' }",
      /dbCredentials\.port is written out.*process\.env\.DB_PORT/,
    ],
    ["{ host: process.env.DB_HOST, password: 'hunter2', database: 'x' }", /dbCredentials\.password is written out/],
    ["{ url: './dev.db' }", /dbCredentials\.url is written out/],
  ])('that is written out is refused and not repeated: %s', async (credentials, message) => {
    const error: unknown = await read(withCredentials(credentials)).catch((e: unknown) => e)
    expect(error).toMatchObject({ code: 'SCENARIO_INVALID' })
    expect((error as Error).message).toMatch(message)
    expect((error as Error).message).toContain('a rehearsal never starts with a literal address')
    expect((error as Error).message).not.toContain('hunter2')
  })

  it('that is missing is an error for drizzle-kit and none for a command of its own', async () => {
    const files = { 'drizzle.config.ts': `export default { dialect: 'postgresql' }` }
    await expect(read(files)).rejects.toThrow(/has no dbCredentials/)
    expect(await read(files, { command: 'tsx migrate.ts' })).toMatchObject({
      variables: [{ name: 'DATABASE_URL', part: 'url' }],
      assumptions: ['The command reads DATABASE_URL.'],
    })
  })

  it.each([
    ['DATABASE_URL', 'url'],
    ['POSTGRES_PRISMA_URI', 'url'],
    ['PGHOST', 'host'],
    ['POSTGRES_PORT', 'port'],
    ['DB_USERNAME', 'user'],
    ['PGPASSWORD', 'password'],
    ['POSTGRES_DB', 'database'],
    ['DB_NAME', 'database'],
    ['PGDATABASE', 'database'],
    ['DATABASE_URL_UNPOOLED', 'url'],
    ['NODE_ENV', null],
    ['DATABASE_SSL', null],
    ['SUPPORT_MAIL', null],
  ])('%s is %s by its name', (name, part) => {
    expect(partByName(name)).toBe(part)
  })
})

describe('the driver', () => {
  const choose = (drivers: string[], config: { driver?: string; ssl?: 'given' | 'usual' }) => {
    const packages = drivers.map((name) => [`node_modules/${name}/package.json`, packageJson(name, '1.0.0')] as const)
    const kit = projectOf(Object.fromEntries(packages))
    return chooseDriver(kit, { driver: config.driver ?? null, ssl: config.ssl ?? null, shown: 'drizzle.config.ts' })
  }

  it.each([
    [['pg'], {}, []],
    [['pg'], { ssl: 'usual' }, [/asks for TLS unless ssl is false/]],
    [['postgres'], { ssl: 'usual' }, []],
    [['postgres'], { ssl: 'given' }, [/asks for TLS, which/]],
    [['pg'], { driver: 'aws-data-api' }, [/does not connect to a PostgreSQL server/]],
    [['pg'], { driver: 'pglite' }, [/does not connect/]],
  ] as const)('%j with %j', async (drivers, config, messages) => {
    const { notes } = await choose([...drivers], config)
    expect(notes).toHaveLength(messages.length)
    messages.forEach((message, i) => expect(notes[i]?.message).toMatch(message))
  })

  it('is asked for TLS by what is added to the URL', async () => {
    expect(await read(withCredentials("{ url: process.env.X_URL + '?sslmode=require' }"))).toMatchObject({
      ssl: 'given',
    })
    expect(await read(withCredentials("{ url: process.env.X_URL + '?sslmode=disable' }"))).toMatchObject({ ssl: null })
  })
})
