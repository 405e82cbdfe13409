/** Sentences' small change. Pure. */
import type { Finding, OperationLock, Severity } from '../recording.js'
import { formatBracket, formatMs, plural } from '../units.js'

export const ms = formatMs
export const bracket = formatBracket
export const count = plural

/** `get_user and create_user (old release), by_age (new release)`. */
export function operationsInWords(operations: readonly Pick<OperationLock, 'release' | 'operation'>[]): string {
  const names = (release: 'old' | 'new'): string[] => [
    ...new Set(operations.filter((o) => o.release === release).map((o) => o.operation)),
  ]
  const list = (all: readonly string[]): string =>
    `${all.slice(0, 4).join(', ')}${all.length > 4 ? ` and ${all.length - 4} more` : ''}`
  const [old, next] = [names('old'), names('new')]
  if (old.length > 0 && old.join() === next.join()) return `${list(old)} (both releases)`
  return [
    ...(old.length > 0 ? [`${list(old)} (old release)`] : []),
    ...(next.length > 0 ? [`${list(next)} (new release)`] : []),
  ].join(', ')
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
