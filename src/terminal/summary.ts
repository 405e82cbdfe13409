/** What is left on the screen at the end. Its first line is the verdict and the reason. Pure. */
import type { BudgetResult, Finding, Report } from '../recording.js'
import { formatCount, formatLimit, formatMeasured, formatRange } from '../units.js'
import { disturbanceLine, disturbanceRow } from '../report/disturbance-words.js'
import { trafficLine } from '../report/traffic-words.js'
import { markOf, worstFirst } from '../report/view.js'
import { columns, cut, cutLeft, type Colour, padEnd, padStart, paint, printable, type Style, wrap } from './text.js'

export interface SummaryOptions {
  colour: boolean
  /** Only 7-bit characters. */
  ascii?: boolean
  /** Columns of the terminal, 80 where nothing is known; at least 60 are used, and no line but a path is longer. */
  width?: number
  /** Files that were written, to be named at the end. */
  paths: readonly string[]
}

const COLOUR: Readonly<Record<string, Colour>> = {
  pass: 'green',
  ok: 'green',
  fail: 'red',
  warn: 'yellow',
  inconclusive: 'yellow',
}

const sign = (status: Parameters<typeof markOf>[0], style: Style): string => {
  const mark = markOf(status)
  return paint(style.ascii ? mark.ascii : mark.sign, COLOUR[status] ?? null, style)
}

const limitLines = (budgets: readonly BudgetResult[], width: number, style: Style): string[] => {
  if (budgets.length === 0) return []
  const text = (value: string): string => printable(value, style)
  const rows = budgets.map((one) => ({
    status: one.status,
    label: text(one.label),
    allowed: text(`${formatLimit(one.warn, one.unit)} / ${formatLimit(one.fail, one.unit)}`),
    measured: text(formatMeasured(one)),
    worst: text(one.worstAt ?? ''),
    projected:
      one.projected === null
        ? null
        : text(
            `projected to production: ${formatRange(one.projected.lowMs, one.projected.highMs)} (${one.projected.work} of ${one.projected.relation}, ${formatCount(one.projected.rowsInProduction)} rows)`,
          ),
  }))
  const head = { label: 'limit', allowed: 'warn / fail', measured: 'measured', worst: 'worst at' }
  const widest = (pick: (row: typeof head) => string, most: number): number =>
    Math.min(most, Math.max(...[head, ...rows].map((row) => columns(pick(row)))))
  const allowed = widest((row) => row.allowed, 20)
  const measured = widest((row) => row.measured, 22)
  // The place has a column only where that cuts no label; otherwise a line of its own.
  const room = width - 4 - allowed - measured - 6
  const labels = widest((row) => row.label, width)
  const places = widest((row) => row.worst, width)
  const worst = labels + places <= room ? places : 0
  const label = worst === 0 ? Math.min(labels, room + 2) : labels
  const line = (row: typeof head): [string, string, string, string] => [
    padEnd(cut(row.label, label, style), label),
    padStart(cut(row.allowed, allowed, style), allowed),
    padStart(cut(row.measured, measured, style), measured),
    worst === 0 ? '' : cutLeft(row.worst, worst, style),
  ]
  return [
    paint(`    ${line(head).join('  ').trimEnd()}`, 'dim', style),
    ...rows.flatMap((row) => {
      const [a, b, c, d] = line(row)
      const over = row.status === 'fail' || row.status === 'warn' ? (COLOUR[row.status] ?? null) : null
      return [
        `  ${sign(row.status, style)} ${a}  ${b}  ${paint(c, over, style)}  ${d}`.trimEnd(),
        ...(worst > 0 || row.worst === ''
          ? []
          : [paint(`      worst at ${cutLeft(row.worst, width - 15, style)}`, 'dim', style)]),
        ...(row.projected === null
          ? []
          : wrap(`      ${row.projected}`.trim(), width - 6, '').map((part) => paint(`      ${part}`, 'dim', style))),
      ]
    }),
  ]
}

