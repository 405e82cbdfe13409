import type { Finding, PlanChange, PlanComparison, PlanNode, QueryTiming } from '../../recording.js'
import { formatCount } from '../../units.js'
import { quoteQualified } from '../../sql/identifiers.js'
import type { Facts } from '../facts.js'
import { count, finding, ms, operationsInWords } from '../words.js'

/** From so many rows on, reading a table from beginning to end is felt. */
export const MANY_ROWS = 10_000
/** A scan that keeps a larger share than this of what it reads is the right plan for what was asked. */
const SELECTIVE = 0.1
/** A scan that reads less than this share of the table was ended early, and does not grow with the table. */
const WHOLE = 0.5

interface Scan {
  timing: QueryTiming
  plan: PlanComparison
  relation: string
  node: PlanNode
  lasts: boolean
}

/**
 * Plans that are other ones after the migration. A sequential scan that was not there before, that lasts after VACUUM
 * ANALYZE, looks for few rows and reads a table that is large here or in production is a warning, however fast it is on
 * the data here: it grows with the table. Whatever else changed is information.
 */
export function plansChange(facts: Facts): Finding[] {
  const timings = facts.quiet?.timings ?? []
  const scans = timings.flatMap((timing) =>
    timing.plans.flatMap((plan) => newScans(timing, plan).filter((scan) => isLarge(facts, scan))),
  )
  const relations = [...new Set(scans.filter((scan) => scan.lasts).map((scan) => scan.relation))]
  const warned = new Set(scans.filter((scan) => scan.lasts).map((scan) => scan.plan))
  const others = timings.flatMap((timing) =>
    timing.plans.flatMap((plan) => (warned.has(plan) ? [] : [{ timing, plan: worthTelling(facts, plan) }])),
  )
  return [
    ...relations.map((relation) =>
      scanFinding(
        facts,
        relation,
        scans.filter((scan) => scan.lasts && scan.relation === relation),
      ),
    ),
    ...otherFindings(others),
  ]
}

/** A table of a few pages is read this way or that as its dead rows come and go: whatever the plan, it costs nothing. */
const FEW_ROWS = 1_000

/** Without what is about small tables, unless an index of them is gone. */
function worthTelling(facts: Facts, plan: PlanComparison): PlanComparison {
  const isSmall = (relation: string): boolean => {
    const here = facts.rowsHere(relation)
    return here !== null && here < FEW_ROWS && (facts.productionRows(relation) ?? 0) < FEW_ROWS
  }
  const read = [plan.before, plan.after, plan.settled].flatMap(
    (one) => one?.nodes.flatMap((node) => node.relation ?? []) ?? [],
  )
  // A sort or a join is of all tables that the statement reads.
  const allSmall = read.length > 0 && read.every(isSmall)
  const tells = ({ kind, relation }: PlanChange): boolean =>
    kind === 'index gone' || (relation === null ? !allSmall : !isSmall(relation))
  return { ...plan, changes: plan.changes.filter(tells), lasting: plan.lasting.filter(tells) }
}

/** Sequential scans that the statement had not before: in the lasting plan where that is known. */
function newScans(timing: QueryTiming, plan: PlanComparison): Scan[] {
  const lasts = plan.settled !== null
  const later = plan.settled ?? plan.after
  return (lasts ? plan.lasting : plan.changes).flatMap((change) => {
    if (change.kind !== 'sequential scan' || change.relation === null) return []
    const node = later?.nodes
      .filter((one) => one.node === 'Seq Scan' && one.relation === change.relation)
      .sort((a, b) => (b.rowsRead ?? 0) - (a.rowsRead ?? 0))[0]
    return node ? [{ timing, plan, relation: change.relation, node, lasts }] : []
  })
}

function isLarge(facts: Facts, { node, relation }: Scan): boolean {
  const read = node.rowsRead ?? 0
  if (read === 0 || (node.rows ?? 0) > SELECTIVE * read) return false
  const here = facts.rowsHere(relation) ?? read
  return read > MANY_ROWS || ((facts.productionRows(relation) ?? 0) > MANY_ROWS && read >= WHOLE * here)
}

