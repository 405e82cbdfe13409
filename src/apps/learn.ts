/**
 * What a program sends, learnt by running it for a short time on a copy that is thrown away: so that its statements can be
 * tried on every state of the schema, looked at for their locks, and timed, before anything is measured under traffic.
 */
import { sleep, startClock } from '../clock.js'
import type { Release } from '../recording.js'
import { statementFacts } from '../sql/facts.js'
import { parseSql } from '../sql/parser.js'
import type { BoundStatement, ScriptOperation } from '../traffic/operation.js'
import { SampleRecorder } from '../traffic/samples.js'
import type { WireCommand } from '../wire/types.js'
import { Operations } from './operations.js'
import { programSource, type ProgramOptions } from './source.js'
import { describeStatement } from './statements.js'

/** Of each statement, so many sets of values. In memory only. */
const MOST_VALUES = 20
/** A longer text is an import. */
const LONGEST = 20_000
const GRACE_MS = 2_000

/** How long the next release's program may take here to be ready. */
const NEW_READY_MS = 20_000

export interface LearntProgram {
  operations: ScriptOperation[]
  /** Why the next release's program does not work on the schema after the migration; null when it does. */
  broken: string | null
}

interface Seen {
  sql: string
  extended: boolean
  count: number
  bound: BoundStatement[]
}

/**
 * Starts the program and listens for so long. Throws PROGRAM_NOT_READY, PROGRAM_NOT_CONNECTED, NO_PORT, USAGE. The
 * operations are named as those of a pass under traffic. That the next release's program does not start is in the result.
 */
export async function learnProgram(options: ProgramOptions, lastsMs: number): Promise<LearntProgram> {
  const { release, signal } = options
  // What does not work after the migration is seen under traffic; nobody waits for it here for long.
  const program =
    release === 'old'
      ? options.program
      : { ...options.program, readyWithinMs: Math.min(options.program.readyWithinMs, NEW_READY_MS) }
  const samples = new SampleRecorder([])
  const names = new Operations(release, program.command, samples)
  const seen = new Map<string, Seen>()
  const failed: { error: Error | null; broken: string | null } = { error: null, broken: null }
  const source = programSource({
    ...options,
    program,
    onFailure: ({ message }) => (failed.broken = message),
    capture: ({ commands }) => {
      for (const command of commands) if (command.error === null) note(command, names, seen)
    },
  })({
    clock: startClock(),
    samples,
    onSettled: () => undefined,
    onDeadlock: () => undefined,
    onClientError: (error) => (failed.error ??= error instanceof Error ? error : new Error('the program failed')),
  })
  try {
    await source.open()
    source.phase('settled', 0, lastsMs)
    // The next release's program starts with its first traffic.
    source.setRate(0, 1, 1, 0)
    const endMs = performance.now() + lastsMs + (release === 'new' ? program.readyWithinMs : 0)
    const enough = (): boolean => release === 'old' || seen.size > 0
    let leftMs = lastsMs
    while (
      leftMs > 0 &&
      performance.now() < endMs &&
      failed.error === null &&
      failed.broken === null &&
      signal?.aborted !== true
    ) {
      await sleep(100, signal)
      if (enough()) leftMs -= 100
    }
    source.stop()
    await Promise.race([source.idle(), sleep(GRACE_MS)])
  } finally {
    await source.close()
  }
  if (failed.error !== null) throw failed.error
  return {
    operations: [...seen].map(([name, one]) => operation(release, program.command, name, one)),
    broken: failed.broken,
  }
}

function note(command: WireCommand, names: Operations, seen: Map<string, Seen>): void {
  const { sql, protocol, parameters } = command
  if (sql.length > LONGEST || protocol === 'function' || command.completed.length === 0) return
  const { name, counts } = names.of(sql)
  if (!counts) return
  const known = seen.get(name)
  if (known) {
    known.count++
    if (known.bound.length < MOST_VALUES) known.bound.push({ text: sql, params: [...(parameters ?? [])] })
    return
  }
  if (!isAlone(sql)) return
  seen.set(name, {
    sql: describeStatement(sql).sql,
    extended: protocol === 'extended',
    count: 1,
    bound: [{ text: sql, params: [...(parameters ?? [])] }],
  })
}

/** One statement that reads or writes rows; COPY, CALL and transaction statements cannot be tried by themselves. */
function isAlone(sql: string): boolean {
  try {
    if (parseSql(sql).length !== 1) return false
    const { isQuery, isDml } = statementFacts(sql)
    return isQuery || isDml
  } catch {
    return false
  }
}

const operation = (release: Release, command: string, name: string, seen: Seen): ScriptOperation => ({
  kind: 'script',
  source: 'program',
  release,
  name,
  weight: seen.count,
  prepared: seen.extended,
  file: command,
  line: 1,
  normalisedSql: [seen.sql],
  statementTexts: seen.extended && seen.bound[0] ? [seen.bound[0].text] : [],
  bind: (_, random) => [{ kind: 'statement', bound: random.pick(seen.bound), line: 1 }],
})