const findingLines = (finding: Finding, width: number, style: Style): string[] => {
  const text = (value: string): string => printable(value, style)
  const place = finding.at === null ? '' : text(`${finding.at.file}:${finding.at.line}`)
  const rule = cut(text(finding.rule), 32, style)
  // Without a place, only the title says what it is about.
  const evidence =
    finding.at === null && finding.evidence[0] !== undefined
      ? `${finding.title}. ${finding.evidence[0]}`
      : (finding.evidence[0] ?? finding.title)
  const indented = (value: string): string[] => wrap(text(value), width - 6, '').map((part) => `      ${part}`)
  return [
    `  ${sign(finding.severity, style)} ${paint(rule, 'bold', style)}${place === '' ? '' : `  ${cutLeft(place, width - 6 - columns(rule), style)}`}`,
    ...shortened(indented(evidence), style),
    ...(finding.advice === null ? [] : indented(finding.advice.text)),
  ]
}

/** Lines of evidence shown for a finding. */
const MOST_LINES = 3

const shortened = (lines: readonly string[], style: Style): string[] =>
  lines.length <= MOST_LINES
    ? [...lines]
    : [
        ...lines.slice(0, MOST_LINES - 1),
        `${(lines[MOST_LINES - 1] ?? '').replace(/.{0,3}$/, '')}${style.ascii ? '...' : '…'}`,
      ]

/** Where the traffic comes from, where it was not declared. */
const trafficLines = (report: Report, width: number, style: Style): string[] => {
  if (report.recording.traffic.every(({ source }) => source === 'declared')) return []
  const line = trafficLine(report)
  return line === null ? [] : dim(`Traffic: ${line}`, width, style)
}

const dim = (line: string, width: number, style: Style): string[] =>
  wrap(printable(line, style), width - 4, '').map((part, i) => paint(`${i === 0 ? '  ' : '    '}${part}`, 'dim', style))

/** The migration tool and how it is known what is pending; what it hides is among the findings. */
const toolLines = (report: Report, width: number, style: Style): string[] => {
  const { tool } = report.recording
  if (tool === null) return []
  const line = `${tool.title}${tool.how === 'replay' ? ', replayed' : ''}; pending: ${tool.pendingBy}`
  return dim(line, width, style)
}

/** What else went on while the migration ran, one line each. */
const disturbanceLines = ({ recording, findings }: Report, width: number, style: Style): string[] =>
  recording.passes.flatMap((pass) => {
    if (pass.kind !== 'disturbance') return []
    const row = disturbanceRow(pass, findings)
    return wrap(printable(disturbanceLine(row), style), width - 6, '').map((part, i) =>
      i === 0 ? `  ${sign(row.status, style)} ${part}` : `      ${part}`,
    )
  })

/** More than these are in the files only. */
const MOST = 12

/** The report on a terminal, at most `width` columns; ends with a line feed. */
export const summary = (report: Report, options: SummaryOptions): string => {
  const width = Math.max(60, options.width ?? 80)
  const style: Style = { colour: options.colour, ascii: options.ascii ?? false }
  const mark = markOf(report.verdict)
  const lead = `${style.ascii ? mark.ascii : mark.sign} ${report.verdict}`
  // One column is kept for the second space after the verdict.
  const [first = '', ...rest] = wrap(
    `${lead} ${printable(`${report.recording.name}: ${report.headline}`, style)}`,
    width - 1,
    '    ',
  )
  const named = first.slice(lead.length).trimStart()
  const findings = worstFirst(report.findings)
  const shown = findings.slice(0, MOST)
  const blocks = [
    [`${paint(lead, COLOUR[report.verdict] ?? null, style)}  ${named}`.trimEnd(), ...rest],
    [...toolLines(report, width, style), ...trafficLines(report, width, style)],
    limitLines(report.budgets, width, style),
    disturbanceLines(report, width, style),
    shown.flatMap((finding, i) => [...(i === 0 ? [] : ['']), ...findingLines(finding, width, style)]),
    findings.length > MOST ? [`  and ${findings.length - MOST} more in the report`] : [],
    // A path is for copying: it is never cut, even where it is wider than the terminal.
    options.paths.map((path) => `  ${printable(path, style)}`),
  ]
  return `${blocks
    .filter((block) => block.length > 0)
    .map((block) => block.join('\n'))
    .join('\n\n')}\n`
}
