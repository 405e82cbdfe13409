import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type postgres from 'postgres'
import { RehearsalError } from '../../src/errors.js'
import { copyIn } from '../../src/seeds/copy.js'
import { defineSeed } from '../../src/seeds/define.js'
import type { Seed } from '../../src/seeds/define.js'
import { finishSeed, syncSequences } from '../../src/seeds/finish.js'
import { runSeed } from '../../src/seeds/run-seed.js'
import { seedSql } from '../../src/seeds/seed-sql.js'
import { connect, startServer } from '../support/postgres.js'
import type { TestServer } from '../support/postgres.js'

let server: TestServer
let sql: postgres.Sql

beforeAll(async () => {
  server = await startServer()
  sql = connect(server.admin, { fetch_types: false })
})
afterAll(async () => {
  await sql.end()
  await server.stop()
})
beforeEach(async () => {
  await sql.unsafe('drop schema public cascade; create schema public').simple()
})

const failureOf = async (work: Promise<unknown>): Promise<RehearsalError> => {
  try {
    await work
  } catch (error) {
    if (error instanceof RehearsalError) return error
    throw error
  }
  throw new Error('nothing failed')
}

const content = async (from: string): Promise<string> => {
  const rows = await sql.unsafe<{ row: string }[]>(`select r::text as row from (select * from ${from}) r order by 1`)
  return rows.map(({ row }) => row).join('\n')
}

describe('values', () => {
  it('come back as they were sent', async () => {
    await sql
      .unsafe(
        `
      create domain tags as text[];
      create table hostile (id int primary key, t text, j jsonb, list text[], dom tags, grid int[], raw bytea,
        at timestamptz, big bigint, real float8, flag boolean)`,
      )
      .simple()
    const texts = [
      '',
      '\\N',
      '\\.',
      'a\tb',
      'a\nb',
      'a\r\nb',
      '\\',
      'a\\tb',
      '"quoted", {braces}',
      'é 🦭 ﷽',
      'x'.repeat(300_000),
    ]
    const list = ['a"b', 'back\\slash', 'comma,', '', 'NULL', 'tab\t', null]
    await runSeed(
      sql,
      defineSeed({
        tables: {
          hostile: {
            rows: texts.length,
            columns: ['id', 't', 'j', 'list', 'dom', 'grid', 'raw', 'at', 'big', 'real', 'flag'],
            row: (i) => ({
              id: i,
              t: texts[i - 1] ?? null,
              j: { text: texts[i - 1], list: [1, null, 'x"\\\n'] },
              list,
              dom: list,
              grid: [
                [1, 2],
                [3, 4],
              ],
              raw: Uint8Array.from({ length: 256 }, (_, byte) => byte),
              at: new Date('2026-02-28T23:59:59.123Z'),
              big: 9_223_372_036_854_775_807n,
              real: i === 1 ? Number.NEGATIVE_INFINITY : 0.1 + 0.2,
              flag: i === 1 ? null : i % 2 === 0,
            }),
          },
        },
      }),
      { n: 1, seedNumber: 1 },
    )
    const rows = await sql<
      {
        id: number
        t: string
        j: string
        list: string
        dom: string
        grid: string
        raw: string
        at: string
        big: string
        real: number
        flag: boolean | null
      }[]
    >`select id, t, j::text, to_json(list)::text as list, to_json(dom)::text as dom, grid::text, encode(raw, 'hex') as raw,
      to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') as at, big::text, real, flag from hostile order by id`
    expect(rows.map((row) => row.t)).toEqual(texts)
    for (const [index, row] of rows.entries()) {
      expect(JSON.parse(row.j)).toEqual({ text: texts[index], list: [1, null, 'x"\\\n'] })
      expect(JSON.parse(row.list)).toEqual(list)
      expect(JSON.parse(row.dom)).toEqual(list)
      expect(row).toMatchObject({ grid: '{{1,2},{3,4}}', at: '2026-02-28 23:59:59.123', big: '9223372036854775807' })
      expect(row.raw).toBe(Buffer.from(Uint8Array.from({ length: 256 }, (_, byte) => byte)).toString('hex'))
    }
    expect(rows.map((row) => row.real).slice(0, 2)).toEqual([Number.NEGATIVE_INFINITY, 0.1 + 0.2])
    expect(rows.map((row) => row.flag).slice(0, 3)).toEqual([null, true, false])
  })

  it('survive being cut into many chunks', async () => {
    await sql.unsafe('create table wide (id int, t text)').simple()
    const text = (i: number): string => 'é'.repeat(i % 3000)
    const seen: number[] = []
    await runSeed(
      sql,
      { tables: { wide: { rows: 2000, columns: ['id', 't'], row: (i) => ({ id: i, t: text(i) }) } } },
      { n: 1, seedNumber: 1, onProgress: ({ rows }) => seen.push(rows) },
    )
    const rows = await sql<{ id: number; t: string }[]>`select id, t from wide order by id`
    expect(rows.map((row) => row.t)).toEqual(Array.from({ length: 2000 }, (_, i) => text(i + 1)))
    expect(seen.length).toBeGreaterThan(20)
    expect(seen.at(-1)).toBe(2000)
  })
})

