import type { Finding } from '../../recording.js'
import type { Facts } from '../facts.js'
import { finding } from '../words.js'

/** Statements that sessions prepared before the migration and that the server refuses afterwards (0A000). */
export function preparedBreaks(facts: Facts): Finding[] {
  const { quiet, timed } = facts
  if (!quiet) return []
  const broken = new Map<string, { release: 'old' | 'new'; operation: string; sqlstate: string; state: string }>()
  for (const state of quiet.states) {
    if (state.kind === 'before' || state.kind === 'rolled-back') continue
    for (const cell of quiet.compat) {
      const key = `${cell.release} ${cell.operation}`
      if (cell.state !== state.id || broken.has(key) || !cell.fresh.ok || !cell.prepared || cell.prepared.ok) continue
      broken.set(key, {
        release: cell.release,
        operation: cell.operation,
        sqlstate: cell.prepared.error.sqlstate,
        state: state.id,
      })
    }
  }
  // Operations written as code are not in the prepared column; the driver's silent retries give them away.
  for (const error of timed?.errors ?? []) {
    const key = `${error.release} ${error.operation}`
    if (error.error.sqlstate !== '0A000' || !error.hidden || broken.has(key)) continue
    broken.set(key, { release: error.release, operation: error.operation, sqlstate: '0A000', state: '' })
  }
  if (broken.size === 0) return []
  const list = [...broken.values()]
  const hidden = timed?.errors.filter((e) => e.error.sqlstate === '0A000') ?? []
  const times = hidden.reduce((sum, e) => sum + e.count, 0)
  const state = quiet.states.find((s) => s.id === list[0]?.state)
  return [
    finding(
      'prepared-statements-break',
      'warn',
      `Statements prepared before the migration fail with ${list[0]?.sqlstate ?? '0A000'}: ${list.map((b) => b.operation).join(', ')}`,
      {
        evidence: [
          'A session that prepared them keeps the old result type: "cached plan must not change result type".',
          times > 0
            ? `Under traffic this happened ${times} times; this driver silently prepares again outside a transaction, others do not, and inside a transaction none can.`
            : 'Under traffic it was not met.',
        ],
        at: facts.at(state?.statement ?? null),
        advice: {
          text: 'List the columns instead of *, or restart (or recycle the connections of) the running release after the migration.',
          sql: null,
        },
      },
    ),
  ]
}
