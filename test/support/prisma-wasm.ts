/** `prisma migrate deploy` where its native schema engine cannot be fetched: the same engine as WebAssembly. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Address } from '../../src/pg/connect.js'
import { runTool, type Project, type ToolRun } from './projects.js'

const CONFIG = fileURLToPath(new URL('../fixtures/projects/prisma-wasm-engine.mjs', import.meta.url))
const NAME = 'prisma-wasm-engine.mjs'

/** Runs it in a project with the packages of `prisma-6`; leaves its configuration file there. */
export async function runPrisma(project: Project, address: Address): Promise<ToolRun> {
  await writeFile(join(project.root, NAME), await readFile(CONFIG))
  const program = process.execPath
  return runTool(project, address, {
    command: [...project.fixture.command, '--config', NAME],
    env: {
      // It wants to see files there before it finds out that it does not need them.
      PRISMA_QUERY_ENGINE_LIBRARY: program,
      PRISMA_SCHEMA_ENGINE_BINARY: program,
      CHECKPOINT_DISABLE: '1',
      PRISMA_HIDE_UPDATE_MESSAGE: '1',
    },
  })
}
