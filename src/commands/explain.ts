/** What is said about an error: one line, at most one hint, and the way it came only on request. */
import { EXIT, RehearsalError } from '../errors.js'
import { toPgError } from '../pg/errors.js'

export interface Told {
  line: string
  hint: string | null
  /** Only with --debug. */
  stack: string | null
  /** Exit code. */
  code: number
}

export function explain(error: unknown, debug: boolean): Told {
  const stack = debug ? stackOf(error) : null
  if (error instanceof RehearsalError) return { line: error.message, hint: error.hint, stack, code: error.exitCode }
  const name = error instanceof Error ? error.name : typeof error
  return {
    line: `something went wrong in the tool itself (${name})`,
    hint: debug ? null : 'Run it again with --debug and report it.',
    stack,
    code: EXIT.cannot,
  }
}

/** Where it was thrown, causes included. Only our own messages are shown: those of others may quote a row or a parameter. */
function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return `(a ${typeof error} was thrown)`
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  const own =
    error instanceof RehearsalError ? `${error.name}: ${error.message}` : `${error.name}: ${withoutData(error)}`
  const text = [own, ...frames].join('\n')
  return error.cause === undefined ? text : `${text}\ncaused by ${stackOf(error.cause)}`
}

function withoutData(error: Error): string {
  const { sqlstate, condition, message } = toPgError(error)
  return 'code' in error ? `${message} (${sqlstate} ${condition})` : '(the message is not shown: it may hold data)'
}
