/** Real clients, a real server, and the proxy between them. */
import { execFile, execFileSync } from 'node:child_process'
import net from 'node:net'
import { promisify } from 'node:util'
import pg from 'pg'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRaw } from '../../src/wire/client.js'
import { build } from '../../src/wire/frames.js'
import type { Proxy } from '../../src/wire/proxy.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'
import { until, withProxy } from './support.js'

let server: TestServer

beforeAll(async () => {
  server = await startServer()
  const admin = connect(server.admin)
  await admin.unsafe('alter role owner set client_min_messages = debug1')
  await admin.end()
})
afterAll(() => server.stop())

const hasPsql = (() => {
  try {
    execFileSync('psql', ['--version'])
    return true
  } catch {
    return false
  }
})()

const psql = async ({ address }: Proxy, ...args: string[]): Promise<{ code: number; out: string; err: string }> => {
  const where = ['-X', '-h', address.host, '-p', String(address.port), '-U', address.user, '-d', address.database]
  const env = { PATH: process.env['PATH'], PGPASSWORD: address.password, LC_ALL: 'C' }
  return promisify(execFile)('psql', [...where, ...args], { env }).then(
    ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
    (error: unknown) => {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
      return { code, out: stdout, err: stderr }
    },
  )
}

const nodePostgres = async ({ address }: Proxy, options: pg.ClientConfig = {}): Promise<pg.Client> => {
  const client = new pg.Client({ ...address, ...options })
  await client.connect()
  return client
}

/** What was asked and what became of it. */
const story = (proxy: Proxy): unknown[] =>
  proxy.sessions.flatMap(({ exchanges }) =>
    exchanges.map(({ before, after, commands, error }) => [
      `${before}${after ?? '-'}`,
      ...commands.map((each) => [
        each.sql,
        ...each.completed.map(({ tag }) => tag),
        ...(each.error ? [each.error.sqlstate] : []),
      ]),
      ...(error ? [error.sqlstate] : []),
    ]),
  )

test('psql is here where it must be', () => {
  if (process.env['CI']) expect(hasPsql).toBe(true)
})

describe.skipIf(!hasPsql)('psql', () => {
  test('asks for encryption first, and goes on without', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const { code, out, err } = await psql(
        proxy,
        '-Atc',
        'select current_user, current_database()',
        '-c',
        'select 1/0',
      )
      expect({ code, out, err }).toEqual({ code: 1, out: 'owner|rehearsal\n', err: 'ERROR:  division by zero\n' })
      expect(proxy.sessions).toMatchObject([{ ordinal: 1, applicationName: 'psql', trouble: null }])
      expect(story(proxy)).toEqual([
        ['II', ['select current_user, current_database()', 'SELECT 1']],
        ['II', ['select 1/0', '22012']],
      ])
      expect(proxy.refusals).toEqual([])
    })
  })

  test('gets its own notices and none of ours', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const sql = `create table n (id int primary key); do $$begin raise notice 'hello'; raise warning 'careful'; end$$; drop table n`
      const { err } = await psql(proxy, '-c', sql)
      expect(err).toBe('NOTICE:  hello\nWARNING:  careful\n')
      const notices = proxy.sessions[0]?.exchanges[0]?.notices ?? []
      const heard = notices.filter(({ heldBack }) => !heldBack).map(({ severity, message }) => [severity, message])
      expect(heard).toEqual([
        ['NOTICE', 'hello'],
        ['WARNING', 'careful'],
      ])
      expect(notices.filter(({ heldBack }) => heldBack).map(({ message }) => message)).toContain(
        'building index "n_pkey" on table "n" serially',
      )
    })
  })

  test('cancels with Ctrl-C', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const { address } = proxy
      const where = ['-X', '-h', address.host, '-p', String(address.port), '-U', address.user, '-d', address.database]
      const env = { PATH: process.env['PATH'], PGPASSWORD: address.password }
      const running = promisify(execFile)('psql', [...where, '-c', 'select pg_sleep(60)'], { env })
      await until(() => proxy.inFlightSinceMs !== null)
      running.child.kill('SIGINT')
      await expect(running).rejects.toMatchObject({ stderr: expect.stringContaining('canceling statement') as string })
      expect(story(proxy)).toEqual([['II', ['select pg_sleep(60)', '57014']]])
      expect(proxy.refusals).toEqual([])
    })
  })

  test('reports its application name, search path and options as it asked for them', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const { address } = proxy
      const url = `postgres://${address.user}@${address.host}:${address.port}/${address.database}?application_name=deploy&options=-csearch_path%3Dpg_catalog%20-cstatement_timeout%3D1234&client_encoding=latin1`
      const { out } = await psql(
        proxy,
        '-d',
        url,
        '-Atc',
        `select current_setting('search_path'), current_setting('statement_timeout'), current_setting('client_encoding')`,
      )
      expect(out).toBe('pg_catalog|1234ms|LATIN1\n')
      expect(proxy.sessions[0]?.applicationName).toBe('deploy')
    })
  })
})

