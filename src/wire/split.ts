/** A message taken apart: its statements one by one, in a transaction of ours where the client has none open. */
import { build, payloadOf, type Frame } from './frames.js'
import type { Interposed } from './interposed.js'
import { readServerMessage } from './messages.js'
import type { Exchange, Interposer, Pending } from './types.js'

/**
 * Sends the pieces and hands the client their answers as if it had been one message, but for ReadyForQuery. The last
 * answer is kept until our COMMIT has succeeded, because an undivided message commits before it answers.
 */
export async function takeApart(
  session: Interposed,
  interposer: Interposer,
  pending: Pending,
  pieces: readonly (readonly Frame[])[],
): Promise<Exchange> {
  const whole = pending.batch?.join(';\n') ?? pending.sql ?? ''
  const isOurs = pending.status === 'I'
  let exchange: Exchange | null = null
  const begin = (): Exchange => (exchange ??= session.recorder.takeApart(whole, session.nowMs))
  let hasFailed = false
  if (isOurs) {
    begin()
    hasFailed = (await session.query('begin', swallowUnlessError)) !== 'T'
  }
  const lastAnswers: Buffer[] = []
  for (const [index, frames] of pieces.entries()) {
    if (hasFailed) break
    await session.call('beforePiece', async () => interposer.beforePiece?.(pending, index))
    const isLast = index === pieces.length - 1
    const answered = session.listen((frame) => {
      if (frame.type === 'E') hasFailed = true
      const isHeld = isOurs && isLast && (lastAnswers.length > 0 ? frame.type === '3' : 'CI'.includes(frame.type))
      if (isHeld) {
        lastAnswers.push(frame.bytes)
        session.recorder.fromServer(frame, session.nowMs)
      }
      return isHeld
    })
    begin()
    for (const frame of frames) session.sendOn(frame)
    session.admitCopy(true)
    await answered
    session.admitCopy(false)
    await session.call('afterPiece', async () => interposer.afterPiece?.(pending, index, hasFailed))
  }
  if (isOurs) hasFailed = (await end(session, begin(), hasFailed)) || hasFailed
  if (!hasFailed) for (const bytes of lastAnswers) session.toClient(bytes)
  const finished = begin()
  session.recorder.seal(session.status, session.nowMs)
  return finished
}

const swallowUnlessError = (frame: Frame): boolean => !'ESA'.includes(frame.type)

/** A message of ours, as if the client had sent it. */
export const frameOf = (type: string, bytes: Buffer, startedMs: number): Frame => ({
  type,
  bytes,
  size: bytes.length - 5,
  startedMs,
})

/** Each statement of a simple Query as a Query of its own. */
export const queriesOf = (statements: readonly string[], nowMs: number): Frame[][] =>
  statements.map((sql) => [frameOf('Q', build.query(sql), nowMs)])

/** Ends our transaction; true when it could not be committed, which the client is told as an error of its message. */
async function end(session: Interposed, exchange: Exchange, hasFailed: boolean): Promise<boolean> {
  if (hasFailed) {
    await session.query('rollback', swallowUnlessError)
    return true
  }
  let isRefused = false
  await session.query('commit', (frame) => {
    if (frame.type === 'E') {
      isRefused = true
      exchange.error ??= readServerMessage(payloadOf(frame), session.nowMs)
      session.toClient(frame.bytes)
      return true
    }
    // What deferred triggers have to say is the client's.
    return frame.type !== 'N' && swallowUnlessError(frame)
  })
  return isRefused
}
