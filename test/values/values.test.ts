/** Values for a schema in which everything is hard, on a real server: it says what is right. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type postgres from 'postgres'
import { syncSequences } from '../../src/seeds/finish.js'
import { fillFromSchema, type GeneratedFill } from '../../src/seeds/index.js'
import { evaluate } from '../../src/values/evaluate.js'
import { createPools } from '../../src/values/faker-pools.js'
import { CannotMake, readShape, samplePools, valueMaker, verifyRows } from '../../src/values/index.js'
import type { Pools, Row, SchemaShape, TableShape, ValueMaker } from '../../src/values/index.js'
import { planTable } from '../../src/values/plan.js'
import { Random } from '../../src/values/random.js'
import { UNKNOWN } from '../../src/values/scalars.js'
import { connect, startServer, type TestServer } from '../support/postgres.js'

let server: TestServer
let sql: postgres.Sql
let owner: postgres.Sql
let shape: SchemaShape
let filled: GeneratedFill
let pools: Pools
let maker: ValueMaker

const ROWS = 300

beforeAll(async () => {
  server = await startServer()
  sql = connect(server.admin, { fetch_types: false })
  owner = connect(server.migrate, { fetch_types: false })
  await sql.unsafe(readFileSync(new URL('nasty.sql', import.meta.url), 'utf8')).simple()
  await sql.unsafe("insert into secretive (code, other) select 'code-' || g, g from generate_series(10, 30) g").simple()
  await sql.unsafe('grant usage on schema public to app; grant select, insert on tenants to app').simple()
  filled = await fillFromSchema({ owner, admin: sql, shape: await readShape(sql), rows: ROWS, seedNumber: 7 })
  await syncSequences(sql)
  await sql.unsafe('analyze')
  shape = await readShape(sql)
  pools = await samplePools(sql, shape, { seedNumber: 7 })
  maker = valueMaker(shape, pools, { seedNumber: 7 })
})
afterAll(async () => {
  await sql.end()
  await owner.end()
  await server.stop()
})

const tableOf = (name: string, from = shape): TableShape => {
  const table = from.tables.find((one) => one.name === name)
  if (!table) throw new Error(`no table ${name}`)
  return table
}
const columnOf = (table: string, column: string) => {
  const found = tableOf(table).columns.find(({ name }) => name === column)
  if (!found) throw new Error(`no column ${column}`)
  return found
}
const literal = (value: string | null | undefined): string =>
  value === null || value === undefined ? 'null' : `'${value.replaceAll("'", "''")}'`
const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`
/** Runs a statement that is undone; its SQLSTATE, null when it worked. */
async function tried(statement: string): Promise<string | null> {
  try {
    await sql.unsafe(`begin; ${statement}; set constraints all immediate; rollback`).simple()
    return null
  } catch (error) {
    await sql.unsafe('rollback').simple()
    return error instanceof Error && 'code' in error ? String(error.code) : 'none'
  }
}
const insertOf = (table: TableShape, row: Row): string => {
  const names = Object.keys(row)
  return `insert into ${table.sql} (${names.map(quote).join(', ')}) values (${names.map((name) => literal(row[name])).join(', ')})`
}
const written = (): TableShape[] => shape.tables.filter(({ kind }) => kind === 'table' || kind === 'partitioned')
/** No further row is possible in these: each value of a key is there. */
const FULL = ['Odd Schema.Mixed "Case" Table', 'profiles']

