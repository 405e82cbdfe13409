/** COPY ... FROM STDIN over the driver, such that a failure of the server always surfaces. */
import { once } from 'node:events'
import type { Sql } from '../pg/connect.js'

/** Bytes that are sent at a time: large enough for the driver's cost per message to vanish, small enough to stay flat. */
const CHUNK_BYTES = 128 * 1024
/** UTF-8 needs at most three bytes for one UTF-16 unit. */
const MAX_BYTES_PER_UNIT = 3

/**
 * Sends lines (each ending in a line feed) through one COPY statement, about 128 KiB at a time, and waits for each chunk
 * to be taken before it makes the next. Returns when the server has confirmed the COPY.
 *
 * Throws what the server or the iterator threw; the connection can be used again afterwards.
 *
 * Two things about the driver (3.4.9) make this longer than it looks. An error that arrives after the stream was ended
 * (a duplicate key found by the last rows, say) never reaches the stream, whose end would then be awaited for ever. And
 * the query's promise is settled as soon as the stream exists, so a later error is dropped. Both are seen in `reject`,
 * which the driver calls on the query object, and which is therefore replaced here.
 */
export async function copyIn(
  sql: Sql,
  statement: string,
  lines: Iterable<string>,
  onChunk?: () => void,
): Promise<void> {
  const query = sql.unsafe(statement)
  const stream = await query.writable()
  stream.on('error', () => undefined)

  const failure: { error: unknown }[] = []
  const failed = new Promise<never>((_, reject) => {
    void Object.assign(query, {
      reject: (error: unknown) => {
        failure.push({ error })
        stream.destroy(error instanceof Error ? error : undefined)
        reject(error instanceof Error ? error : new Error(String(error)))
      },
    })
  })
  failed.catch(() => undefined)

  const write = (chunk: Buffer): Promise<void> =>
    new Promise((resolve, reject) => {
      stream.write(chunk, (error) => (error ? reject(error) : resolve()))
    })

  let producing = true
  try {
    for (const chunk of chunks(lines)) {
      producing = false
      await Promise.race([write(chunk), failed])
      onChunk?.()
      producing = true
    }
    producing = false
    stream.end()
    await Promise.race([once(stream, 'finish'), failed])
  } catch (error) {
    if (failure[0]) throw failure[0].error
    if (producing) {
      // The lines could not be made: cancel, and let the server answer before anybody uses the connection again.
      stream.destroy(new Error('no more rows'))
      await failed.catch(() => undefined)
    }
    throw error
  }
}

/** Packs lines into one buffer that is used again for each chunk: the driver copies it before the write returns. */
function* chunks(lines: Iterable<string>): Generator<Buffer, void, undefined> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES)
  let used = 0
  for (const line of lines) {
    const most = line.length * MAX_BYTES_PER_UNIT
    if (used + most > CHUNK_BYTES && used > 0) {
      yield buffer.subarray(0, used)
      used = 0
    }
    if (most > CHUNK_BYTES) yield Buffer.from(line, 'utf8')
    else used += buffer.write(line, used, 'utf8')
  }
  if (used > 0) yield buffer.subarray(0, used)
}
