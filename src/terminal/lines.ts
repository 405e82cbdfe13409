/** Progress as plain lines: for logs, CI and whoever redirects stderr. */
import { formatMs } from '../units.js'
import { phaseWord } from '../report/view.js'
import type { Emit, RehearsalEvent } from './events.js'
import { cut, printable, type Style } from './text.js'

const MARKS = { started: '▶', ok: '✓', failed: '✗' } as const

/** One event as one line. */
export const lineOf = (event: RehearsalEvent, style: Style): string => {
  switch (event.type) {
    case 'step':
      return printable(event.text, style)
    case 'pass':
      return passWords(event)
    case 'phase':
      return `  ${phaseWord(event.phase)}${event.lengthMs === null ? '' : `, ${formatMs(event.lengthMs)}`}`
    case 'statement': {
      const end = event.sqlstate === null ? '' : ` ${event.sqlstate}`
      const sql = cut(printable(event.sql, style), 100, style)
      return printable(`${MARKS[event.state]}${end} ${event.file}:${event.line}`, style).replace(/^/, '  ') + `  ${sql}`
    }
    case 'heartbeat':
      return `  ${heartbeatWords(event, style)}`
    case 'warning':
      return `! ${printable(event.message, style)}`
  }
}

/** `timed pass`, `disturbance pass (long-read)`. */
export const passWords = (event: Extract<RehearsalEvent, { type: 'pass' }>): string =>
  `${event.pass} pass${event.pass === 'disturbance' ? ` (${event.disturbance})` : ''}`

/** Traffic at this moment in one line. */
export const heartbeatWords = (event: Extract<RehearsalEvent, { type: 'heartbeat' }>, style: Style): string =>
  printable(
    [
      `${Math.round(event.opsPerSecond)} ops/s`,
      ...(event.p99Ms === null ? [] : [`p99 ${formatMs(event.p99Ms)}`]),
      `${event.errors} errors`,
      `${event.blocked} blocked`,
      ...(event.worstLock === null ? [] : [event.worstLock]),
    ].join(' · '),
    style,
  )

export interface LinesOptions {
  write: (text: string) => void
  style: Style
  /** Heartbeats closer than this are left away. */
  heartbeatEveryMs?: number
  /** Milliseconds of a monotonic clock. */
  now?: () => number
}

/** A listener that writes one line an event, of the heartbeats one in ten seconds. */
export const plainLines = (options: LinesOptions): Emit => {
  const every = options.heartbeatEveryMs ?? 10_000
  const now = options.now ?? (() => performance.now())
  let last = now()
  return (event) => {
    if (event.type === 'heartbeat') {
      if (now() - last < every) return
      last = now()
    }
    options.write(`${lineOf(event, options.style)}\n`)
  }
}