describe('the shape', () => {
  test('has every table once, with kind, partitions and privileges', async () => {
    expect(shape.tables.map(({ name }) => name).sort()).toEqual(
      (
        'Odd Schema.Mixed "Case" Table|checked|eggs|events|events_2024|events_2025|events_2025_a|events_2025_b|' +
        'events_rest|families|hens|memberships|nodes|players|profiles|reservations|secretive|shards|shards_0|shards_1|' +
        'teams|tenants|users'
      ).split('|'),
    )
    expect(tableOf('events')).toMatchObject({ kind: 'partitioned', partitionKey: 'RANGE (at)', partitionOf: null })
    expect(tableOf('events').partitionBounds).toHaveLength(3)
    expect(tableOf('events').rows).toBe(ROWS)
    expect(tableOf('events').bytes).toBeGreaterThan(8192)
    expect(tableOf('events_2025_b')).toMatchObject({ kind: 'partition', partitionOf: 'events', partitionBounds: [] })
    expect(tableOf('teams').triggers).toEqual(['teams_stamp'])
    expect(tableOf('Odd Schema.Mixed "Case" Table').sql).toBe('"Odd Schema"."Mixed ""Case"" Table"')
    const seen = await readShape(sql, { role: 'app' })
    expect(tableOf('tenants', seen).may).toEqual({ select: true, insert: true, update: false, delete: false })
    expect(tableOf('users', seen).may).toEqual({ select: false, insert: false, update: false, delete: false })
    expect(tableOf('users').may).toEqual({ select: true, insert: true, update: true, delete: true })
  })

  test('resolves types', () => {
    expect(columnOf('users', 'email').type).toMatchObject({ sql: 'email_address', base: 'text', kind: 'b' })
    expect(columnOf('users', 'email').type.domainChecks).toHaveLength(2)
    expect(columnOf('families', 'a_small').type).toMatchObject({ base: 'int4', domainNotNull: true })
    expect(columnOf('families', 'a_small').type.domainChecks).toEqual(['((VALUE)::integer < 1000)', '(VALUE > 0)'])
    expect(columnOf('families', 'a_country').type).toMatchObject({ base: 'bpchar', modifier: 6 })
    expect(columnOf('families', 'a_numeric').type.sql).toBe('numeric(8,3)')
    expect(columnOf('families', 'a_nums').type).toMatchObject({
      category: 'A',
      element: { base: 'numeric', sql: 'numeric' },
    })
    expect(columnOf('families', 'a_moods').type.element).toMatchObject({ kind: 'e', labels: ['sad', 'ok', 'happy'] })
    expect(columnOf('families', 'a_rtz').type).toMatchObject({ kind: 'r', subtype: { base: 'timestamptz' } })
    expect(columnOf('families', 'a_mr').type).toMatchObject({ kind: 'm', subtype: { base: 'int4' } })
    expect(columnOf('families', 'a_place').type.attributes?.map(({ name, type }) => `${name} ${type.sql}`)).toEqual([
      ...['street text', 'zip character varying(5)', 'at point', 'since date'],
    ])
    expect(columnOf('families', 'a_point').type.element).toBeNull()
  })

  test('has columns, keys, references, indexes and checks as they were made', () => {
    expect(columnOf('tenants', 'id')).toMatchObject({
      identity: 'always',
      sequence: true,
      notNull: true,
      generated: null,
    })
    expect(columnOf('families', 'id')).toMatchObject({ identity: null, sequence: true })
    expect(columnOf('Odd Schema.Mixed "Case" Table', 'Id').sequence).toBe(true)
    expect(columnOf('users', 'upper_name')).toMatchObject({ generated: 'stored', defaultSql: null })
    expect(columnOf('users', 'login').statistics).toMatchObject({ nullFraction: 0 })
    const key = (table: string, name: string) => tableOf(table).keys.find((one) => one.name === name)
    expect(key('users', 'users_pkey')).toMatchObject({ kind: 'primary', columns: ['tenant_id', 'id'], where: null })
    expect(key('users', 'users_email')).toMatchObject({
      kind: 'unique',
      columns: [null],
      expressions: ['lower(email::text)'],
      expressionColumns: ['email'],
      where: '(deleted_at IS NULL)',
    })
    expect(tableOf('reservations').keys.filter(({ kind }) => kind === 'exclude')).toMatchObject([
      { columns: ['during'], expressions: [] },
      { columns: ['room', null], expressionColumns: ['starts_at', 'ends_at'] },
    ])
    expect(tableOf('Odd Schema.Mixed "Case" Table').keys.map(({ nullsNotDistinct }) => nullsNotDistinct)).toContain(
      true,
    )
    expect(tableOf('Odd Schema.Mixed "Case" Table').indexes).toEqual([
      { name: 'by_name', method: 'btree', columns: ['firstName', null], where: null },
    ])
    expect(tableOf('users').foreignKeys).toEqual([
      {
        name: 'users_tenant_id_fkey',
        columns: ['tenant_id'],
        target: 'tenants',
        targetColumns: ['id'],
        deferrable: false,
        matchFull: false,
      },
      {
        name: 'users_tenant_id_manager_fkey',
        columns: ['tenant_id', 'manager'],
        target: 'users',
        targetColumns: ['tenant_id', 'id'],
        deferrable: false,
        matchFull: false,
      },
    ])
    expect(tableOf('eggs').foreignKeys.map(({ deferrable }) => deferrable)).toEqual([true])
    // NOT NULL is no check, though PostgreSQL 18 keeps it among the constraints.
    expect(tableOf('users').checks.map(({ name, columns }) => [name, columns])).toEqual([
      ['users_age_check', ['age']],
      ['users_check', ['confirmed_at', 'invited_at']],
      ['users_check1', ['manager', 'id']],
      ['users_invited_at_check', ['invited_at']],
    ])
  })
})

