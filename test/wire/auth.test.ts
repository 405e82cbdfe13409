/** The two authentications: ours to the server, in every way it may ask, and the client's to us. */
import { createHash, createHmac, pbkdf2Sync, X509Certificate } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RehearsalError } from '../../src/errors.js'
import { endPointHash } from '../../src/wire/certificate.js'
import { build, openRaw, payloadOf, type Upstream } from '../../src/wire/client.js'
import { frame, FrameReader, int32, serverLimit, text, type Frame } from '../../src/wire/frames.js'
import { cString, readDataRow, readServerMessage } from '../../src/wire/messages.js'
import { makeCertificate, startCluster, type Cluster } from './cluster.js'
import { fakeServer, listen, until, withProxy } from './support.js'

/** Values of the first row of the answer to a query. */
async function row(upstream: Upstream, sql: string): Promise<(string | null)[]> {
  const raw = await openRaw(upstream)
  const frames = await raw.exchange(build.query(sql))
  await raw.end()
  const data = frames.find(({ type }) => type === 'D')
  return data ? readDataRow(payloadOf(data)) : []
}

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error: unknown) =>
      error instanceof RehearsalError ? error.details['message'] : (error as { code?: string }).code,
  )

describe('to the server, without TLS', () => {
  let cluster: Cluster
  const as = (user: string, password = 'secret'): Upstream => ({ ...cluster.admin, user, password })

  beforeAll(async () => {
    cluster = await startCluster({
      hba: [
        'host all postgres 127.0.0.1/32 scram-sha-256',
        'host all md5_user 127.0.0.1/32 md5',
        'host all trusted 127.0.0.1/32 trust',
        'host all clear 127.0.0.1/32 password',
        '',
      ].join('\n'),
      settings: { md5_password_warnings: 'off' },
    })
    const sql = [
      `set password_encryption = 'md5'`,
      `create role md5_user login password 'secret'`,
      `create role trusted login`,
      `create role clear login password 'secret'`,
    ]
    const admin = await openRaw(cluster.admin)
    for (const each of sql) expect((await admin.exchange(build.query(each))).map(({ type }) => type)).not.toContain('E')
    await admin.end()
  })
  afterAll(() => cluster.stop())

  test('SCRAM-SHA-256, with a password that has to be prepared', async () => {
    expect(await row(cluster.admin, 'select current_user')).toEqual(['postgres'])
    // The same password in another form of Unicode.
    const decomposed = cluster.admin.password.normalize('NFD')
    expect(decomposed).not.toBe(cluster.admin.password)
    expect(await row(as('postgres', decomposed), 'select current_user')).toEqual(['postgres'])
    expect(await failure(openRaw(as('postgres', 'wrong')))).toBe('28P01')
  })

  test('md5', async () => {
    expect(await row(as('md5_user'), 'select current_user')).toEqual(['md5_user'])
    expect(await failure(openRaw(as('md5_user', 'wrong')))).toBe('28P01')
  })

  test('trust', async () => {
    expect(await row(as('trusted', 'whatever'), 'select current_user')).toEqual(['trusted'])
  })

  test('never in the clear', async () => {
    expect(await failure(openRaw(as('clear')))).toBe('the server asks for the password in the clear and without TLS')
  })

  test('not where the server does not speak TLS but should', async () => {
    const tls = { servername: 'rehearsal.test', rejectUnauthorized: false }
    expect(await failure(openRaw({ ...as('trusted'), tls }))).toBe('the server does not speak TLS')
  })

  test('all of them through the proxy, whose client proves that it knows another password', async () => {
    for (const upstream of [cluster.admin, as('md5_user'), as('trusted')])
      await withProxy(upstream, async ({ address }) => {
        expect(address.password).not.toBe(upstream.password)
        expect(await row(address, 'select current_user')).toEqual([upstream.user])
      })
  })

  test('what the server refuses, the client learns from it', async () => {
    await withProxy({ ...as('md5_user', 'wrong') }, async (proxy) => {
      await expect(openRaw(proxy.address)).rejects.toMatchObject({
        code: '28P01',
        message: 'password authentication failed for user "md5_user"',
      })
      expect(proxy.refusals.map(({ reason }) => reason)).toEqual(['the server refused the session (28P01)'])
    })
  })
})

