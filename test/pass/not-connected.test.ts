import { describe, expect, it } from 'vitest'
import { tellingLine } from '../../src/migrations/child/telling-line.js'
import { notConnected } from '../../src/pass/not-connected.js'

const NODE = `node:internal/modules/esm/resolve:283
    throw new ERR_MODULE_NOT_FOUND(
          ^

Error [ERR_MODULE_NOT_FOUND]: Cannot find module 'drizzle-orm' imported from migrate.ts
    at finalizeResolution (node:internal/modules/esm/resolve:283:11)
    at ModuleJob._link (node:internal/modules/esm/module_job:168:49) {
  code: 'ERR_MODULE_NOT_FOUND',
  url: 'file:///x/package.mjs'
}

Node.js v20.20.2
`

describe('the line of an output that tells most', () => {
  it.each([
    [NODE, "Error [ERR_MODULE_NOT_FOUND]: Cannot find module 'drizzle-orm' imported from migrate.ts"],
    [
      'Reading config\nTypeError: url is undefined\n    at run (a.js:1:1)\n\nNode.js v22.1.0\n',
      'TypeError: url is undefined',
    ],
    ['npm error Lifecycle script `migrate` failed with error:\nsh: 1: tsx: not found\n', 'sh: 1: tsx: not found'],
    ['Reading config\nerror: unknown option --x\nusage: migrate\n', 'error: unknown option --x'],
    ['Reading config\nNothing to do, skipping migrations\n', 'Nothing to do, skipping migrations'],
    ['Node.js v20.20.2\n', 'Node.js v20.20.2'],
    ['\n  \n', undefined],
  ])('%#', (output, line) => {
    expect(tellingLine(output)).toBe(line)
  })
})

describe('a tool that never came', () => {
  const tool = {
    setup: { title: 'Drizzle', notes: [], variables: [{ name: 'POSTGRES_URL', part: 'url' }] },
    command: 'npm run db:migrate',
  } as unknown as Parameters<typeof notConnected>[0]
  const exit = { exitCode: 1, signal: null, output: NODE, blocked: [] }
  const never = (over: Partial<Parameters<typeof notConnected>[2]>) =>
    notConnected(tool, { refusals: [] }, { ...exit, ...over })

  it('that failed by itself is to be tried by itself', () => {
    const error = never({})
    expect(error.message).toContain(
      'it ended with exit code 1 without connecting; it said: Error [ERR_MODULE_NOT_FOUND]',
    )
    expect(error.hint).toMatch(
      /^It failed before it connected: see whether npm run db:migrate starts at all\..*POSTGRES_URL/,
    )
  })
  it('that wanted to go elsewhere took the address from elsewhere', () => {
    const error = never({ blocked: [{ host: 'db.internal', port: 5432 }] })
    expect(error.message).toContain('it wanted to connect to db.internal:5432, which was not let through')
    expect(error.message).not.toContain('it said')
    expect(error.hint).toMatch(/did not take that address from POSTGRES_URL.*migrations\.allowHosts/)
  })
  it('that had nothing to do is told the name of the variable', () => {
    expect(never({ exitCode: 0, output: 'POSTGRES_URL not defined, skipping\n' }).hint).toMatch(
      /^It was given the address in POSTGRES_URL; name the variable/,
    )
  })
})
