/** Text files of the user. */
import { readFile } from 'node:fs/promises'
import { RehearsalError } from '../errors.js'
import { refuseNul } from '../sql/text.js'

/**
 * Reads a file that must be UTF-8 text; a byte order mark is dropped. `shown` is the path in messages. Throws
 * SQL_UNREADABLE when it cannot be read, is not UTF-8 or holds a NUL character, which PostgreSQL does not accept.
 */
export async function readText(path: string, shown: string): Promise<string> {
  let bytes: Buffer
  try {
    bytes = await readFile(path)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    const message = code === 'ENOENT' ? 'no such file' : `the file cannot be opened (${code})`
    throw new RehearsalError('SQL_UNREADABLE', { file: shown, message }, cause)
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new RehearsalError('SQL_UNREADABLE', { file: shown, message: 'the file is not UTF-8 text' }, cause)
  }
  refuseNul(text, shown)
  return text
}
