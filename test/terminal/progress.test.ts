import { describe, expect, it } from 'vitest'
import type { RehearsalEvent } from '../../src/terminal/events.js'
import { lineOf, plainLines } from '../../src/terminal/lines.js'
import { liveView, MOST_ROWS } from '../../src/terminal/live.js'
import { progress } from '../../src/terminal/progress.js'
import { columns } from '../../src/terminal/text.js'

const style = { colour: false, ascii: false }
const statement = (state: 'started' | 'ok' | 'failed', sqlstate: string | null = null): RehearsalEvent => ({
  type: 'statement',
  file: '0042.sql',
  line: 3,
  sql: 'CREATE INDEX\n  i ON orders (status)',
  state,
  sqlstate,
})
const beat: RehearsalEvent = {
  type: 'heartbeat',
  opsPerSecond: 99.6,
  p99Ms: null,
  errors: 2,
  blocked: 14,
  worstLock: 'SHARE on orders',
}

/** Just enough of a terminal to see what is left on it: text, line feeds, up, clear below. */
const terminal = () => {
  const rows: string[] = ['']
  let row = 0
  let cursor = true
  let writes = 0
  const write = (text: string): void => {
    writes++
    // eslint-disable-next-line no-control-regex -- it reads escape sequences
    for (const part of text.match(/\u001B\[\??\d*[A-Za-z]|\n|\r|[^\u001B\n\r]+/g) ?? []) {
      if (part === '\n') rows[++row] ??= ''
      else if (part === '\r') continue
      else if (part.startsWith('\u001B[?25')) cursor = part.endsWith('h')
      else if (part.startsWith('\u001B[?2026')) continue
      else if (part === '\u001B[J') rows.splice(row, rows.length, '')
      else if (part.startsWith('\u001B[')) row = Math.max(0, row - Number(part.slice(2, -1)))
      else rows[row] = (rows[row] ?? '') + part
    }
  }
  return {
    write,
    columns: 60,
    isTTY: true,
    rows: () => rows.filter((line) => line !== ''),
    cursor: () => cursor,
    writes: () => writes,
  }
}

describe('plain lines', () => {
  it('writes one line for each kind of event', () => {
    const events: RehearsalEvent[] = [
      { type: 'step', text: 'building the schema' },
      { type: 'pass', pass: 'timed' },
      { type: 'phase', pass: 'timed', phase: 'warmup', lengthMs: 3_000 },
      statement('started'),
      statement('failed', '23502'),
      beat,
      { type: 'warning', message: 'late\u001B[2J by 3 ms' },
    ]
    expect(events.map((event) => lineOf(event, style))).toEqual([
      'building the schema',
      'timed pass',
      '  warm up, 3.00 s',
      '  ▶ 0042.sql:3  CREATE INDEX i ON orders (status)',
      '  ✗ 23502 0042.sql:3  CREATE INDEX i ON orders (status)',
      '  100 ops/s · 2 errors · 14 blocked · SHARE on orders',
      '! late⟨001B⟩[2J by 3 ms',
    ])
  })

  it('lets one heartbeat in ten seconds through', () => {
    let now = 0
    let text = ''
    const emit = plainLines({ write: (line) => (text += line), style, now: () => now })
    for (; now <= 25_000; now += 500) emit(beat)
    expect(text.split('\n').filter((line) => line !== '')).toHaveLength(2)
  })
})

describe('live view', () => {
  it('redraws in place at most ten times a second and leaves only what happened', () => {
    let now = 0
    const screen = terminal()
    const view = liveView({ screen, style, now: () => now, everyMs: 100 })
    view.emit({ type: 'step', text: 'building the schema' })
    view.emit({ type: 'pass', pass: 'timed' })
    view.emit({ type: 'phase', pass: 'timed', phase: 'migrate', lengthMs: null })
    view.emit(statement('started'))
    const before = screen.writes()
    for (; now < 2_000; now += 10) view.emit(beat)
    expect(screen.writes() - before).toBeLessThanOrEqual(21)
    expect(screen.rows().length).toBeLessThanOrEqual(MOST_ROWS)
    expect(screen.rows().join('\n')).toMatch(
      /^rehearse {2}timed pass[\s\S]*migrate[\s\S]*▶ 0042\.sql:3[\s\S]*14 blocked/,
    )
    expect(screen.cursor()).toBe(false)
    view.emit(statement('ok'))
    now += 100
    view.emit(beat)
    view.emit({ type: 'warning', message: 'the generator was late' })
    view.stop()
    view.stop()
    expect(screen.rows()).toEqual(['  ✓ 0042.sql:3  CREATE INDEX i ON orders (status)', '! the generator was late'])
    expect(screen.cursor()).toBe(true)
  })

  it('never writes a row wider than the terminal', () => {
    let now = 0
    let widest = 0
    const write = (text: string): void => {
      // eslint-disable-next-line no-control-regex -- it takes the escape sequences away
      for (const line of text.replace(/\u001B\[\??\d*[A-Za-z]/g, '').split('\n'))
        widest = Math.max(widest, columns(line))
    }
    const view = liveView({ screen: { columns: 30, write }, style, now: () => (now += 1_000) })
    view.emit({ type: 'pass', pass: 'timed' })
    view.emit(statement('started'))
    view.emit({ ...beat })
    view.stop()
    expect(widest).toBeGreaterThan(20)
    expect(widest).toBeLessThan(30)
  })
})

describe('progress', () => {
  it('is live on a terminal and plain elsewhere', () => {
    const live = terminal()
    const view = progress(live, { TERM: 'xterm' })
    view.emit({ type: 'step', text: 'x' })
    view.stop()
    expect(live.rows()).toEqual([])
    for (const [isTTY, env] of [
      [false, {}],
      [true, { CI: 'true' }],
      [true, { TERM: 'dumb' }],
    ] as const) {
      const other = { ...terminal(), isTTY }
      const plain = progress(other, env)
      plain.emit({ type: 'step', text: 'building the schema' })
      plain.stop()
      expect(other.rows()).toEqual(['building the schema'])
    }
  })
})