describe('determinism', () => {
  const letters = (draws: number): Seed['tables'][string] => ({
    rows: ({ n }) => n,
    columns: ['id', 't'],
    row: (i, random, { pools }) => {
      const t = `${random.int(0, 1_000_000)} ${random.pick(pools.company)}`
      for (let draw = 0; draw < draws * i; draw++) random.next()
      return { id: i, t }
    },
  })
  const load = async (seed: Seed, n: number, seedNumber: number): Promise<string> => {
    await sql
      .unsafe('drop table if exists a, b; create table a (id int, t text); create table b (id int, t text)')
      .simple()
    await runSeed(sql, seed, { n, seedNumber })
    return content('a where id <= 50')
  }

  it('a row depends on the seed number, the table and its own number only', async () => {
    const first = await load({ tables: { a: letters(0) } }, 50, 7)
    expect(await load({ tables: { b: letters(3), a: letters(2) } }, 500, 7)).toBe(first)
    expect(await content('b where id <= 50')).not.toBe(first)
    expect(await load({ tables: { a: letters(0) } }, 50, 8)).not.toBe(first)
  })
})

describe('failures', () => {
  const SECRET = 'canary-7f3a'
  /** Rows of `t`; the one with the number `twice` repeats the id of the first. */
  const duplicates = (rows: number, twice: number): Seed => ({
    tables: {
      t: { rows, columns: ['id', 't'], row: (i) => ({ id: i === twice ? 1 : i, t: `${SECRET} ${'x'.repeat(200)}` }) },
    },
  })

  const usable = async (): Promise<void> => {
    await sql.unsafe('truncate t').simple()
    await runSeed(sql, duplicates(5000, 0), { n: 1, seedNumber: 1 })
    const [row] = await sql<{ n: string }[]>`select count(*) as n from t`
    expect(Number(row?.n)).toBe(5000)
  }

  beforeEach(async () => {
    await sql.unsafe('create table t (id int primary key, t text)').simple()
  })

  it.each([
    ['by the last row', 10, 10],
    ['in the middle of a long load', 200_000, 1000],
    ['at the end of a long load', 20_000, 20_000],
  ])('a duplicate key met %s surfaces, and the connection can be used again', async (_, rows, twice) => {
    const failure = await failureOf(runSeed(sql, duplicates(rows, twice), { n: 1, seedNumber: 1, file: 'seed.ts' }))
    expect(failure.code).toBe('SEED_FAILED')
    expect(failure.message).toMatch(/^seed\.ts: .*table t: .*t_pkey.*23505/)
    expect(failure.details).toMatchObject({ file: 'seed.ts', table: 't', sqlstate: '23505' })
    expect(JSON.stringify([failure, failure.message, failure.details, failure.cause])).not.toContain(SECRET)
    await usable()
  })

  it('an error of COPY leaves an open transaction to its owner', async () => {
    await sql.unsafe('begin').simple()
    await expect(copyIn(sql, 'copy t from stdin', ['1\ta\n', '1\tb\n'])).rejects.toMatchObject({ code: '23505' })
    await sql.unsafe('rollback').simple()
    await usable()
  })

  it('an error raised only when the transaction commits surfaces too', async () => {
    await sql.unsafe('create table late (id int unique deferrable initially deferred)').simple()
    await expect(copyIn(sql, 'copy late from stdin', ['1\n', '1\n'])).rejects.toMatchObject({ code: '23505' })
    await usable()
  })

  it('a row function that throws cancels the COPY and is named', async () => {
    const seed: Seed = {
      tables: {
        t: {
          rows: 5000,
          columns: ['id'],
          row: (i) => {
            if (i === 4000) throw new Error('no such customer')
            return { id: i }
          },
        },
      },
    }
    const failure = await failureOf(runSeed(sql, seed, { n: 1, seedNumber: 1, file: 'seed.ts' }))
    expect(failure.message).toBe('seed.ts: seeding failed: table t: no such customer')
    expect(await content('t')).toBe('')
    await usable()
  })

  it('says which column of which row has no value', async () => {
    const seed: Seed = {
      tables: { t: { rows: 3, columns: ['id', 't'], row: (i) => (i < 3 ? { id: i, t: null } : { id: i }) } },
    }
    const failure = await failureOf(runSeed(sql, seed, { n: 1, seedNumber: 1 }))
    expect(failure.message).toContain('table t: column t of row 3: the row has no value for it')
    await usable()
  })

  it.each([
    [{ tables: { missing: { rows: 1, columns: ['id'], row: () => ({ id: 1 }) } } }, /table missing: no such table/],
    [{ tables: { t: { rows: 1, columns: ['nope'], row: () => ({ nope: 1 }) } } }, /table t: no column nope/],
    [{ tables: { t: { rows: 1.5, columns: ['id'], row: () => ({ id: 1 }) } } }, /table t: rows must be a whole number/],
    [{ tables: { t: { rows: 1, columns: ['t'], row: () => ({ t: 'x' }) } } }, /table t: .*"id".*23502/],
    [{ tables: { t: { rows: 1, columns: ['id'], row: () => ({ id: SECRET }) } } }, /table t: .*22P02/],
  ] satisfies [Seed, RegExp][])('bad seed %#', async (seed, message) => {
    const failure = await failureOf(runSeed(sql, seed, { n: 1, seedNumber: 1 }))
    expect(failure.code).toBe('SEED_FAILED')
    expect(failure.message).toMatch(message)
    expect(failure.message).not.toContain(SECRET)
    await usable()
  })

  it('a row without its parent fails, and foreign keys are as before after a good load', async () => {
    await sql
      .unsafe(
        `
      create table child (id int, t_id int, constraint child_t_fk foreign key (t_id) references t (id) on delete cascade deferrable);
      comment on constraint child_t_fk on child is 'it''s kept'`,
      )
      .simple()
    const seed = (shift: number): Seed => ({
      tables: {
        child: { rows: 100, columns: ['id', 't_id'], row: (i) => ({ id: i, t_id: i + shift }) },
        t: { rows: 100, columns: ['id'], row: (i) => ({ id: i }) },
      },
    })
    const failure = await failureOf(runSeed(sql, seed(1), { n: 1, seedNumber: 1 }))
    expect(failure.message).toMatch(/child_t_fk.*23503/)
    expect(failure.message).not.toMatch(/101/)
    await sql
      .unsafe(
        `truncate t, child;
      alter table child add constraint child_t_fk foreign key (t_id) references t (id) on delete cascade deferrable;
      comment on constraint child_t_fk on child is 'it''s kept'`,
      )
      .simple()
    const definition = (): Promise<postgres.Row[]> => sql`
      select conname, pg_get_constraintdef(oid), convalidated, obj_description(oid) from pg_constraint where contype = 'f'`
    const before = await definition()
    await runSeed(sql, seed(0), { n: 1, seedNumber: 1 })
    expect([...(await definition())]).toEqual([...before])
    expect(before[0]).toMatchObject({ convalidated: true, obj_description: "it's kept" })
  })

  it('seed.sql: file, line and SQLSTATE, never the value', async () => {
    const statements = [
      { sql: "insert into t select g, 'x' from generate_series(1, 10) g", line: 1 },
      { sql: `insert into t values (5, '${SECRET}')`, line: 4 },
    ]
    const failure = await failureOf(seedSql(sql, { file: 'seed.sql', statements }))
    expect(failure.code).toBe('SEED_FAILED')
    expect(failure.message).toMatch(/^seed\.sql:4: .*t_pkey.*23505/)
    expect(JSON.stringify([failure.message, failure.details, failure.cause])).not.toContain(SECRET)
    expect(await content('t')).toContain('(10,x)')
  })
})