const KEYS = {
  'RSA with SHA-256': ['-newkey', 'rsa:2048', '-sha256'],
  'RSA with SHA-512': ['-newkey', 'rsa:2048', '-sha512'],
  'ECDSA with SHA-384': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-sha384'],
} as const

describe.each(Object.entries(KEYS))('to the server, with TLS and a certificate of %s', (_, key) => {
  let cluster: Cluster
  let secure: Upstream

  beforeAll(async () => {
    cluster = await startCluster({ hba: 'hostssl all all 127.0.0.1/32 scram-sha-256\n', key })
    secure = { ...cluster.admin, tls: { servername: 'rehearsal.test', ca: cluster.certificate ?? '' } }
  })
  afterAll(() => cluster.stop())

  test('SCRAM-SHA-256-PLUS: the server accepts what we bind to', async () => {
    expect(await row(secure, 'select ssl::text, version from pg_stat_ssl where pid = pg_backend_pid()')).toEqual([
      'true',
      expect.stringMatching(/^TLSv1\.[23]$/),
    ])
  })

  test('through the proxy, and a cancel too', async () => {
    await withProxy(secure, async ({ address }) => {
      const raw = await openRaw(address)
      const running = raw.exchange(build.query('select pg_sleep(30)'))
      await new Promise((resolve) => setTimeout(resolve, 100))
      await raw.cancel()
      const error = (await running).find(({ type }) => type === 'E')
      expect(error && readServerMessage(payloadOf(error), 0).sqlstate).toBe('57014')
      await raw.end()
    })
  })

  test('not with a certificate that nobody vouches for, nor under another name', async () => {
    expect(await failure(openRaw({ ...secure, tls: { servername: 'rehearsal.test' } }))).toMatch(/self.signed/)
    const elsewhere = { servername: 'other.test', ca: cluster.certificate ?? '' }
    expect(await failure(openRaw({ ...secure, tls: elsewhere }))).toMatch(/other\.test/)
    const careless = { servername: 'other.test', rejectUnauthorized: false }
    expect(await row({ ...secure, tls: careless }, 'select 1')).toEqual(['1'])
  })

  test('somebody in between who holds another certificate is found out by the server', async () => {
    const between = await interceptor(secure)
    const careless = { servername: 'rehearsal.test', rejectUnauthorized: false }
    const reason = await failure(openRaw({ ...secure, port: between.port, tls: careless }))
    expect(between.seen()).toContain('SCRAM-SHA-256-PLUS')
    // invalid_authorization_specification: "SCRAM channel binding check failed"
    expect(reason).toBe('28000')
    // Without the lie it would have gone through.
    expect(await row({ ...secure, tls: careless }, 'select 1')).toEqual(['1'])
    between.close()
  })
})

/** Ends TLS with a certificate of its own, and speaks TLS to the server. */
async function interceptor(upstream: Upstream): Promise<{ port: number; seen: () => string; close: () => void }> {
  const { key, certificate } = makeCertificate(['-newkey', 'rsa:2048', '-sha256'])
  let seen = ''
  const server = net.createServer((client) => {
    client.once('data', () => {
      client.write('S')
      const inner = new tls.TLSSocket(client, { isServer: true, key, cert: certificate })
      const plain = net.connect(upstream.port, upstream.host, () => plain.write(build.sslRequest()))
      plain.once('data', () => {
        const outer = tls.connect({ socket: plain, servername: 'rehearsal.test', rejectUnauthorized: false })
        inner.on('data', (chunk: Buffer) => (seen += chunk.toString('latin1')))
        inner.pipe(outer).pipe(inner)
        for (const socket of [client, inner, plain, outer]) socket.on('error', () => undefined)
      })
    })
  })
  const port = await listen(server)
  return { port, seen: () => seen, close: () => server.close() }
}

