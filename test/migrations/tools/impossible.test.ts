/** Every claim is compared with a real server, to which the same files are sent in the same messages. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type postgres from 'postgres'
import { chunksOf } from '../../../src/migrations/tools/drizzle-files.js'
import { sha256 } from '../../../src/migrations/tools/files.js'
import { ADVICE, byteOrderMark, transactionNotes, type Sending } from '../../../src/migrations/tools/impossible.js'
import type { MigrationSource } from '../../../src/migrations/tools/types.js'
import { splitPieces } from '../../../src/sql/split.js'
import { connect, startServer, type TestServer } from '../../support/postgres.js'

let server: TestServer
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.stop())

const fileOf = (sql: string, index = 0): MigrationSource => {
  const shown = `${index + 1}.sql`
  return { name: String(index + 1), path: `/${shown}`, shown, kind: 'sql', sql, text: sql, sha256: sha256(sql) }
}
const sendings = {
  drizzle: { tool: 'Drizzle', transaction: 'all', chunks: chunksOf, advice: ADVICE.drizzle },
  'node-pg-migrate': { tool: 'node-pg-migrate', transaction: 'all', advice: ADVICE['node-pg-migrate'] },
  'node-pg-migrate, one each': { tool: 'node-pg-migrate', transaction: 'file', advice: ADVICE['node-pg-migrate'] },
  prisma: { tool: 'Prisma', transaction: 'message', advice: ADVICE.prisma },
  psql: { tool: 'psql', transaction: 'statement', advice: () => '' },
} as const satisfies Record<string, Sending>
const B = '\n--> statement-breakpoint\n'

/** Sends the files as the tool does and returns `file SQLSTATE` of the first failure, or null. */
async function run(sql: postgres.Sql, texts: readonly string[], sending: Sending): Promise<string | null> {
  const { transaction } = sending
  const all = transaction === 'all'
  if (all) await sql.unsafe('begin')
  try {
    for (const [i, text] of texts.entries()) {
      const messages =
        transaction === 'statement'
          ? splitPieces(text, '').map((piece) => piece.sql)
          : (sending.chunks?.(text) ?? [{ start: 0, end: text.length }]).map(({ start, end }) => text.slice(start, end))
      try {
        if (transaction === 'file') await sql.unsafe('begin')
        for (const message of messages) if (message.trim() !== '') await sql.unsafe(message).simple()
        if (transaction === 'file') await sql.unsafe('commit')
      } catch (error) {
        return `${i + 1}.sql ${(error as { code: string }).code}`
      }
    }
    return null
  } finally {
    await sql.unsafe('rollback')
  }
}

const CIC = 'create index concurrently i on t (a);'
const cases: [keyof typeof sendings, string[]][] = [
  ['drizzle', ['alter table t add b int;']],
  ['drizzle', [CIC]],
  ['drizzle', [`alter table t add b int;${B}${CIC}`]],
  ['drizzle', [`COMMIT;${B}${CIC}`]],
  ['drizzle', [`COMMIT;${CIC}`]],
  ['drizzle', [`COMMIT;${B}alter table t add b int;${CIC}`]],
  ['drizzle', [`COMMIT;${B}BEGIN;${B}${CIC}`]],
  ['drizzle', [`commit and chain;${B}${CIC}`]],
  ['drizzle', [`COMMIT;${B}${CIC}${B}BEGIN;`, CIC.replace('i on', 'j on')]],
  ['drizzle', ['vacuum t;']],
  ['drizzle', ['reindex (concurrently) table t;']],
  ['drizzle', ['reindex table t;']],
  ['drizzle', ['drop index concurrently if exists i;']],
  ['drizzle', ['refresh materialized view concurrently m;']],
  ['drizzle', ["alter type e add value 'z';"]],
  ['drizzle', ['create database d;']],
  ['drizzle', ["select 'create index concurrently'; -- vacuum"]],
  ['node-pg-migrate', [CIC]],
  ['node-pg-migrate', [`COMMIT; ${CIC} BEGIN;`]],
  ['node-pg-migrate', ['alter table t add b int;', 'create index i on t (a);']],
  ['node-pg-migrate, one each', [CIC]],
  ['prisma', [CIC]],
  ['prisma', [`${CIC} -- alone\n;`]],
  ['prisma', [`alter table t add b int; ${CIC}`]],
  ['prisma', [`${CIC} alter table t add b int;`]],
  ['prisma', [`alter table t add b int; commit; ${CIC}`]],
  ['psql', [`alter table t add b int; ${CIC} select 1;`]],
  ['psql', [`begin; ${CIC} commit;`]],
  ['psql', [`begin; commit; ${CIC}`]],
]