function scanFinding(facts: Facts, relation: string, scans: readonly Scan[]): Finding {
  const operations = distinct(scans.map((scan) => scan.timing))
  const lost = scans
    .flatMap((scan) => scan.plan.lasting)
    .find(
      (change) =>
        change.index !== null && change.relation === relation && /^index (?:gone|not used)$/.test(change.kind),
    )
  const read = Math.max(...scans.map((scan) => scan.node.rowsRead ?? 0))
  const production = facts.productionRows(relation)
  const worst = [...operations].sort((a, b) => (b.settledRatio?.value ?? 0) - (a.settledRatio?.value ?? 0))[0]
  return finding(
    'plan-changed',
    'warn',
    `${operationsInWords(operations)} ${operations.length === 1 ? 'reads' : 'read'} ${relation} from beginning to end after the migration`,
    {
      relation,
      at: lost?.kind === 'index gone' ? facts.at(droppedAt(facts, lost)) : null,
      evidence: [
        `A sequential scan that was not there before, of ${count(read, 'row')} here${production === null ? '' : `; production has ${formatCount(production)}`}. It lasts: it is the plan after VACUUM ANALYZE, too.`,
        ...(lost ? [sentence(lost.text)] : []),
        ...(worst?.before && worst.settled
          ? [
              `${worst.operation}: ${ms(worst.before.medianMs)} before, ${ms(worst.settled.medianMs)} now, with the rows here.`,
            ]
          : []),
      ],
      advice: {
        text: lost
          ? `Keep an index that these queries can use, or build the one that takes its place, concurrently, before ${lost.index} goes.`
          : 'Look for what keeps the planner from the index: a changed type, an expression, a predicate.',
        sql: null,
      },
    },
  )
}

/** The statement that took the index's strongest lock: the one that dropped it, or the table's column. */
const droppedAt = (facts: Facts, { index }: PlanChange): string | null =>
  facts.quiet?.migration.statements.find((run) =>
    run.work?.locks.some((lock) => lock.relation === index && lock.mode === 'ACCESS EXCLUSIVE'),
  )?.statement ?? null

interface Other {
  timing: QueryTiming
  plan: PlanComparison
}

const MOST_LINES = 8

/** One finding for what passes with ANALYZE and one for what stays, each with its lines grouped by what changed. */
function otherFindings(others: readonly Other[]): Finding[] {
  const [passing, lasting] = [
    grouped(others, (plan) => (plan.settled === null || plan.lasting.length > 0 ? [] : plan.changes)),
    grouped(others, (plan) => (plan.settled === null ? plan.changes : plan.lasting)),
  ]
  const made = (lines: readonly Line[], title: string, advice: Finding['advice']): Finding[] =>
    lines.length === 0
      ? []
      : [
          finding(
            'plan-changed',
            'info',
            title.replace('%', operationsInWords(distinct(lines.flatMap((l) => l.timings)))),
            {
              evidence: [
                ...lines
                  .slice(0, MOST_LINES)
                  .map((line) => `${operationsInWords(distinct(line.timings))}: ${line.text}.`),
                ...(lines.length > MOST_LINES ? [`And ${lines.length - MOST_LINES} more.`] : []),
              ],
              advice,
            },
          ),
        ]
  const tables = [...new Set(passing.flatMap((line) => line.relations))]
  return [
    ...made(passing, 'Until autovacuum has been there, other plans than before: %', {
      text: 'End the migration with ANALYZE of what it changed; a large table waits long for autovacuum.',
      sql: tables.length > 0 ? tables.map((table) => `ANALYZE ${quoteQualified(table)};`).join('\n') : null,
    }),
    ...made(lasting, 'Other plans than before the migration: %', null),
  ]
}

interface Line {
  text: string
  timings: QueryTiming[]
  relations: string[]
}

function grouped(others: readonly Other[], of: (plan: PlanComparison) => readonly PlanChange[]): Line[] {
  const lines = new Map<string, Line>()
  for (const { timing, plan } of others) {
    const changes = of(plan)
    if (changes.length === 0) continue
    const text = changes.map((change) => change.text).join('; ')
    const line = lines.get(text) ?? { text, timings: [], relations: changes.flatMap((change) => change.relation ?? []) }
    line.timings.push(timing)
    lines.set(text, line)
  }
  return [...lines.values()].sort((a, b) => b.timings.length - a.timings.length)
}

const distinct = (timings: readonly QueryTiming[]): QueryTiming[] => [...new Set(timings)]

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
