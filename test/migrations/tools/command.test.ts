import { existsSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { detect } from '../../../src/migrations/tools/command.js'
import { notSent } from '../../../src/migrations/tools/command-files.js'
import { blank } from '../../../src/migrations/tools/files.js'
import type { ToolSetup } from '../../../src/migrations/tools/types.js'
import { projectOf, requestIn, type Files } from '../../support/tool-project.js'

const found = async (files: Files, command: string, rest: Parameters<typeof requestIn>[1] = {}): Promise<ToolSetup> => {
  const setup = await detect(requestIn(projectOf(files), { command, ...rest }))
  if (setup === null) throw new Error('nothing was detected')
  return setup
}

describe('what of a file is sent', () => {
  const sent = (text: string): string => blank(text, notSent(text))

  it('of dbmate is what stands in its up sections', () => {
    const text = 'x\n-- migrate:up\r\nA;\r\n-- migrate:down\nB;\n-- migrate:up transaction:false\nC;'
    expect(sent(text)).toBe(' \n-- migrate:up\r\nA;\r\n               \n  \n-- migrate:up transaction:false\nC;')
  })

  it('of goose and node-pg-migrate as well', () => {
    expect(sent('-- +goose Up\nA;\n-- +goose Down\nB;')).toBe('-- +goose Up\nA;\n              \n  ')
    expect(sent('-- Up Migration\nA;\n-- Down Migration\nB;')).toBe('-- Up Migration\nA;\n                 \n  ')
  })

  it('is everything where no marker stands at the beginning of a line', () => {
    const text = `select '\\n-- migrate:down'; -- migrate:up\nselect 1;`
    expect(sent(text)).toBe(text)
  })
})

describe('a command', () => {
  it('of an unknown tool is a shell line in a folder, without a journal', async () => {
    const setup = await found(
      {
        'db/migrations/2_b.sql': 'select 2',
        'db/migrations/1_a.ts': '',
        'db/migrations/x.md': '',
        'db/migrations/a.d.ts': '',
      },
      'make migrate',
    )
    expect(setup).toMatchObject({
      tool: 'command',
      ledger: null,
      launch: { kind: 'shell', line: 'make migrate' },
      variables: [{ name: 'DATABASE_URL', part: 'url' }],
    })
    expect(setup.files.map(({ name, kind, sql }) => [name, kind, sql])).toEqual([
      ['1_a', 'code', ''],
      ['2_b', 'sql', 'select 2'],
    ])
    expect(setup.assumptions.join()).toMatch(/not known which tool/)
  })

  it('needs a folder', async () => {
    await expect(found({ a: '' }, 'make migrate')).rejects.toThrow(/migrations\.folder/)
    await expect(found({ a: '' }, 'make migrate', { folder: 'x' })).rejects.toThrow(/^x: does not exist/)
    expect(await detect(requestIn(projectOf({ 'migrations/1.sql': '' })))).toBeNull()
    await expect(detect(requestIn(projectOf({ a: '' }), { tool: 'command' }))).rejects.toThrow(/migrations\.command/)
  })

  it('with an address in it is refused without it', async () => {
    const files = { 'migrations/1.sql': '' }
    const refused = found(files, 'dbmate --url postgres://u:hunter2@h/x up')
    await expect(refused).rejects.toThrow(/literal/)
    await expect(refused).rejects.not.toThrow(/hunter2/)
    await expect(found(files, 'GOOSE_DBSTRING="host=h" goose up')).rejects.toThrow(/GOOSE_DBSTRING/)
  })

  it('of dbmate knows its journal, its URL and its dump', async () => {
    const setup = await found(
      {
        'db/migrations/20240101_a.sql':
          '-- migrate:up\nCREATE INDEX CONCURRENTLY i ON a (id);\n-- migrate:down\nselect 2;',
        'db/migrations/20240102_b.sql': '-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY i ON a (id);\n',
      },
      'make migrate',
    )
    expect(setup.title).toBe('dbmate by command')
    expect(setup.urlParameters).toEqual({ sslmode: 'disable' })
    expect(setup.ledger?.table).toBe('public.schema_migrations')
    expect(setup.ledger?.pending(setup.files, [{ version: '20240101' }]).pending).toEqual(['20240102_b'])
    expect(setup.notes.map(({ kind, file, line }) => [kind, file, line])).toEqual([
      ['other', null, null],
      ['impossible', 'db/migrations/20240101_a.sql', 2],
    ])
    expect(setup.notes[0]?.message).toContain('--no-dump-schema')
  })

  it('of golang-migrate takes pairs of files, in the order of their numbers', async () => {
    const files = { 'm/10_b.up.sql': '', 'm/10_b.down.sql': '', 'm/9_a.up.sql': '', 'm/9_a.down.sql': '' }
    const setup = await found(files, 'migrate -path m -database "$DATABASE_URL" up', { folder: 'm' })
    expect(setup.files.map(({ name }) => name)).toEqual(['9_a', '10_b'])
    const copy = await mkdtemp(join(tmpdir(), 'rehearse-copy-'))
    try {
      await cp(join(setup.folder, '..'), copy, { recursive: true })
      await setup.cut(copy, ['9_a'])
      const left = Object.keys(files).filter((name) => existsSync(join(copy, name)))
      expect(left).toEqual(['m/9_a.up.sql', 'm/9_a.down.sql'])
      expect(existsSync(join(setup.folder, '10_b.up.sql'))).toBe(true)
    } finally {
      await rm(copy, { recursive: true, force: true })
    }
  })

  it('of Knex follows its knexfile', async () => {
    const knexfile = `module.exports = { development: { client: 'pg', connection: process.env.KNEX_URL,
      migrations: { directory: './db/m', tableName: 'history' } } }`
    const files = { 'knexfile.cjs': knexfile, 'db/m/2_b.js': '', 'db/m/1_a.js': '' }
    const setup = await found(files, 'npx knex migrate:latest --env development')
    expect(setup.files.map(({ name }) => name)).toEqual(['1_a', '2_b'])
    expect(setup.variables.map(({ name }) => name)).toEqual(['DATABASE_URL', 'KNEX_URL'])
    expect(setup.ledger?.table).toBe('public.history')
    expect(setup.ledger?.pending(setup.files, [{ name: '1_a.js' }])).toMatchObject({
      pending: ['2_b'],
      applied: ['1_a'],
    })
    const literal = knexfile.replace('process.env.KNEX_URL', "'postgres://u:hunter2@db.example.com/x'")
    const refused = found({ ...files, 'knexfile.cjs': literal }, 'npx knex migrate:latest --env development')
    await expect(refused).rejects.toThrow(/^knexfile\.cjs:1: a literal address/)
    await expect(refused).rejects.not.toThrow(/hunter2/)
  })

  it('of another tool is recognised by the one dependency that can own programs', async () => {
    const manifest = { 'package.json': JSON.stringify({ dependencies: { typeorm: '1' } }) }
    const setup = await found({ ...manifest, 'src/migrations/1700000000000-A.ts': '' }, 'tsx migrate.ts')
    expect(setup.ledger?.table).toBe('public.migrations')
    expect(setup.assumptions).toEqual(['The command is taken to run TypeORM (typeorm in package.json).'])
  })
})