describe('node-postgres', () => {
  test('simple, extended and prepared, rows and parameters', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const client = await nodePostgres(proxy, { application_name: 'tool' })
      const multi = (await client.query('select 1 as a; select 2 as b')) as unknown as pg.QueryResult[]
      expect(multi.map(({ rows }) => rows as unknown)).toEqual([[{ a: 1 }], [{ b: 2 }]])
      expect((await client.query('select $1::text as v', ['x'])).rows).toEqual([{ v: 'x' }])
      for (const id of [1, 2])
        expect((await client.query({ name: 'named', text: 'select $1::int as id', values: [id] })).rows).toEqual([
          { id },
        ])
      await expect(client.query('select * from nowhere where a = $1', [1])).rejects.toMatchObject({ code: '42P01' })
      // It tells of the error before its exchange is over, and would end in the middle of that.
      await client.query('select 3')
      await client.end()
      expect(story(proxy)).toEqual([
        ['II', ['select 1 as a; select 2 as b', 'SELECT 1', 'SELECT 1']],
        ['II', ['select $1::text as v', 'SELECT 1']],
        ['II', ['select $1::int as id', 'SELECT 1']],
        ['II', ['select $1::int as id', 'SELECT 1']],
        ['II', ['select * from nowhere where a = $1', '42P01']],
        ['II', ['select 3', 'SELECT 1']],
      ])
      expect(proxy.sessions[0]).toMatchObject({ applicationName: 'tool', trouble: null })
    })
  })

  test('a transaction that fails, and its status at each step', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const client = await nodePostgres(proxy)
      await client.query('begin')
      await expect(client.query('select 1/0')).rejects.toThrow()
      await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' })
      await client.query('rollback')
      await client.end()
      expect(story(proxy)).toEqual([
        ['IT', ['begin', 'BEGIN']],
        ['TE', ['select 1/0', '22012']],
        ['EE', ['select 1', '25P02']],
        ['EI', ['rollback', 'ROLLBACK']],
      ])
    })
  })

  test('parameters are kept where that was asked for, and nowhere else', async () => {
    await withProxy(
      server.migrate,
      async (proxy) => {
        const client = await nodePostgres(proxy)
        await client.query('select $1::text as journal, $2::int, $3::text', ['0001_init', 7, null])
        await client.query('select $1::text as secret', ['canary'])
        await client.query('select $1::bytea as journal', [Buffer.from('binary')])
        await client.end()
        const kept = proxy.sessions[0]?.exchanges.map(({ commands }) => commands[0]?.parameters)
        expect(kept).toEqual([['0001_init', '7', null], null, [null]])
      },
      { keepParameters: (sql) => sql.includes('journal') },
    )
    await withProxy(server.migrate, async (proxy) => {
      const client = await nodePostgres(proxy)
      await client.query('select $1::text as journal', ['canary'])
      await client.end()
      const all = proxy.sessions.flatMap(({ exchanges }) => exchanges.map((each) => ({ ...each, session: null })))
      expect(JSON.stringify(all)).not.toContain('canary')
    })
  })
})

