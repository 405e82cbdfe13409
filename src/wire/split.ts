/** A message taken apart: its statements one by one, in a transaction of ours where the client has none open. */
import { build, payloadOf, type Frame } from './frames.js'
import type { Interposed } from './interposed.js'
import { readServerMessage } from './messages.js'
import type { Exchange, Interposer, Pending } from './types.js'

/**
 * Sends the pieces and hands the client their answers as if it had been one message, but for ReadyForQuery. The last
 * CommandComplete is kept until our COMMIT has succeeded, because an undivided message commits before it answers.
 */
export async function takeApart(
  session: Interposed,
  interposer: Interposer,
  pending: Pending,
  pieces: readonly string[],
): Promise<Exchange> {
  const whole = pending.sql ?? ''
  const isOurs = pending.status === 'I'
  let exchange: Exchange | null = null
  const begin = (): Exchange => (exchange ??= session.recorder.takeApart(whole, session.nowMs))
  let hasFailed = false
  if (isOurs) {
    begin()
    hasFailed = (await session.query('begin', swallowUnlessError)) !== 'T'
  }
  let lastComplete: Buffer | null = null
  for (const [index, sql] of pieces.entries()) {
    if (hasFailed) break
    await session.call('beforePiece', async () => interposer.beforePiece?.(pending, index))
    const isLast = index === pieces.length - 1
    const answered = session.listen((frame) => {
      if (frame.type === 'E') hasFailed = true
      const isHeld = isOurs && isLast && (frame.type === 'C' || frame.type === 'I')
      if (isHeld) {
        lastComplete = frame.bytes
        session.recorder.fromServer(frame, session.nowMs)
      }
      return isHeld
    })
    begin()
    session.sendOn(frameOf(build.query(sql), session.nowMs))
    session.admitCopy(true)
    await answered
    session.admitCopy(false)
    await session.call('afterPiece', async () => interposer.afterPiece?.(pending, index, hasFailed))
  }
  if (isOurs) hasFailed = (await end(session, begin(), hasFailed)) || hasFailed
  if (!hasFailed && lastComplete !== null) session.toClient(lastComplete)
  const finished = begin()
  session.recorder.seal(session.status, session.nowMs)
  return finished
}

const swallowUnlessError = (frame: Frame): boolean => !'ESA'.includes(frame.type)

const frameOf = (bytes: Buffer, startedMs: number): Frame => ({ type: 'Q', bytes, size: bytes.length - 5, startedMs })

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