test('the hash of a certificate follows its signature', () => {
  const made = (args: readonly string[]): Buffer => {
    const pem = execFileSync('openssl', ['req', '-x509', '-nodes', ...args, '-subj', '/CN=x', '-keyout', '/dev/null'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return new X509Certificate(pem).raw
  }
  const pss = ['-newkey', 'rsa:2048', '-sigopt', 'rsa_padding_mode:pss']
  const by = (hash: string, der: Buffer) => createHash(hash).update(der).digest('hex')
  const cases: [string, readonly string[]][] = [
    ['sha256', ['-newkey', 'rsa:2048', '-sha1']],
    ['sha256', ['-newkey', 'rsa:2048', '-sha256']],
    ['sha384', ['-newkey', 'rsa:2048', '-sha384']],
    ['sha512', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-sha512']],
    ['sha256', [...pss, '-sha256']],
    ['sha512', [...pss, '-sha512']],
  ]
  for (const [hash, args] of cases) {
    const der = made(args)
    expect(endPointHash(der)?.toString('hex'), args.join(' ')).toBe(by(hash, der))
  }
  expect(endPointHash(made(['-newkey', 'ed25519']))).toBeNull()
  expect(endPointHash(Buffer.alloc(0))).toBeNull()
  expect(endPointHash(Buffer.from([0x30, 0x82, 0xff, 0xff, 0]))).toBeNull()
})

describe('a server that is not what it seems', () => {
  /** Answers each message of the client with the next step. */
  const scripted = async (steps: ((data: Buffer) => Buffer)[]): Promise<{ upstream: Upstream; close: () => void }> => {
    const server = net.createServer((socket) => {
      let step = 0
      socket.on('error', () => undefined).on('data', (data: Buffer) => socket.write(steps[step++]?.(data) ?? ''))
    })
    const port = await listen(server)
    return {
      upstream: { host: '127.0.0.1', port, database: 'd', user: 'u', password: 'secret' },
      close: () => server.close(),
    }
  }
  const sasl = (code: number, data: string | Buffer): Buffer => frame('R', int32(code), Buffer.from(data))
  const offer = (): Buffer => sasl(10, 'SCRAM-SHA-256\0\0')
  /** First step of an honest server, from the client's nonce. */
  const first = (data: Buffer, change = (nonce: string) => `${nonce}more`, rest = 's=c2FsdA==,i=4096'): Buffer =>
    sasl(11, `r=${change(/r=(.*)$/s.exec(data.toString())?.[1] ?? '')},${rest}`)

  test.each<[string, ((data: Buffer) => Buffer)[], RegExp]>([
    [
      'that does not know the password',
      [
        offer,
        (data) => first(data),
        () => Buffer.concat([sasl(12, `v=${Buffer.alloc(32).toString('base64')}`), sasl(0, '')]),
      ],
      /could not prove/,
    ],
    ['that lets us in half way', [offer, (data) => first(data), () => sasl(0, '')], /half done/],
    ['that takes another nonce', [offer, (data) => first(data, () => 'other')], /changed the nonce/],
    ['that adds nothing to the nonce', [offer, (data) => first(data, (nonce) => nonce)], /changed the nonce/],
    [
      'that wants us to work for ever',
      [offer, (data) => first(data, (n) => `${n}x`, 's=c2FsdA==,i=99999999')],
      /iterations/,
    ],
    ['that offers nothing we know', [() => sasl(10, 'SCRAM-SHA-1\0\0')], /no authentication that we know/],
    ['that wants Kerberos', [() => sasl(7, '')], /do not know \(7\)/],
    ['that speaks something else', [() => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')], /malformed|does not speak/],
  ])('%s', async (_, steps, reason) => {
    const server = await scripted(steps)
    expect(await failure(openRaw(server.upstream))).toMatch(reason)
    server.close()
  })

  test('what is slipped in before TLS begins is noticed', async () => {
    const server = await scripted([() => Buffer.from('S' + 'injected')])
    const tls = { servername: 'x', rejectUnauthorized: false }
    expect(await failure(openRaw({ ...server.upstream, tls }))).toBe('the server does not speak TLS')
    server.close()
  })

  test('a server that is not there', async () => {
    const server = await scripted([])
    server.close()
    expect(await failure(openRaw(server.upstream))).toMatch(/ECONNREFUSED/)
  })
})

/** The client's half of the first messages, by hand. */
class Knock {
  readonly socket: net.Socket
  readonly frames: Frame[] = []
  bytes = Buffer.alloc(0)
  isClosed = false
  #reader: FrameReader | null = null

  constructor(port: number) {
    this.socket = net.connect(port, '127.0.0.1')
    this.socket.on('error', () => undefined).on('close', () => (this.isClosed = true))
    this.socket.on('data', (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk])
      this.#reader?.push(chunk, 0)
    })
  }

  /** From here on frames are expected. */
  read(): this {
    this.#reader = new FrameReader({ keep: () => Infinity, limit: serverLimit, onFrame: (f) => this.frames.push(f) })
    return this
  }

  async next(type: string): Promise<Buffer> {
    await until(() => this.isClosed || this.frames.some((f) => f.type === type))
    const index = this.frames.findIndex((f) => f.type === type)
    const [found] = index < 0 ? [] : this.frames.splice(index, 1)
    if (!found) throw new Error(`no ${type}, but ${this.frames.map((f) => f.type).join('')}`)
    return payloadOf(found)
  }
}

/** RFC 5802 written down a second time, as the peer of what is tested. */
function proofOf(password: string, clientFirst: string, serverFirst: string, withoutProof: string) {
  const [, salt = '', iterations = ''] = /s=([^,]+),i=(\d+)/.exec(serverFirst) ?? []
  const hmac = (key: Buffer, data: string) => createHmac('sha256', key).update(data).digest()
  const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256')
  const auth = `${clientFirst},${serverFirst},${withoutProof}`
  const clientKey = hmac(salted, 'Client Key')
  const signature = hmac(createHash('sha256').update(clientKey).digest(), auth)
  return {
    proof: Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] ?? 0))).toString('base64'),
    server: hmac(hmac(salted, 'Server Key'), auth).toString('base64'),
  }
}