describe('postgres.js', () => {
  test('describes first, waits, then binds: one exchange', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const sql = postgres({ ...proxy.address, username: proxy.address.user, max: 1, fetch_types: false })
      expect([...(await sql`select ${'x'}::text as v`)]).toEqual([{ v: 'x' }])
      expect([...(await sql`select ${'y'}::text as v`)]).toEqual([{ v: 'y' }])
      await expect(sql`select ${1} from nowhere`).rejects.toMatchObject({ code: '42P01' })
      await sql.begin((tx) => tx`select 1`)
      await sql.end()
      expect(story(proxy)).toEqual([
        ['II', ['select $1::text as v', 'SELECT 1']],
        ['II', ['select $1::text as v', 'SELECT 1']],
        // It never comes to an Execute.
        ['II', '42P01'],
        ['IT', ['begin ', 'BEGIN']],
        ['TT', ['select 1', 'SELECT 1']],
        ['TI', ['commit', 'COMMIT']],
      ])
      expect(proxy.sessions[0]).toMatchObject({ applicationName: 'postgres.js', trouble: null })
    })
  })

  test('many queries at once over a few connections: each answer belongs to its question', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const sql = postgres({ ...proxy.address, username: proxy.address.user, max: 5, fetch_types: false })
      const numbers = Array.from({ length: 300 }, (_, i) => i)
      const answers = await Promise.all(
        numbers.map((n) => sql`select ${n}::int as n`.then(([row]) => row?.['n'] as number)),
      )
      expect(answers).toEqual(numbers)
      await sql.end()
      const exchanges = proxy.sessions.flatMap((session) => session.exchanges)
      expect(exchanges).toHaveLength(300)
      expect(exchanges.every(({ readyMs, commands }) => readyMs !== null && commands[0]?.completed.length === 1)).toBe(
        true,
      )
      expect(new Set(exchanges.map(({ ordinal }) => ordinal)).size).toBe(300)
    })
  })
})

