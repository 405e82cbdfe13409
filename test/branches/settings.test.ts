import { mkdtempSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { dropRecycledLog } from '../../src/branches/copy.js'
import { configurationFile, fillingSettings, measuringSettings } from '../../src/branches/settings.js'

test('a pass wins over production, production over ours, and the log over everything', () => {
  const production = { autovacuum: 'off', work_mem: '1MB', log_min_messages: 'debug5' }
  const settings = measuringSettings(production, { work_mem: '2MB' })
  expect(settings).toMatchObject({ autovacuum: 'off', work_mem: '2MB', log_min_messages: 'log', fsync: 'on' })
})

test("filling keeps production's dialect but neither its timeouts nor its durability", () => {
  const production = { statement_timeout: '5s', fsync: 'on', max_locks_per_transaction: '256' }
  const settings = fillingSettings(production)
  expect(settings).toMatchObject({ statement_timeout: '0', fsync: 'off', max_locks_per_transaction: '256' })
})

test('values are quoted as postgresql.conf wants them', () => {
  expect(configurationFile({ search_path: `"$user", it's`, 'my.path': 'C:\\x\ny' })).toBe(
    `search_path = '"$user", it''s'\nmy.path = 'C:\\\\x\\ny'\n`,
  )
})

test('of the recycled log a few segments stay, and never one that is in use', async () => {
  const directory = mkdtempSync(join(os.tmpdir(), 'rehearse-test-'))
  const log = join(directory, 'pg_wal')
  mkdirSync(join(log, 'archive_status'), { recursive: true })
  const segment = (n: number) => `0000000100000000${n.toString(16).toUpperCase().padStart(8, '0')}`
  for (let n = 9; n < 40; n++) writeFileSync(join(log, segment(n)), '')
  await dropRecycledLog(directory, segment(16))
  const left = readdirSync(log).sort()
  expect(left).toEqual([...Array.from({ length: 12 }, (_, i) => segment(9 + i)), 'archive_status'])
  rmSync(directory, { recursive: true })
})