describe('to the proxy', () => {
  const startup = (parameters: Record<string, string>, version = 196_608): Buffer => {
    const body = Object.entries(parameters).flatMap(([name, value]) => [text(name), text(value)])
    const all = Buffer.concat([int32(version), ...body, text('')])
    return Buffer.concat([int32(all.length + 4), all])
  }

  test('one that binds no channel gets in and learns that the server knows the password too', async () => {
    const server = await fakeServer()
    await withProxy(server.upstream, async ({ address, sessions }) => {
      const knock = new Knock(address.port).read()
      knock.socket.write(startup({ user: 'owner', database: 'rehearsal' }))
      expect((await knock.next('R')).toString()).toBe('\0\0\0\nSCRAM-SHA-256\0\0')
      const bare = 'n=,r=fyko+d2lbbFgONRv9qkxdawL'
      const initial = Buffer.from(`y,,${bare}`)
      knock.socket.write(build.password(Buffer.concat([text('SCRAM-SHA-256'), int32(initial.length), initial])))
      const serverFirst = (await knock.next('R')).toString('utf8', 4)
      const withoutProof = `c=eSws,r=${/r=([^,]+)/.exec(serverFirst)?.[1] ?? ''}`
      const { proof, server: signature } = proofOf(address.password, bare, serverFirst, withoutProof)
      knock.socket.write(build.password(Buffer.from(`${withoutProof},p=${proof}`)))
      expect((await knock.next('R')).toString('utf8', 4)).toBe(`v=${signature}`)
      expect((await knock.next('R')).readInt32BE(0)).toBe(0)
      await knock.next('Z')
      expect(sessions).toHaveLength(1)
      knock.socket.destroy()
    })
    await server.close()
  })

  test('requests for encryption are answered N, one after the other', async () => {
    const server = await fakeServer()
    await withProxy(server.upstream, async (proxy) => {
      const knock = new Knock(proxy.address.port)
      knock.socket.write(build.sslRequest())
      await until(() => knock.bytes.toString() === 'N')
      knock.socket.write(Buffer.concat([int32(8), int32(80_877_104)]))
      await until(() => knock.bytes.toString() === 'NN')
      knock.read().socket.write(startup({ user: 'owner' }))
      expect((await knock.next('R')).readInt32BE(0)).toBe(10)
      knock.socket.destroy()
      const greedy = new Knock(proxy.address.port)
      greedy.socket.write(Buffer.concat([build.sslRequest(), build.sslRequest(), build.sslRequest()]))
      await until(() => greedy.isClosed)
      expect(proxy.refusals.map(({ reason }) => reason)).toContain('malformed startup: encryption asked for again')
    })
    await server.close()
  })

  test('version 3.2 and options of the protocol are negotiated down', async () => {
    const server = await fakeServer()
    await withProxy(server.upstream, async ({ address }) => {
      const knock = new Knock(address.port).read()
      knock.socket.write(startup({ user: 'owner', '_pq_.wish': '1', database: 'rehearsal' }, 196_610))
      const answer = await knock.next('v')
      expect([answer.readInt32BE(0), answer.readInt32BE(4), cString(answer, 8).value]).toEqual([
        196_608,
        1,
        '_pq_.wish',
      ])
      await knock.next('R')
      knock.socket.destroy()
    })
    await server.close()
  })

  test.each<[string, Record<string, string>, number, string, string]>([
    ['replication', { user: 'owner', replication: 'database' }, 196_608, '0A000', 'replication connection'],
    ['protocol 2', { user: 'owner' }, 131_072, '0A000', 'malformed startup: not protocol 3'],
    ['no user', { database: 'rehearsal' }, 196_608, '28000', 'malformed startup: no user'],
  ])('%s is refused', async (_, parameters, version, sqlstate, reason) => {
    const server = await fakeServer()
    await withProxy(server.upstream, async (proxy) => {
      const knock = new Knock(proxy.address.port).read()
      knock.socket.write(startup(parameters, version))
      expect(readServerMessage(await knock.next('E'), 0)).toMatchObject({ severity: 'FATAL', sqlstate })
      await until(() => knock.isClosed)
      expect(proxy.refusals.map((refusal) => refusal.reason)).toEqual([reason])
      expect(server.connections).toEqual([])
    })
    await server.close()
  })

  test('another password, user or database is refused before the server hears of it', async () => {
    const server = await fakeServer()
    await withProxy(server.upstream, async (proxy) => {
      const { address } = proxy
      await expect(openRaw({ ...address, password: 'guess' })).rejects.toMatchObject({
        code: '28P01',
        message: 'password authentication failed for user "owner"',
      })
      await expect(openRaw({ ...address, user: 'postgres' })).rejects.toMatchObject({ code: '28P01' })
      await expect(openRaw({ ...address, database: 'production' })).rejects.toMatchObject({
        code: '3D000',
        message: 'database "production" does not exist',
      })
      expect(proxy.refusals.map(({ reason }) => reason)).toEqual([
        'password does not match',
        'user is not the one of the rehearsal',
        'database is not the one of the rehearsal',
      ])
      expect(server.connections).toEqual([])
      expect(proxy.sessions).toEqual([])
      expect(JSON.stringify(proxy.refusals)).not.toContain(address.password)
    })
    await server.close()
  })

  test('no two proxies have the same password', async () => {
    const server = await fakeServer()
    const passwords = await Promise.all(
      [1, 2].map(() => withProxy(server.upstream, ({ address }) => Promise.resolve(address.password))),
    )
    expect(new Set(passwords).size).toBe(2)
    expect(passwords.every((password) => password.length >= 32)).toBe(true)
    await server.close()
  })
})