describe('what is said to be impossible', () => {
  it.each(cases)('is what a server refuses: %s %j', async (tool, texts) => {
    const sql = connect(server.admin)
    try {
      await sql.unsafe(`
        drop materialized view if exists m; drop table if exists t; drop type if exists e;
        create table t (a int); create type e as enum ('a');
        create materialized view m as select 1 as a; create unique index on m (a)`)
      const notes = transactionNotes(
        texts.map((text, i) => fileOf(text, i)),
        sendings[tool],
      )
      const [said] = notes.filter(({ kind }) => kind === 'impossible')
      expect(await run(sql, texts, sendings[tool])).toBe(said === undefined ? null : `${said.file ?? ''} 25001`)
      if (said !== undefined) expect(said.message).toContain('(SQLSTATE 25001)')
    } finally {
      await sql.end()
    }
  })

  it('has its line, its reason and advice for the tool', () => {
    const text = `\r\nalter table t add b int;${B}-- later\r\ncreate unique index concurrently i on t (a);\r\n`
    expect(transactionNotes([fileOf(text)], sendings.drizzle)).toEqual([
      {
        kind: 'impossible',
        file: '1.sql',
        line: 5,
        message:
          'CREATE INDEX CONCURRENTLY cannot run inside a transaction block (SQLSTATE 25001): Drizzle runs all pending files in one transaction.',
        advice: ADVICE.drizzle('CREATE INDEX CONCURRENTLY'),
      },
    ])
    const [note] = transactionNotes([fileOf(`select 1; ${CIC}`)], sendings.prisma)
    expect(note?.message).toMatch(
      /: Prisma sends it in one message with 1 other statement, which the server runs as one transaction\.$/,
    )
    expect(note?.advice).toContain('exactly one statement')
    expect(transactionNotes([fileOf('begin; vacuum t;')], sendings.psql)[0]?.message).toMatch(
      /^VACUUM .*: the file itself has opened one\.$/,
    )
  })
})

describe("a transaction of the tool's that a file ends", () => {
  it('is told, once a file, and what depends on it', async () => {
    const texts = [`select 1;${B}COMMIT;${B}select 2;${B}COMMIT;`, CIC]
    const notes = transactionNotes(texts.map(fileOf), sendings.drizzle)
    expect(notes.map(({ kind, file, line }) => ({ kind, file, line }))).toEqual([
      { kind: 'other', file: '1.sql', line: 3 },
      { kind: 'other', file: '2.sql', line: 1 },
    ])
    expect(notes[0]?.message).toContain('COMMIT ends the transaction that Drizzle has opened')
    expect(notes[1]?.message).toContain('works here only when 1.sql')
    const sql = connect(server.admin)
    await sql.unsafe('drop table if exists t cascade; create table t (a int)')
    expect(await run(sql, texts, sendings.drizzle)).toBeNull()
    expect(await run(sql, [CIC], sendings.drizzle)).toBe('1.sql 25001')
    await sql.end()
  })

  it('is not ended by a rollback to a savepoint', () => {
    const text = 'savepoint a; rollback to a; release a;'
    expect(transactionNotes([fileOf(text)], sendings.drizzle)).toEqual([])
  })
})

describe('pipelined statements', () => {
  const pipeline = { ...sendings.prisma, tool: 'Supabase', protocol: 'pipeline' } as const
  it('may begin with one that refuses a transaction', () => {
    expect(transactionNotes([fileOf(`${CIC} select 1;`)], pipeline)).toEqual([])
    expect(transactionNotes([fileOf(`select 1; commit; ${CIC}`)], pipeline)).toEqual([])
    for (const text of [`select 1; ${CIC}`, `${CIC} ${CIC}`, `commit; select 1; ${CIC}`, `begin; ${CIC}`])
      expect(transactionNotes([fileOf(text)], pipeline)).toMatchObject([{ kind: 'impossible', line: 1 }])
  })
})

describe('a marker inside a statement', () => {
  it('is told, as the tool cuts the text there', () => {
    const text = `do $$ begin${B}null; end $$;${B}select 1;`
    expect(transactionNotes([fileOf(text)], sendings.drizzle)).toMatchObject([{ kind: 'impossible', line: 2 }])
    expect(transactionNotes([fileOf('selec 1;')], sendings.drizzle)).toEqual([])
  })
})

describe('a byte order mark', () => {
  it('is a syntax error for the server', async () => {
    const file = fileOf('\uFEFFselect 1')
    expect(byteOrderMark(file, 'Drizzle')).toMatchObject({ kind: 'impossible', line: 1 })
    expect(byteOrderMark(fileOf('select 1'), 'Drizzle')).toBeNull()
    const sql = connect(server.admin)
    await expect(sql.unsafe(file.sql)).rejects.toMatchObject({ code: '42601' })
    await sql.end()
  })
})