describe('the filling', () => {
  test('fills every table, referred ones with a tenth of the rows, and says what it could not do', () => {
    expect(filled.left).toEqual([])
    expect(Object.fromEntries(filled.tables.map(({ name, rows }) => [name, rows]))).toEqual({
      'Odd Schema.Mixed "Case" Table': 16,
      ...{
        checked: ROWS,
        events: ROWS,
        nodes: ROWS,
        reservations: ROWS,
        shards: ROWS,
        memberships: ROWS,
        players: ROWS,
      },
      ...{ families: 100, tenants: 100, users: 100, teams: 100, profiles: 100, eggs: ROWS, hens: ROWS },
    })
    expect(filled.assumptions).toEqual([
      'Odd Schema.Mixed "Case" Table has only 16 rows: every value of a key is taken',
      'profiles has only 100 rows: no row of users is left to refer to',
    ])
  })
})

describe('rows', () => {
  test('of at least 95 in 100 are accepted by every table that has room', async () => {
    const refused: Record<string, unknown> = {}
    for (const table of written().filter(({ name }) => !FULL.includes(name))) {
      const results = []
      for (let i = 0; i < 20; i++) results.push(await tried(insertOf(table, maker.row(table, new Random(i)))))
      const wrong = results.filter((state) => state !== null)
      if (wrong.length > 1) refused[table.name] = wrong
    }
    expect(refused).toEqual({})
  })

  test('are the same for the same random numbers, and others for others', async () => {
    const again = valueMaker(shape, await samplePools(sql, shape, { seedNumber: 7 }), { seedNumber: 7 })
    for (const name of ['checked', 'users', 'families']) {
      const table = tableOf(name)
      const row = maker.row(table, new Random(1))
      expect(again.row(table, new Random(1))).toEqual(row)
      expect(again.row(table, new Random(2))).not.toEqual(row)
    }
  })

  test('leave out what the server gives, but for sequences when asked', () => {
    expect(maker.row(tableOf('users'), new Random(1))).not.toHaveProperty('upper_name')
    expect(maker.row(tableOf('tenants'), new Random(1))).not.toHaveProperty('id')
    expect(maker.row(tableOf('tenants'), new Random(1), { sequences: true })).toHaveProperty('id')
  })

  test('cannot be made where no key is left, and this is said without a value', () => {
    for (const name of FULL) expect(() => maker.row(tableOf(name), new Random(1))).toThrow(CannotMake)
    expect(() => maker.row(tableOf('profiles'), new Random(1))).toThrow('no row of users is left to refer to')
    const nothing = valueMaker(shape, { rows: new Map() }, { seedNumber: 1 })
    expect(() => nothing.row(tableOf('players'), new Random(1))).toThrow('no row of teams to refer to')
    expect(nothing.existing(tableOf('players'), new Random(1))).toBeNull()
    expect(nothing.row(tableOf('teams'), new Random(1))['captain']).toBeNull()
  })
})

describe('single values', () => {
  test('are accepted in UPDATE by every column that can be written', async () => {
    const refused: string[] = []
    let all = 0
    for (const table of written()) {
      const primary = table.keys.find(({ kind }) => kind === 'primary')
      for (const column of table.columns) {
        if (column.generated !== null || column.identity === 'always') continue
        const random = new Random(`${table.name}.${column.name}`)
        const row = maker.existing(table, random)
        if (!row) continue
        const unique = table.keys.some(({ columns }) => columns.includes(column.name))
        all++
        try {
          const value = maker.value(table, column, random, { row, unique })
          const where = (primary?.columns ?? []).map((name) => `${quote(name ?? '')} = ${literal(row[name ?? ''])}`)
          const state = await tried(
            `update ${table.sql} set ${quote(column.name)} = ${literal(value)} where ${where.join(' and ')}`,
          )
          // What others refer to cannot be changed, whatever the value is.
          if (state !== null && !(state === '23503' && primary?.columns.includes(column.name)))
            refused.push(`${table.name}.${column.name} ${state}`)
        } catch (error) {
          if (!(error instanceof CannotMake)) throw error
          if (!FULL.includes(table.name)) refused.push(`${table.name}.${column.name}: ${error.reason}`)
        }
      }
    }
    expect(all).toBeGreaterThan(100)
    expect(refused).toEqual([])
  })

  test('of a type alone are read by the server', async () => {
    for (const { type } of tableOf('families').columns) {
      const value = maker.ofType(type, new Random(type.sql))
      expect([type.sql, await tried(`select ${literal(value)}::${type.sql}`)]).toEqual([type.sql, null])
    }
  })

  test('existing rows: the first ones oftener with a skew', () => {
    const table = tableOf('checked')
    const first = pools.rows.get('checked')?.[0]
    const hits = (skew: number) =>
      Array.from({ length: 300 }, (_, i) => maker.existing(table, new Random(i), skew)).filter((row) => row === first)
    expect(hits(0).length).toBeLessThan(10)
    expect(hits(1.2).length).toBeGreaterThan(30)
  })
})

