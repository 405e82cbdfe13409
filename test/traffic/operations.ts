/** Operations for tests, made without the script language. */
import type { Release } from '../../src/recording.js'
import { Execution, type Ran } from '../../src/traffic/execution.js'
import type {
  BoundStatement,
  CodeOperation,
  Operation,
  OperationTraits,
  ScriptOperation,
} from '../../src/traffic/operation.js'
import type { Random } from '../../src/traffic/random.js'
import type { Session } from '../../src/traffic/session.js'

interface ScriptOptions extends OperationTraits {
  release?: Release
  weight?: number
  prepared?: boolean
}

/** Statements with fresh parameters for each run; a number stands for `\sleep` in milliseconds. */
export const script = (
  name: string,
  steps: (random: Random) => (string | number | BoundStatement)[],
  { release = 'old', weight = 1, prepared = true, ...traits }: ScriptOptions = {},
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
  ...traits,
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

/** One operation on one session, as an application without any manners runs it. */
export const executionOn = (session: Session, operation: Operation, random: Random): Execution =>
  new Execution({
    operation,
    random,
    session,
    pooling: 'session',
    retries: null,
    acquire: () => Promise.reject(new Error('one session is enough')),
    giveBack: () => undefined,
    onRetry: () => undefined,
  })

export async function runOn(session: Session, operation: Operation, random: Random): Promise<Ran> {
  let ran: Ran | undefined
  await executionOn(session, operation, random).run((result) => (ran = result))
  if (!ran) throw new Error('onEnd was not called')
  return ran
}
