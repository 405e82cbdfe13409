/** The live view: a few rows at the bottom of a terminal, redrawn in place, gone when it stops. */
import { formatMs } from '../units.js'
import { phaseWord } from '../report/view.js'
import type { Emit, RehearsalEvent } from './events.js'
import { heartbeatWords, lineOf, passWords } from './lines.js'
import { cut, paint, printable, type Style } from './text.js'

/** What the view needs of a stream: process.stderr is one. */
export interface Screen {
  write: (text: string) => unknown
  columns?: number | undefined
}

export interface LiveView {
  emit: Emit
  /** Takes the rows away and gives the cursor back. May be called twice. */
  stop: () => void
}

export interface LiveOptions {
  screen: Screen
  style: Style
  /** Between two redraws, in milliseconds. */
  everyMs?: number
  now?: () => number
}

const HIDE = '\u001B[?25l'
const SHOW = '\u001B[?25h'
/** Synchronized update: terminals that know it draw the frame at once, others ignore it. */
const BEGIN = '\u001B[?2026h'
const END = '\u001B[?2026l'
/** Up n rows, to the first column, and clear to the end of the screen. */
const clear = (rows: number): string => (rows === 0 ? '' : `\u001B[${rows}A\r\u001B[J`)

export const MOST_ROWS = 8

/** Shows step, phase, statement, lock and traffic. Finished statements and warnings stay above as plain lines. */
export const liveView = (options: LiveOptions): LiveView => {
  const { screen, style } = options
  const now = options.now ?? (() => performance.now())
  const everyMs = options.everyMs ?? 100
  const begun = now()
  const latest: Partial<Record<RehearsalEvent['type'], RehearsalEvent>> = {}
  let phaseSince = begun
  let above = ''
  let drawn = 0
  let stopped = false
  let last = Number.NEGATIVE_INFINITY

  const rows = (): string[] => {
    const { step, pass, phase, statement, heartbeat } = latest
    const clock = formatMs(Math.floor((now() - begun) / 1000) * 1000)
    const where = pass?.type === 'pass' ? passWords(pass) : 'preparing'
    const length = phase?.type === 'phase' && phase.lengthMs !== null ? ` of ${formatMs(phase.lengthMs)}` : ''
    const since = formatMs(Math.floor((now() - phaseSince) / 1000) * 1000)
    return [
      paint(cut(`rehearse  ${where}  ${clock}`, width(), style), 'bold', style),
      ...(pass === undefined && step?.type === 'step' ? [`  ${step.text}`] : []),
      ...(phase?.type === 'phase' ? [`  ${phaseWord(phase.phase)}  ${since}${length}`] : []),
      ...(statement?.type === 'statement' && statement.state === 'started' ? [lineOf(statement, style)] : []),
      ...(heartbeat?.type === 'heartbeat' ? [`  ${heartbeatWords(heartbeat, style)}`] : []),
    ]
      .slice(0, MOST_ROWS)
      .map((row, i) => (i === 0 ? row : ` ${cut(printable(row, style), width() - 1, style)}`))
  }
  // One column less than there are: a full line would wrap in some terminals, and then the count of rows is wrong.
  const width = (): number => Math.max(20, (screen.columns ?? 80) - 1)

  const draw = (): void => {
    if (stopped) return
    last = now()
    const frame = rows()
    screen.write(`${BEGIN}${drawn === 0 ? HIDE : ''}${clear(drawn)}${above}${frame.join('\n')}\n${END}`)
    above = ''
    drawn = frame.length
  }

  const timer = setInterval(draw, everyMs)
  timer.unref()

  return {
    emit: (event) => {
      if (stopped) return
      if (event.type === 'warning' || (event.type === 'statement' && event.state !== 'started'))
        above += `${lineOf(event, style)}\n`
      if (event.type === 'pass')
        for (const type of ['phase', 'statement', 'heartbeat'] as const) Reflect.deleteProperty(latest, type)
      if (event.type === 'phase') phaseSince = now()
      if (event.type === 'step') Reflect.deleteProperty(latest, 'pass')
      latest[event.type] = event
      if (now() - last >= everyMs) draw()
    },
    stop: () => {
      if (stopped) return
      stopped = true
      clearInterval(timer)
      screen.write(`${clear(drawn)}${above}${drawn === 0 ? '' : SHOW}`)
    },
  }
}