describe('pools', () => {
  test('hold whole rows up to the number asked for, the same ones for the same seed number', async () => {
    const few = { rowsPerTable: 20, seedNumber: 3 }
    const one = await samplePools(sql, shape, few)
    expect(one.rows.get('checked')).toHaveLength(20)
    expect(Object.keys(one.rows.get('checked')?.[0] ?? {})).toHaveLength(tableOf('checked').columns.length)
    expect(await samplePools(sql, shape, few)).toEqual(one)
    expect((await samplePools(sql, shape, { ...few, seedNumber: 4 })).rows.get('checked')).not.toEqual(
      one.rows.get('checked'),
    )
    expect(one.rows.has('events_2024')).toBe(false)
    expect(one.rows.get('events')).toHaveLength(20)
  })

  test('skip wide values and what the role may not read', async () => {
    await sql
      .unsafe(
        `create table wide (id int primary key, body text, small text);
      insert into wide select g, repeat(md5(g::text), 200), 'x' from generate_series(1, 5) g;
      grant select (id, small) on wide to app`,
      )
      .simple()
    const both = await readShape(sql)
    expect((await samplePools(sql, both, { seedNumber: 1 })).rows.get('wide')?.map((row) => Object.keys(row))).toEqual(
      Array.from({ length: 5 }, () => ['id', 'small']),
    )
    await sql.unsafe("update wide set body = 'short'").simple()
    const app = connect(server.app, { fetch_types: false })
    const seen = await samplePools(app, both, { seedNumber: 1 })
    await app.end()
    expect(seen.rows.get('wide')?.[0]).toHaveProperty('small')
    expect(seen.rows.get('wide')?.[0]).not.toHaveProperty('body')
    expect(seen.rows.get('users')).toEqual([])
    await sql.unsafe('drop table wide').simple()
  })
})

describe('checks', () => {
  /** Rows in which some values come from other rows and some are NULL, so that many checks do not hold. */
  function spoiled(table: TableShape, count: number): Row[] {
    const rows = pools.rows.get(table.name) ?? []
    return Array.from({ length: count }, (_, i) => {
      const random = new Random(`spoiled ${i}`)
      const row: Record<string, string | null> = { ...random.pick(rows) }
      for (const { name, notNull, type } of table.columns) {
        if (type.domainChecks.length > 0) continue
        const other = random.pick(rows)[name]
        if (random.next() < 0.3 && other !== undefined) row[name] = other
        else if (random.next() < 0.1 && !notNull) row[name] = null
        else if (random.next() < 0.1 && type.base === 'text')
          row[name] = random.pick(['', 'abc', 'company', 'ORD-12', ' x '])
        else if (random.next() < 0.1 && type.base === 'int4') row[name] = String(random.int(-3, 30))
      }
      return row
    })
  }

  test.each(['checked', 'users', 'reservations'])('are evaluated in %s as the server does', async (name) => {
    const table = tableOf(name)
    const rows = spoiled(table, 150)
    const { checks } = planTable(table, createPools(1))
    let understood = 0
    let broken = 0
    for (const check of table.checks) {
      const expression = checks.find((one) => one.name === check.name)?.expression
      if (!expression) throw new Error(check.name)
      const server = await verifyRows(sql, { ...table, checks: [check] }, rows)
      for (const [i, row] of rows.entries()) {
        const here = evaluate(expression, row)
        if (here === UNKNOWN) continue
        understood++
        if (server[i] === false) broken++
        expect([check.expression, here !== false]).toEqual([check.expression, server[i]])
      }
    }
    expect(understood).toBe(150 * table.checks.length)
    expect(broken).toBeGreaterThan(name === 'checked' ? 200 : 5)
  })

  test('that are not understood are fulfilled by values of an existing row', () => {
    const codes = new Set((pools.rows.get('secretive') ?? []).map((row) => row['code']))
    const row = maker.row(tableOf('secretive'), new Random(5))
    expect(codes.has(row['code'] ?? null)).toBe(true)
  })

  test('the server is asked about rows that do not even fit their types', async () => {
    const good = pools.rows.get('users')?.[0] ?? {}
    const answers = await verifyRows(sql, tableOf('users'), [
      good,
      { ...good, age: 'x' },
      { ...good, email: 'no' },
      { ...good, age: '7' },
    ])
    expect(answers).toEqual([true, false, false, false])
    expect(await verifyRows(sql, tableOf('users'), [])).toEqual([])
  })
})