describe('the proxy', () => {
  test('knows the pids of the server, and which sessions live', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const clients = [await nodePostgres(proxy), await nodePostgres(proxy)]
      const pids = await Promise.all(
        clients.map(async (client) => {
          const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
          return rows[0]?.pid
        }),
      )
      expect(proxy.pids()).toEqual(pids)
      expect(proxy.sessions.map(({ pid }) => pid)).toEqual(pids)
      await clients[0]?.end()
      await until(() => proxy.pids().length === 1)
      expect(proxy.pids()).toEqual([pids[1]])
      expect(proxy.sessions[0]?.endedMs).not.toBeNull()
      await clients[1]?.end()
    })
  })

  test('tells its listeners in order, and when an exchange is under way', async () => {
    const told: string[] = []
    await withProxy(
      server.migrate,
      async (proxy) => {
        const client = await nodePostgres(proxy)
        expect(proxy.inFlightSinceMs).toBeNull()
        const running = client.query(`do $$begin raise notice 'n'; perform pg_sleep(0.2); end$$`)
        await until(() => told.includes('notice NOTICE'))
        const since = proxy.inFlightSinceMs
        expect(since).toBe(proxy.sessions[0]?.exchanges[0]?.sentMs)
        await running
        expect(proxy.inFlightSinceMs).toBeNull()
        await client.end()
        await until(() => told.includes('end'))
        expect(told).toEqual(['session', 'send', 'notice NOTICE', 'exchange I', 'end'])
      },
      {
        onSession: () => told.push('session'),
        onSend: () => told.push('send'),
        onNotice: (_, { severity }) => told.push(`notice ${severity}`),
        onExchange: ({ after }) => told.push(`exchange ${after ?? '-'}`),
        onEnd: () => told.push('end'),
      },
    )
  })

  test('listeners that throw disturb nobody, and it is said', async () => {
    const bad = (): never => {
      throw new TypeError('canary')
    }
    await withProxy(
      server.migrate,
      async (proxy) => {
        const client = await nodePostgres(proxy)
        expect((await client.query('select 1 as a')).rows).toEqual([{ a: 1 }])
        await client.query('create temp table bad (id int primary key)')
        await client.end()
        expect(proxy.sessions[0]?.trouble).toBe('a listener failed: TypeError')
      },
      { onSession: bad, onSend: bad, onExchange: bad, onNotice: bad, onEnd: bad, holdBack: bad, keepParameters: bad },
    )
  })

  test('cancels everything that is under way, and nothing else', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const [a, b] = [await nodePostgres(proxy), await nodePostgres(proxy)]
      const sleeping = a.query('select pg_sleep(60)').then(
        () => 'no error',
        (error: unknown) => (error as { code?: string }).code,
      )
      await until(() => proxy.inFlightSinceMs !== null)
      await proxy.cancelAll()
      expect(await sleeping).toBe('57014')
      expect((await b.query('select 1 as a')).rows).toEqual([{ a: 1 }])
      await Promise.all([a.end(), b.end()])
    })
  })

  test('a cancel with a wrong key cancels nothing', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const client = await openRaw(proxy.address)
      const running = client.exchange(build.query('select pg_sleep(0.3)'))
      const wrong = Buffer.from(client.key)
      wrong[0] = (wrong[0] ?? 0) ^ 1
      net.connect(proxy.address.port, '127.0.0.1').write(build.cancelRequest(client.pid, wrong))
      expect((await running).some(({ type }) => type === 'E')).toBe(false)
      expect(proxy.refusals.map(({ reason }) => reason)).toEqual(['cancel request with an unknown key'])
      await client.end()
    })
  })

  test('closing ends every session on both sides, also in the middle of a statement', async () => {
    const admin = connect(server.admin)
    await withProxy(server.migrate, async (proxy) => {
      const client = await nodePostgres(proxy)
      client.on('error', () => undefined)
      const { pid } = proxy.sessions[0] ?? { pid: 0 }
      const running = client.query('select pg_sleep(60)').catch((error: unknown) => error)
      await until(() => proxy.inFlightSinceMs !== null)
      await proxy.close()
      expect(await running).toBeInstanceOf(Error)
      expect(proxy.sessions[0]).toMatchObject({ pid, trouble: 'the rehearsal ended it' })
      expect(proxy.sessions[0]?.endedMs).not.toBeNull()
      for (;;) {
        const left = await admin`select 1 from pg_stat_activity where pid = ${pid}`
        if (left.length === 0) break
      }
      await expect(openRaw(proxy.address)).rejects.toThrow(/ECONNREFUSED/)
    })
    await admin.end()
  })

  test('a backend that is terminated: the client is told, and so is the record', async () => {
    const admin = connect(server.admin)
    await withProxy(server.migrate, async (proxy) => {
      const client = await nodePostgres(proxy)
      client.on('error', () => undefined)
      const running = client.query('select pg_sleep(60)').catch((error: unknown) => error)
      await until(() => proxy.inFlightSinceMs !== null)
      await admin`select pg_terminate_backend(${proxy.sessions[0]?.pid ?? 0})`
      expect(await running).toMatchObject({ code: '57P01', severity: 'FATAL' })
      await until(() => proxy.pids().length === 0)
      expect(proxy.sessions[0]?.trouble).toBe('the server ended the session (57P01)')
      expect(proxy.sessions[0]?.exchanges).toMatchObject([
        {
          readyMs: null,
          after: null,
          error: { sqlstate: '57P01' },
          commands: [{ completed: [], error: { sqlstate: '57P01' } }],
        },
      ])

      const idle = await nodePostgres(proxy)
      idle.on('error', () => undefined)
      await admin`select pg_terminate_backend(${proxy.sessions[1]?.pid ?? 0})`
      await until(() => proxy.pids().length === 0)
      expect(proxy.sessions[1]).toMatchObject({ trouble: 'the server ended the session (57P01)', exchanges: [] })
    })
    await admin.end()
  })

  test('a client that goes without a word', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const raw = await openRaw(proxy.address)
      await raw.exchange(build.query('begin'))
      raw.socket.destroy()
      await until(() => proxy.pids().length === 0)
      expect(proxy.sessions[0]?.trouble).toMatch(/^the client closed the connection without a Terminate|client broke/)
    })
  })

  test('parameters and notifications that come while nothing is asked', async () => {
    await withProxy(server.migrate, async (proxy) => {
      const [a, b] = [await nodePostgres(proxy), await nodePostgres(proxy)]
      const heard = new Promise((resolve) => a.once('notification', ({ payload }) => resolve(payload)))
      await a.query('listen news')
      await b.query(`notify news, 'extra'`)
      expect(await heard).toBe('extra')
      await a.query(`set application_name = 'later'`)
      expect(proxy.sessions[0]).toMatchObject({ applicationName: 'later' })
      await Promise.all([a.end(), b.end()])
    })
  })
})
