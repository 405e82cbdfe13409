/** Where the traffic comes from and how the application was made to behave, in words. Pure; shared by all outputs. */
import type { Report, TimedPass, TrafficOrigin } from '../recording.js'
import { formatCount, formatMs, formatShare, plural } from '../units.js'

/** What the traffic of a release stands for, in sentences. */
export function originSentences(origin: TrafficOrigin): string[] {
  const { tables, columns, coverage } = origin
  return [
    `${origin.text}.`,
    ...(tables === null
      ? []
      : [
          `Of ${plural(tables.all, 'table')}, ${formatCount(tables.read)} are read, ${formatCount(tables.inserted)} inserted into and ${formatCount(tables.updated)} updated.`,
        ]),
    ...(columns === null
      ? []
      : [`${formatCount(columns.touched)} of ${plural(columns.all, 'column')} are named by an operation.`]),
    ...(coverage === null || coverage.calls === 0
      ? []
      : [
          `${formatShare(coverage.callsPlayed / coverage.calls)} of production's calls, ${formatCount(coverage.statementsPlayed)} of ${plural(coverage.statements, 'statement')}.`,
        ]),
  ]
}

/** One line for both releases, for where there is little room; null where nothing is known. */
export function trafficLine({ recording }: Report): string | null {
  if (recording.traffic.length === 0) return null
  const [first, second] = recording.traffic
  const text = (origin: TrafficOrigin): string => {
    const left = origin.leftOut.length === 0 ? '' : `, ${formatCount(origin.leftOut.length)} left out`
    return `${origin.release} ${origin.text.charAt(0).toLowerCase()}${origin.text.slice(1)}${left}`
  }
  return [first, second].flatMap((origin) => (origin ? [text(origin)] : [])).join('; ')
}

/** How the application was made to treat its connections, in one sentence; null where nothing was said about it. */
export function mannersSentence({ manners }: Pick<TimedPass, 'manners'>): string | null {
  if (manners === null) return null
  const { queueTimeoutMs, pooling, retries, retryOn, settings } = manners
  const parts = [
    ...(queueTimeoutMs === null
      ? []
      : [`a request gives up after waiting ${formatMs(queueTimeoutMs)} for a connection`]),
    ...(pooling === 'transaction' ? ['a pooler gives each transaction another session'] : []),
    ...(retries === 0 ? [] : [`${retryOn.join(' and ')} are tried again, ${plural(retries, 'time')} at most`]),
    ...Object.entries(settings).map(([name, value]) => `${name} = ${value}`),
  ]
  return parts.length === 0 ? null : `The application's manners: ${parts.join('; ')}.`
}
