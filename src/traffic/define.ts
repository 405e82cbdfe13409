/** Traffic written in TypeScript (old.ts, new.ts), so that a team can call its own data layer. */
import type { Sql } from 'postgres'
import { RehearsalError } from '../errors.js'
import type { Release } from '../recording.js'
import type { CodeOperation, Variables } from './operation.js'
import type { Random } from './random.js'
import { MOST_RATE, MOST_THINK_MS, WEIGHT_OR_RATE } from './script-header.js'

export interface OperationDefinition {
  /** How often it is chosen beside the others; 1 unless given. */
  weight?: number
  /** Operations a second at full traffic, besides what the others share; in place of a weight. */
  rate?: number
  /** How long the application computes between two statements of a run, in ms: the next one is held back for so long. */
  think?: number
  /** Whether the driver prepares its statements; true unless given. */
  prepared?: boolean
  /** Runs once per arrival on a connection of its own. What it throws counts as a failure of the operation. */
  run(sql: Sql, random: Random, variables: Variables): Promise<unknown>
}

export interface TrafficDefinition {
  operations: Record<string, OperationDefinition>
}

/** Declares the traffic of one release; gives types to the editor and returns its argument. */
export const defineTraffic = (traffic: TrafficDefinition): TrafficDefinition => traffic

/**
 * Checks what a traffic module exports and turns it into operations. `source` is the module's text, to find the line
 * of each operation. Throws SCRIPT_INVALID with the file and the field.
 */
export function codeOperations(exported: unknown, release: Release, file: string, source = ''): CodeOperation[] {
  const fail = (message: string): never => {
    throw new RehearsalError('SCRIPT_INVALID', { file, message })
  }
  if (!isRecord(exported) || !isRecord(exported['operations']))
    return fail('the default export must be defineTraffic({ operations: { ... } })')
  const entries = Object.entries(exported['operations'])
  if (entries.length === 0) fail('operations: at least one operation is needed')
  return entries.map(([name, definition]) => {
    if (!isRecord(definition)) return fail(`operations.${name} must be an object with run()`)
    for (const key of Object.keys(definition))
      if (!['weight', 'rate', 'think', 'prepared', 'run'].includes(key))
        fail(`operations.${name}.${key}: unknown field`)
    const { weight = 1, rate, think, prepared = true, run } = definition
    if (typeof weight !== 'number' || !(weight > 0 && weight <= 1e9))
      return fail(`operations.${name}.weight must be a positive number`)
    if (rate !== undefined && !(typeof rate === 'number' && rate > 0 && rate <= MOST_RATE))
      return fail(`operations.${name}.rate must be a positive number of operations a second`)
    if (rate !== undefined && definition['weight'] !== undefined) fail(`operations.${name}: ${WEIGHT_OR_RATE}`)
    if (think !== undefined && !(typeof think === 'number' && think >= 0 && think <= MOST_THINK_MS))
      return fail(`operations.${name}.think must be milliseconds, at most an hour`)
    if (typeof prepared !== 'boolean') return fail(`operations.${name}.prepared must be true or false`)
    if (typeof run !== 'function') return fail(`operations.${name}.run must be a function`)
    return {
      kind: 'code',
      release,
      name,
      weight,
      prepared,
      ...(rate !== undefined && { ratePerSecond: rate }),
      ...(think !== undefined && { thinkMs: think }),
      file,
      line: lineOfKey(source, name),
      run: async (sql, random, variables) => (await run.call(definition, sql, random, variables)) as unknown,
    }
  })
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Line of the first `name:`, `name(`, `name,` or `'name':`; 1 when it is made in another way. */
function lineOfKey(source: string, name: string): number {
  const escaped = name.replace(/[^\w]/g, '\\$&')
  const line = source
    .split('\n')
    .findIndex((text) => new RegExp(`^\\s*(?:async\\s+)?['"]?${escaped}['"]?\\s*[:(,]`).test(text))
  return line + 1 || 1
}
