/** One failure while seeding, told without any value of a row. */
import { RehearsalError } from '../errors.js'
import { CLIENT_ERROR, isConnectionFailure, toPgError } from '../pg/errors.js'

/** Where it went wrong: the seed file, its line when it is SQL, and the table when one was being filled. */
export interface Place {
  file: string
  line?: number
  table?: string
}

const DISK_FULL = '53100'

/**
 * Turns what the server, the driver or the seed's own code threw into a RehearsalError: SEED_FAILED, or the reason that
 * lies outside the seed (CONNECTION_LOST, DISK_FULL). The server's error is not kept as the cause: its DETAIL and
 * CONTEXT quote the row.
 */
export function seedFailure(error: unknown, place: Place, sql?: string): RehearsalError {
  if (error instanceof RehearsalError) return error
  const { sqlstate, message, objects } = toPgError(error, sql)
  if (isConnectionFailure(error)) return new RehearsalError('CONNECTION_LOST', { message })
  if (sqlstate === DISK_FULL)
    return new RehearsalError('DISK_FULL', { path: 'data directory of the rehearsal database' })
  const own = sqlstate === CLIENT_ERROR && error instanceof Error
  const text = own ? error.message : `${message} (SQLSTATE ${sqlstate})`
  const details = own ? {} : { sqlstate, objects: objects.join(', ') }
  const table = place.table === undefined ? '' : `table ${place.table}: `
  return new RehearsalError('SEED_FAILED', { ...details, ...place, message: table + text }, own ? error : undefined)
}
