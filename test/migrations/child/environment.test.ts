import { expect, test } from 'vitest'
import { childEnvironment, type ChildEnvironmentOptions } from '../../../src/migrations/child/environment.js'

const address = { host: '127.0.0.1', port: 6001, user: 'owner', password: 'p@ss/w', database: 'rehearsal' }
const guard = { nodeOption: '--require "/g/guard.cjs"', bin: '/g/bin', log: '/g/log' }
const build = (options: Partial<ChildEnvironmentOptions> = {}) =>
  childEnvironment({ shell: {}, address, variables: [], urlParameters: {}, pass: [], set: {}, guard, ...options })

test('only what programs need is passed on', () => {
  const shell = {
    PATH: '/usr/bin',
    HOME: '/home/u',
    LC_ALL: 'C',
    ASDF_DIR: '/asdf',
    PRISMA_SCHEMA_ENGINE_BINARY: '/engine',
    NODE_ENV: 'production',
    AWS_SECRET_ACCESS_KEY: 'x',
    HTTPS_PROXY: 'http://proxy',
    npm_config_registry: 'https://registry',
    NODE_OPTIONS: '--inspect',
    DB_HOST: 'production.internal',
    TZ: undefined,
    PWD: '/home/u/project',
  }
  const { env, refused } = build({ shell })
  expect(env).toMatchObject({ HOME: '/home/u', LC_ALL: 'C', ASDF_DIR: '/asdf', NODE_ENV: 'production' })
  expect(env['PRISMA_SCHEMA_ENGINE_BINARY']).toBe('/engine')
  expect(env['PATH']).toBe('/g/bin:/usr/bin')
  expect(build({ shell, binFolders: ['/p/node_modules/.bin'] }).env['PATH']).toBe(
    '/g/bin:/p/node_modules/.bin:/usr/bin',
  )
  expect(env['NODE_OPTIONS']).toBe('--require "/g/guard.cjs"')
  for (const name of ['AWS_SECRET_ACCESS_KEY', 'HTTPS_PROXY', 'npm_config_registry', 'DB_HOST', 'TZ', 'PWD'])
    expect(env).not.toHaveProperty(name)
  expect(refused).toEqual([])
})

test('the address under every name', () => {
  const { env } = build({
    urlParameters: { sslmode: 'disable' },
    variables: [
      { name: 'DIRECT_URL', part: 'url' },
      { name: 'DB_HOST', part: 'host' },
      { name: 'DB_PORT', part: 'port' },
      { name: 'DB_USER', part: 'user' },
      { name: 'DB_PASS', part: 'password' },
      { name: 'DB_NAME', part: 'database' },
      { name: 'WHOLE', part: 'host' },
      { name: 'WHOLE', part: 'port' },
    ],
  })
  const url = 'postgresql://owner:p%40ss%2Fw@127.0.0.1:6001/rehearsal?sslmode=disable'
  expect(env).toMatchObject({
    ...{ DATABASE_URL: url, DIRECT_URL: url, WHOLE: url, GOOSE_DBSTRING: url },
    ...{ DB_HOST: '127.0.0.1', DB_PORT: '6001', DB_USER: 'owner', DB_PASS: 'p@ss/w', DB_NAME: 'rehearsal' },
    ...{ PGHOST: '127.0.0.1', PGPORT: '6001', PGUSER: 'owner', PGPASSWORD: 'p@ss/w', PGDATABASE: 'rehearsal' },
    ...{ PGSSLMODE: 'disable', PGPASSFILE: '/dev/null' },
    ...{ FLYWAY_URL: 'jdbc:postgresql://127.0.0.1:6001/rehearsal?sslmode=disable', FLYWAY_USER: 'owner' },
  })
  expect(build().env['DATABASE_URL']).toBe(url.replace('?sslmode=disable', ''))
})

test('addresses in the shell are named and not passed on, under whatever name', () => {
  const shell = {
    PATH: '/bin',
    DATABASE_URL: 'postgres://prod/d',
    MISE_DB: 'postgres://prod/d',
    PGSERVICE: 'prod',
    PGOPTIONS: '-c x=y',
    DSN: 'host=prod dbname=d',
    OTHER: 'x',
  }
  const { env, refused } = build({ shell })
  expect(refused).toEqual(['DATABASE_URL', 'DSN', 'MISE_DB', 'PGOPTIONS', 'PGSERVICE'])
  for (const value of Object.values(env)) expect(value).not.toContain('prod')
})

test('what the user adds', () => {
  const { env } = build({
    shell: { TENANT: 'acme', NODE_OPTIONS: '--max-old-space-size=512' },
    pass: ['TENANT', 'NODE_OPTIONS', 'MISSING'],
    set: { REGION: 'eu', SKIP: '' },
  })
  expect(env).toMatchObject({ TENANT: 'acme', REGION: 'eu', SKIP: '' })
  expect(env['NODE_OPTIONS']).toBe('--require "/g/guard.cjs" --max-old-space-size=512')
  expect(env).not.toHaveProperty('MISSING')
})

test.each<[Partial<ChildEnvironmentOptions>, string]>([
  [
    { shell: { X: 'postgres://u:hunter2@prod/d' }, pass: ['X'] },
    'environment (pass): X holds the address of a database',
  ],
  [{ set: { X: 'jdbc:postgresql://prod/d?password=hunter2' } }, 'environment (set): X holds the address of a database'],
  [{ set: { DATABASE_URL: 'x' } }, 'environment (set): DATABASE_URL is always set to the rehearsal database'],
  [{ shell: { PGPASSWORD: 'hunter2' }, pass: ['PGPASSWORD'] }, 'PGPASSWORD is always set'],
  [{ set: { MAIN: 'x' }, variables: [{ name: 'MAIN', part: 'host' }] }, 'MAIN is always set'],
  [{ set: { 'A=B': 'x' } }, 'A=B is not a name'],
])('%o is refused', (options, message) => {
  expect(() => build(options)).toThrow(message)
  expect(() => build(options)).toThrow(
    expect.not.objectContaining({ message: expect.stringContaining('hunter2') as string }) as Error,
  )
  expect(() => build(options)).toThrow(expect.objectContaining({ code: 'USAGE' }) as Error)
})
