import { expect, test } from 'vitest'
import {
  databaseUrl,
  hostsOf,
  isLoopback,
  looksLikeDatabaseUrl,
  maskSecrets,
} from '../../../src/migrations/child/database-url.js'

test.each([
  'postgres://u:p@h/d',
  'postgresql://h',
  'POSTGRESQL://h',
  'postgresql+asyncpg://u@h/d',
  'jdbc:postgresql://h:5432/d',
  'jdbc:postgresql:d',
  'db:pg://u@h/d',
  'prisma+postgres://localhost:51213/?api_key=x',
  'prisma://accelerate.prisma-data.net/?api_key=x',
  'host=prod.internal port=5432 dbname=shop',
  'dbname=shop host=prod.internal',
  "service='prod' user=x",
  '{"url":"postgres://h/d"}',
  'a=1,postgres://h/d',
])('%s is an address', (text) => expect(looksLikeDatabaseUrl(text)).toBe(true))

test.each([
  'https://example.com/postgres',
  'mysql://h/d',
  'postgres',
  'postgres:18-alpine',
  'my-postgres://x',
  'host=x',
  'db:migrate',
  'db:pg',
])('%s is not', (text) => expect(looksLikeDatabaseUrl(text)).toBe(false))

test('hosts as libpq reads them', () => {
  expect(hostsOf("a 'postgres://u:p%40w@prod.example.net:5432/d' and jdbc:postgresql://other/d")).toEqual([
    'prod.example.net',
    'other',
  ])
  expect(hostsOf('postgres://u:p@w@prod/d')).toEqual(['prod'])
  expect(hostsOf('postgres://a:1,b:2/d')).toEqual(['a', 'b'])
  expect(hostsOf('postgres://[2001:db8::1]:5432/d')).toEqual(['[2001:db8::1]'])
  expect(hostsOf('postgresql:///d?host=prod&x=1')).toEqual(['prod'])
  expect(hostsOf('postgresql:///d')).toEqual([''])
})

test('what is loopback', () => {
  for (const host of ['localhost', 'LOCALHOST', '127.0.0.1', '127.1.2.3', '::1', '[::1]'])
    expect(isLoopback(host)).toBe(true)
  for (const host of ['localhost.evil.net', '128.0.0.1', 'db', '']) expect(isLoopback(host)).toBe(false)
})

test('every part of a URL is encoded', () => {
  const address = { host: '::1', port: 6000, user: 'a@b', password: 'p:/?#[]%', database: 'my db/x' }
  const url = new URL(databaseUrl(address, { sslmode: 'disable', options: '-c a=b' }))
  expect(decodeURIComponent(url.username)).toBe(address.user)
  expect(decodeURIComponent(url.password)).toBe(address.password)
  expect(decodeURIComponent(url.pathname.slice(1))).toBe(address.database)
  expect([url.hostname, url.port]).toEqual(['[::1]', '6000'])
  expect(url.searchParams.get('options')).toBe('-c a=b')
  expect(databaseUrl({ ...address, host: 'h' })).not.toContain('?')
})

test('passwords are masked wherever they stand', () => {
  const text = 'at postgres://bob:s3/cr@t@h/d, one-time+word one-time%2Bword PGPASSWORD=abc {"password": "x y"}'
  const masked = maskSecrets(text, ['one-time+word'])
  expect(masked).toBe('at postgres://bob:***@h/d, *** *** PGPASSWORD=*** {"password": ***}')
  expect(maskSecrets('redis://:secret@cache')).toBe('redis://:***@cache')
  expect(maskSecrets('https://example.com:443/a@b')).toContain('example.com')
})
