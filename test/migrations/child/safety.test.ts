/** Nothing but the rehearsal database is ever connected to, wherever the project says that its database is. */
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { databaseUrl } from '../../../src/migrations/child/database-url.js'
import { connect, startServer, type TestServer } from '../../support/postgres.js'
import { install, runTool, scratch, type Scratch, type ToolOptions, type ToolRun } from './support.js'

let rehearsal: TestServer
let production: TestServer
/** Listens where nothing ought to come; speaks a little HTTP, so that a fetch that got through would succeed. */
let listener: net.Server
let reached = 0
let project: Scratch

beforeAll(async () => {
  rehearsal = await startServer()
  production = await startServer({ settings: { log_connections: 'on' } })
  listener = net.createServer((socket) => {
    reached++
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'))
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
})
afterAll(async () => {
  listener.close()
  await Promise.all([rehearsal.stop(), production.stop()])
})
beforeEach(() => {
  project = scratch()
  install(project.path, 'pg', 'postgres')
  project.git('init', '-q')
  project.write({ '.gitignore': 'node_modules\n.env\n', 'package.json': '{"scripts":{"migrate":"node migrate.cjs"}}' })
})
afterEach(() => project.remove())

const connections = (): number => readFileSync(production.serverLog, 'utf8').match(/connection received/g)?.length ?? 0
const elsewhere = (): string => databaseUrl(production.migrate)
const listening = (): number => (listener.address() as net.AddressInfo).port

/** Runs the tool and checks that production and the listener saw nothing of it. */
async function run(launch: string | string[], options: Partial<ToolOptions> = {}): Promise<ToolRun> {
  const before = { connections: connections(), reached }
  const result = await runTool(project.path, {
    launch: typeof launch === 'string' ? { kind: 'shell', line: launch } : { kind: 'program', argv: launch },
    address: rehearsal.migrate,
    ...options,
  })
  expect({ connections: connections(), reached }).toEqual(before)
  return result
}

/** Prints the port of the server that it got to, or the error's code. */
const MIGRATE = `
const { Client } = require('pg')
module.exports = async (url) => {
  const client = new Client(url === undefined ? {} : { connectionString: url })
  try {
    await client.connect()
    const { rows } = await client.query('select inet_server_port() as port, current_database() as name')
    await client.end()
    return rows[0].port
  } catch (error) {
    return error.code + ' ' + error.message
  }
}
if (require.main === module)
  module.exports(process.env[process.argv[2] ?? 'DATABASE_URL']).then((said) => console.log(said))
`

test('the two witnesses do notice a connection', async () => {
  const before = connections()
  const sql = connect(production.migrate)
  await sql`select 1`
  await sql.end()
  expect(connections()).toBe(before + 1)
  const seen = reached
  await fetch(`http://127.0.0.1:${listening()}/`)
  expect(reached).toBe(seen + 1)
})

describe('the address of production', () => {
  beforeEach(() => project.write({ 'migrate.cjs': MIGRATE }))
  const here = (): string => String(rehearsal.migrate.port)

  test('in .env, read with override as well as without', async () => {
    project.write({
      '.env': `DATABASE_URL=${elsewhere()}\nDIRECT_URL="\${DATABASE_URL}"\n`,
      'packages/a/.env.local': `OTHER=${elsewhere()}\n`,
      'load.cjs': `
        const fs = require('fs')
        for (const name of ['.env', 'packages/a/.env.local'])
          if (fs.existsSync(name))
            for (const line of fs.readFileSync(name, 'utf8').split('\\n')) {
              const [key, value] = line.split(/=(.*)/)
              if (key) process.env[key] = value
            }
        Promise.all(['DATABASE_URL', 'DIRECT_URL', 'OTHER'].map((name) => require('./migrate.cjs')(process.env[name]))).then(
          (ports) => console.log(ports.join(' ')),
        )`,
    })
    expect((await run('node load.cjs')).lines).toEqual([`${here()} ${here()} ${here()}`])
  })

  test('in the shell, under the usual name and others', async () => {
    const { host, port, user, password, database } = production.migrate
    const shell = {
      DATABASE_URL: elsewhere(),
      PROD_URL: elsewhere(),
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: user,
      PGPASSWORD: password,
      PGDATABASE: database,
      PGSERVICE: 'production',
      PGOPTIONS: '-c search_path=elsewhere',
      NODE_OPTIONS: '--require /nonexistent.cjs',
    }
    expect((await run('node migrate.cjs', { shell })).lines).toEqual([here()])
    expect((await run('node migrate.cjs NONE', { shell })).lines).toEqual([here()])
    expect((await run('echo "[$PROD_URL$PGSERVICE$PGOPTIONS]"', { shell })).lines).toEqual(['[]'])
    expect((await run(['node', 'migrate.cjs'], { shell })).lines).toEqual([here()])
  })

  test('passed on or set by the user is refused', async () => {
    await expect(run('node migrate.cjs', { shell: { PROD_URL: elsewhere() }, pass: ['PROD_URL'] })).rejects.toThrow(
      /^environment \(pass\): PROD_URL holds the address of a database/,
    )
    await expect(run('node migrate.cjs', { set: { URL: elsewhere() } })).rejects.toThrow(
      /^environment \(set\): URL holds/,
    )
  })

  test('psql goes to the rehearsal database, whatever the files in HOME say', async () => {
    project.write({
      '.psqlrc': `\\connect ${elsewhere()}\n`,
      '.pg_service.conf': `[production]\nhost=127.0.0.1\nport=${production.migrate.port}\n`,
    })
    const { lines } = await run(`psql -Atc "select inet_server_port()"`, { shell: { HOME: project.path } })
    expect(lines).toEqual([here()])
  })

  test('written out in the program: refused, said, noted once', async () => {
    project.write({ 'literal.cjs': `require('./migrate.cjs')(${JSON.stringify(elsewhere())}).then(console.log)` })
    const { port } = production.migrate
    const said = `ECONNREFUSED rehearse: refused to connect to 127.0.0.1:${port}, only the rehearsal database may be reached`
    const result = await run('node literal.cjs && node literal.cjs')
    expect(result.lines).toEqual([said, said])
    expect(result.refused).toEqual([{ host: '127.0.0.1', port }])
  })

  test('in a script that sets NODE_OPTIONS itself, or empties the environment', async () => {
    project.write({
      'literal.cjs': `require('./migrate.cjs')(${JSON.stringify(elsewhere())}).then((said) => console.log(said.split(' ')[0]))`,
      'package.json': JSON.stringify({ scripts: { migrate: 'NODE_OPTIONS=--no-warnings node literal.cjs' } }),
    })
    expect((await run('npm run --silent migrate')).lines.at(-1)).toBe('ECONNREFUSED')
    expect((await run('NODE_OPTIONS= node literal.cjs')).lines).toEqual(['ECONNREFUSED'])
    expect((await run('env -i PATH="$PATH" node literal.cjs')).lines).toEqual(['ECONNREFUSED'])
  })
})

/** Each way out of a Node process; `target` is { host, port, url, http }. Prints one JSON object. */
const WAYS = `
import net, { connect as netConnect } from 'node:net'
import tls from 'node:tls'
import http from 'node:http'
import https from 'node:https'
import http2 from 'node:http2'
import childProcess, { spawnSync, execFileSync, execSync, fork, spawn } from 'node:child_process'
import { Worker } from 'node:worker_threads'
import { fileURLToPath } from 'node:url'
import postgres from 'postgres'
import pg from 'pg'

const [host, port, url] = process.argv.slice(2)
const self = fileURLToPath(import.meta.url)
const inside = process.argv[5] === 'inside'
const only = process.argv[5] === undefined || inside ? null : process.argv[5].split(',')
const codeOf = (error) => error?.cause?.code ?? error?.code ?? String(error)
const emitted = (emitter) =>
  new Promise((resolve) => {
    emitter.once('error', (error) => resolve(codeOf(error)))
    for (const name of ['connect', 'secureConnect', 'response']) emitter.once(name, () => resolve('connected'))
  })
const rejected = (promise) => promise.then(() => 'connected', codeOf)
const program = "require('net').connect(" + port + ", '" + host + "').on('error', (e) => console.log(e.code)).on('connect', function () { console.log('connected'); this.destroy() })"
const lastWord = (text) => String(text).trim().split('\\n').at(-1)
const spoken = (child) => new Promise((resolve) => child.stdout.once('data', (data) => resolve(lastWord(data))))
const worker = (options) =>
  new Promise((resolve) => {
    const code = "const { parentPort } = require('worker_threads'); console.log = (said) => parentPort.postMessage(said);" + program
    new Worker(code, { eval: true, ...options }).once('message', resolve).once('error', (e) => resolve(String(e)))
  })
const env = { PATH: process.env.PATH }
const sql = postgres(url, { max: 1, connect_timeout: 5 })
const ways = {
  'net.connect': () => emitted(net.connect(Number(port), host)),
  'net.connect, imported': () => emitted(netConnect({ host, port })),
  'new Socket': () => emitted(new net.Socket().connect(port, host, () => {})),
  'again after the end': () => {
    const socket = new net.Socket()
    socket.on('error', () => {})
    socket.connect(port, host)
    return new Promise((resolve) => socket.once('close', () => resolve(emitted(socket.connect(port, host)))))
  },
  tls: () => emitted(tls.connect(Number(port), host)),
  http: () => emitted(http.get({ host, port })),
  https: () => emitted(https.get({ host, port })),
  http2: () => emitted(http2.connect('http://' + host + ':' + port)),
  fetch: () => rejected(fetch('http://' + host + ':' + port)),
  'postgres.js': () => rejected(sql\`select 1\`),
  'pg.Pool': () => rejected(new pg.Pool({ connectionString: url }).query('select 1')),
  worker: () => worker({}),
  'worker, other environment': () => worker({ env: {} }),
  'worker, other arguments': () => worker({ execArgv: [], env: {} }),
  'worker, shared environment': () => worker({ execArgv: ['--no-warnings'] }),
  'spawn/other environment': () => spoken(spawn(process.execPath, ['-e', program], { env: {} })),
  'spawnSync, other environment': () => lastWord(spawnSync(process.execPath, ['-e', program], { env }).stdout),
  'execFileSync, other environment': () => lastWord(execFileSync('node', ['-e', program], { env })),
  'execSync, other environment': () => lastWord(execSync('node -e "' + program + '"', { env })),
  'after removing NODE_OPTIONS': () => {
    delete process.env.NODE_OPTIONS
    return lastWord(spawnSync(process.execPath, ['-e', program]).stdout)
  },
  ...(inside ? {} : { 'fork, and all of it there': () =>
    new Promise((resolve) => fork(self, [host, port, url, 'inside'], { env: { NODE_OPTIONS: '--no-warnings' } }).once('message', resolve)) }),
}
const said = {}
for (const [name, way] of Object.entries(ways)) if (only === null || only.includes(name)) said[name] = await way()
if (inside) process.send([...new Set(Object.values(said))].join())
else console.log(JSON.stringify(said))
process.exit(0)
`

describe('every way out of a Node process', () => {
  beforeEach(() => project.write({ 'ways.mjs': WAYS }))
  const said = (result: ToolRun): Record<string, string> =>
    JSON.parse(result.lines.at(-1) ?? '') as Record<string, string>

  test('is closed', async () => {
    const { host, port } = production.migrate
    const result = await run(['node', 'ways.mjs', host, String(port), elsewhere()])
    expect(Object.entries(said(result)).filter(([, code]) => code !== 'ECONNREFUSED')).toEqual([])
    expect(Object.keys(said(result)).length).toBe(21)
    const toListener = await run([
      'node',
      'ways.mjs',
      '127.0.0.1',
      String(listening()),
      `postgres://u:p@127.0.0.1:${listening()}/d`,
    ])
    expect(new Set(Object.values(said(toListener)))).toEqual(new Set(['ECONNREFUSED']))
    expect(toListener.refused).toEqual([{ host: '127.0.0.1', port: listening() }])
  })

  test('is open to the rehearsal database, by the name localhost too', async () => {
    for (const host of ['127.0.0.1', 'localhost']) {
      const url = databaseUrl({ ...rehearsal.migrate, host })
      const ways = ['net.connect', 'new Socket', 'worker', 'postgres.js', 'pg.Pool', 'spawn/other environment']
      const result = await run(['node', 'ways.mjs', host, String(rehearsal.migrate.port), url, ways.join()])
      expect(said(result)).toEqual(Object.fromEntries(ways.map((way) => [way, 'connected'])))
      expect(result.refused).toEqual([])
    }
  })
})

test.skipIf(process.platform !== 'linux')(
  'localhost is where the rehearsal database is, whatever listens on the same port elsewhere',
  async () => {
    const other = net.createServer((socket) => {
      reached++
      socket.destroy()
    })
    await new Promise<void>((resolve) => other.listen(rehearsal.migrate.port, '127.0.0.2', resolve))
    project.write({
      'localhost.cjs': `
      const lookup = (name, options, done) => (options.all ? done(null, [{ address: '127.0.0.2', family: 4 }]) : done(null, '127.0.0.2', 4))
      const socket = require('net').connect({ host: 'localhost', port: ${rehearsal.migrate.port}, lookup })
      socket.on('connect', () => { console.log(socket.remoteAddress); socket.destroy() })`,
    })
    expect((await run('node localhost.cjs')).lines).toEqual(['127.0.0.1'])
    other.close()
  },
)

test('what the user allows can be reached, at that port only', async () => {
  const other = net.createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => other.once('listening', resolve))
  const port = (other.address() as net.AddressInfo).port
  project.write({
    'fetch.mjs': `for (const port of process.argv.slice(2))
      console.log(await fetch('http://127.0.0.1:' + port).then((r) => r.status, (e) => e.cause.code))`,
  })
  const before = reached
  const command = ['node', 'fetch.mjs', String(listening()), String(port)]
  const result = await runTool(project.path, {
    launch: { kind: 'program', argv: command },
    address: rehearsal.migrate,
    allow: [`127.0.0.1:${listening()}`],
  })
  other.close()
  expect(result.lines).toEqual(['200', 'ECONNREFUSED'])
  expect(reached).toBe(before + 1)
  expect(result.refused).toEqual([{ host: '127.0.0.1', port }])
  await expect(run('true', { allow: ['http://x/'] })).rejects.toThrow(/neither host nor host:port/)
})

test('pipes between processes work, sockets of PostgreSQL do not', async () => {
  project.write({
    'pipes.cjs': `
      const net = require('net'), fs = require('fs'), path = require('path'), os = require('os')
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'p-'))
      const attempt = (file) => new Promise((resolve) => {
        const server = net.createServer((socket) => socket.end()).listen(file, () => {
          net.connect(file).on('error', (e) => resolve(e.code)).on('connect', () => resolve('connected')).on('close', () => server.close())
        })
      })
      Promise.all(['tsx.pipe', '.s.PGSQL.5432'].map((name) => attempt(path.join(folder, name)))).then((said) => {
        console.log(said.join(' '))
        fs.rmSync(folder, { recursive: true })
      })`,
  })
  const result = await run('node pipes.cjs')
  expect(result.lines).toEqual(['connected ECONNREFUSED'])
  expect(result.refused).toMatchObject([{ host: expect.stringMatching(/\.s\.PGSQL\.5432$/) as string, port: null }])
})
