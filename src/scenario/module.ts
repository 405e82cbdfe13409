/** TypeScript files of the user (scenario.ts, old.ts, new.ts), loaded without a build step. */
import { pathToFileURL } from 'node:url'
import { createJiti } from 'jiti'
import { RehearsalError, type ErrorCode } from '../errors.js'
import { defineSeed } from '../seeds/define.js'
import { defineTraffic } from '../traffic/define.js'
import { defineConfig, defineScenario } from './schema.js'

/**
 * What `import ... from 'pg-rehearse'` gives in such a file. Handing it over directly works from a clone, from the built
 * package and where the package cannot be resolved from the user's folder, and keeps our modules from loading twice.
 */
const PUBLIC = { defineConfig, defineScenario, defineSeed, defineTraffic }

/**
 * The default export of a module; undefined when it has none. `shown` is the path in messages. Throws `code` with the
 * file, the line where known, and the first line of the reason.
 */
export async function importDefault(path: string, shown: string, code: ErrorCode): Promise<unknown> {
  const jiti = createJiti(pathToFileURL(path).href, { fsCache: false, virtualModules: { 'pg-rehearse': PUBLIC } })
  let loaded: unknown
  try {
    loaded = await jiti.import(path)
  } catch (error) {
    const line = lineOf(error, path)
    throw new RehearsalError(code, { file: shown, ...(line === null ? {} : { line }), message: reason(error) }, error)
  }
  return typeof loaded === 'object' && loaded !== null && 'default' in loaded ? loaded.default : undefined
}

function reason(error: unknown): string {
  const [first = ''] = (error instanceof Error ? error.message : String(error)).split('\n')
  return `the file cannot be loaded: ${first.trim()}`
}

/** The parser names the place in its message, a thrown error in its stack: `<path>:<line>:<column>`. */
function lineOf(error: unknown, path: string): number | null {
  if (!(error instanceof Error)) return null
  for (const text of [error.message, error.stack ?? '']) {
    const at = text.indexOf(`${path}:`)
    const line = at === -1 ? NaN : parseInt(text.slice(at + path.length + 1), 10)
    if (line > 0) return line
  }
  return null
}
