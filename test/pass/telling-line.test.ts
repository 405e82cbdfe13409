import { describe, expect, it } from 'vitest'
import { tellingLine } from '../../src/pass/tool.js'

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
