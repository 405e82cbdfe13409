/** Sentences' small change. Pure. */
import type { Bracket, Finding, OperationLock, Severity } from '../recording.js'

export const ms = (value: number): string =>
  value >= 100_000
    ? `${Math.round(value / 1000)} s`
    : value >= 10_000
      ? `${(value / 1000).toFixed(1)} s`
      : value >= 1_000
        ? `${(value / 1000).toFixed(2)} s`
        : value >= 10
          ? `${Math.round(value)} ms`
          : `${value.toFixed(1)} ms`

/** `3.10 s (± 2 ms)`, or `< 12 ms` when nothing more is proved. */
export function bracket(value: Bracket): string {
  const half = (value.highMs - value.lowMs) / 2
  if (value.lowMs <= 0) return `less than ${ms(Math.ceil(value.highMs * 10) / 10)}`
  return `${ms((value.lowMs + value.highMs) / 2)} (± ${ms(Math.ceil(half * 10) / 10)})`
}

export const count = (n: number, one: string, many = `${one}s`): string => `${n.toLocaleString('en-US')} ${n === 1 ? one : many}`

/** `get_user and create_user (old), by_age (new)`. */
export function operationsInWords(operations: readonly Pick<OperationLock, 'release' | 'operation'>[]): string {
  const names = (release: 'old' | 'new'): string[] => [
    ...new Set(operations.filter((o) => o.release === release).map((o) => o.operation)),
  ]
  return (['old', 'new'] as const)
    .flatMap((release) => {
      const list = names(release)
      if (list.length === 0) return []
      const shown = list.slice(0, 4).join(', ')
      return [`${shown}${list.length > 4 ? ` and ${list.length - 4} more` : ''} (${release} release)`]
    })
    .join(', ')
}

export const finding = (rule: string, severity: Severity, title: string, rest: Partial<Finding> = {}): Finding => ({
  rule,
  severity,
  title,
  evidence: [],
  at: null,
  relation: null,
  projection: null,
  advice: null,
  ...rest,
})

/** The statement on one line, shortened. */
export function oneLine(sql: string, most = 80): string {
  const text = sql.replace(/\s+/g, ' ').trim()
  return text.length > most ? `${text.slice(0, most - 1)}…` : text
}
