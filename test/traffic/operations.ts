/** Operations for tests, made without the script language. */
import type { Release } from '../../src/recording.js'
import type { BoundStatement, CodeOperation, ScriptOperation } from '../../src/traffic/operation.js'
import type { Random } from '../../src/traffic/random.js'

interface ScriptOptions {
  release?: Release
  weight?: number
  prepared?: boolean
}

/** Statements with fresh parameters for each run; a number stands for `\sleep` in milliseconds. */
export const script = (
  name: string,
  steps: (random: Random) => (string | number | BoundStatement)[],
  { release = 'old', weight = 1, prepared = true }: ScriptOptions = {},
): ScriptOperation => ({
  kind: 'script',
  release,
  name,
  weight,
  prepared,
  file: 'old.sql',
  line: 1,
  normalisedSql: [],
  statementTexts: [],
  bind: (_, random) =>
    steps(random).map((step, i) =>
      typeof step === 'number'
        ? { kind: 'sleep', ms: step }
        : { kind: 'statement', bound: typeof step === 'string' ? { text: step, params: [] } : step, line: i + 2 },
    ),
})

export const code = (name: string, run: CodeOperation['run'], release: Release = 'old'): CodeOperation => ({
  kind: 'code',
  release,
  name,
  weight: 1,
  prepared: true,
  file: 'old.ts',
  line: 1,
  run,
})