describe('sequences', () => {
  it('are moved past the loaded ids and never back', async () => {
    await sql
      .unsafe(
        `
      create table ids (a bigint generated always as identity, b serial, c int default nextval('ids_b_seq'));
      create sequence shared; create schema "Odd";
      create table "Odd"."Table's" ("Id" bigint default nextval('shared'));
      create table empty (id bigserial);
      create table ahead (id bigserial);
      insert into ids (a, b, c) overriding system value values (500, 20, 30);
      insert into "Odd"."Table's" values (77);
      insert into ahead values (3); select setval('ahead_id_seq', 1000)`,
      )
      .simple()
    await syncSequences(sql)
    await sql
      .unsafe(
        `insert into ids default values; insert into "Odd"."Table's" default values;
      insert into empty default values; insert into ahead default values`,
      )
      .simple()
    expect(await content('(select a, b from ids where a <> 500)')).toBe('(501,31)')
    expect(await content('"Odd"."Table\'s"')).toBe('(77)\n(78)')
    expect(await content('empty')).toBe('(1)')
    expect(await content('ahead')).toBe('(1001)\n(3)')
    await sql.unsafe('drop schema "Odd" cascade').simple()
  })

  it('finishSeed also gives the planner statistics', async () => {
    await sql
      .unsafe('create table big (id serial primary key); insert into big select generate_series(1, 5000)')
      .simple()
    await finishSeed(sql)
    const [row] = await sql<{ rows: number; pages: number; visible: number }[]>`
      select reltuples::int as rows, relpages as pages, relallvisible as visible from pg_class where relname = 'big'`
    expect(row?.rows).toBe(5000)
    expect(row?.visible).toBe(row?.pages)
  })
})
