import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { createPools } from '../../src/seeds/faker-pools.js'
import { finishSeed } from '../../src/seeds/finish.js'
import { importDefault } from '../../src/scenario/module.js'
import { checkSeed, type Seed } from '../../src/seeds/index.js'
import { runSeed } from '../../src/seeds/run-seed.js'
import { connect, withServer } from '../support/postgres.js'

const folder = mkdtempSync(join(tmpdir(), 'rehearse-seeds-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const write = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}
const loadSeed = async (path: string): Promise<Seed> =>
  checkSeed(await importDefault(path, path, 'SCENARIO_INVALID'), path)

const example = (path: string): string => fileURLToPath(new URL(`../../seeds/${path}`, import.meta.url))

describe('the example data sets', () => {
  it.each([
    ['saas', { organizations: 100, users: 1000, memberships: 1000, contacts: 2000, activities: 1000, api_keys: 50 }],
    ['shop', { customers: 500, categories: 40, products: 100, inventory: 100, orders: 2000, order_items: 3000 }],
  ])('%s fills every table to the share of :n that its traffic relies on', (name, expected) =>
    withServer(async (server) => {
      const sql = connect(server.admin, { fetch_types: false })
      await sql.unsafe(readFileSync(example(`${name}/schema.sql`), 'utf8')).simple()
      await runSeed(sql, await loadSeed(example(`${name}/seed.ts`)), { n: 2000, seedNumber: 1 })
      await finishSeed(sql)
      const rows = await sql<{ table: string; rows: number }[]>`
        select relname as table, reltuples::int as rows from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`
      expect(Object.fromEntries(rows.map((row) => [row.table, row.rows]))).toEqual(expected)
      await sql.end()
    }),
  )
})

describe('a seed file', () => {
  it('loads TypeScript that imports pg-rehearse from anywhere', async () => {
    const path = write(
      'good.ts',
      `import { defineSeed } from 'pg-rehearse'
       export default defineSeed({ tables: { t: { rows: 3, columns: ['id'], row: (i: number) => ({ id: i }) } } })`,
    )
    expect(Object.keys((await loadSeed(path)).tables)).toEqual(['t'])
  })

  it.each([
    ['syntax.ts', 'export default {', /cannot be loaded/],
    ['throws.ts', 'throw new Error("no licence")', /no licence/],
    ['nothing.ts', 'export const seed = 1', /not a seed/],
    ['shape.ts', 'export default { tables: { t: { rows: 3, columns: [], row: () => ({}) } } }', /tables\.t\.columns/],
    ['empty.ts', 'export default { tables: {} }', /no table/],
  ])('%s is refused', async (name, text, message) => {
    await expect(loadSeed(write(name, text))).rejects.toMatchObject({ code: 'SCENARIO_INVALID' })
    await expect(loadSeed(write(`again-${name}`, text))).rejects.toThrow(message)
  })

  it('a missing file is refused', async () => {
    await expect(loadSeed(join(folder, 'absent.ts'))).rejects.toMatchObject({ code: 'SCENARIO_INVALID' })
  })
})

describe('pools', () => {
  it('depend on the seed number and not on the order in which they are read', () => {
    const [one, same, other] = [createPools(1), createPools(1), createPools(2)]
    const city = one.city
    expect(same.company.length).toBeGreaterThan(0)
    expect(same.city).toEqual(city)
    expect(other.city).not.toEqual(city)
    expect(one.city).toBe(city)
    expect(new Set(city).size).toBeGreaterThan(500)
  })
})
