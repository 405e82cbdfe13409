/** How an interruption ends what is under way. */
import { RehearsalError } from '../errors.js'

/** What an abort of the user is called; the command line gives its own reason with the signal's name. */
export const interrupted = (signal: AbortSignal): RehearsalError =>
  signal.reason instanceof RehearsalError ? signal.reason : new RehearsalError('INTERRUPTED')

export const stopIf = (signal: AbortSignal): void => {
  if (signal.aborted) throw interrupted(signal)
}
