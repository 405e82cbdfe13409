import { liveView, type LiveView, type Screen } from './live.js'
import { plainLines } from './lines.js'
import { styleFor } from './text.js'

/**
 * The view that suits a stream: live on a terminal, plain lines elsewhere (a file, a pipe, CI, TERM=dumb). Call `stop`
 * in a `finally`, also on a signal: it gives the cursor back.
 */
export const progress = (
  stream: Screen & { isTTY?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): LiveView => {
  const tty = stream.isTTY === true
  const style = styleFor(env, tty)
  const live = tty && (env['CI'] ?? '') === '' && env['TERM'] !== 'dumb'
  if (live) return liveView({ screen: stream, style })
  return { emit: plainLines({ write: (text) => void stream.write(text), style }), stop: () => undefined }
}
