/** What is different between two plans of one statement, in the field's words. Pure. */
import type { Plan, PlanChange, PlanNode } from '../../recording.js'
import type { Names } from './names.js'
import type { RawPlan } from './plan.js'

/** An estimate that is wrong by this factor leads planners astray; below so many rows it does not matter. */
const WRONG_BY = 10
const ROWS_THAT_MATTER = 1_000
/** A nested loop over fewer rows is what nested loops are for. */
const MANY_LOOPS = 1_000

/** The later side's plan, its relations by their names before the migration. */
export const renamed = ({ plan }: RawPlan, names: Names): Plan => ({
  ...plan,
  nodes: plan.nodes.map((node) => ({
    ...node,
    relation: node.relation === null ? null : names.relation(node.relation),
  })),
})

/** Whether both have the same nodes on the same relations and indexes, whatever these are called. */
export function sameShape(before: RawPlan, after: RawPlan, names: Names): boolean {
  const shape = (nodes: readonly PlanNode[], index: (name: string) => string | null): string =>
    JSON.stringify(
      nodes.map((node) => [
        node.depth,
        node.node,
        node.relation,
        node.index === null ? null : (index(node.index) ?? [node.index]),
      ]),
    )
  return shape(before.plan.nodes, (name) => name) === shape(renamed(after, names).nodes, names.index)
}

/** `before` from the copy without the migration, `after` from the one with it. */
export function changesOf(before: RawPlan, after: RawPlan, names: Names): PlanChange[] {
  const was = before.plan.nodes
  const is = renamed(after, names).nodes
  const changes: PlanChange[] = []
  const add = (kind: PlanChange['kind'], text: string, relation: string | null, index: string | null = null): void =>
    void changes.push({ kind, relation, index, text })

  const lost = without(indexesOf(was), new Set(indexesOf(is).map((name) => names.index(name) ?? '')))
  const had = new Set(indexesOf(was))
  const gained = indexesOf(is).filter((name) => !had.has(names.index(name) ?? ''))
  for (const index of lost) {
    const table = names.tableOf(index)
    const instead = gained.find((name) => names.tableOf(name) === table)
    const end = instead === undefined ? '' : `: ${instead} is used instead`
    if (names.isThere(index)) add('index not used', `index ${index} is no longer used${end}`, table, index)
    else add('index gone', `index ${index} is gone${end}`, table, index)
  }
  for (const index of gained)
    if (!lost.some((one) => names.tableOf(one) === names.tableOf(index)))
      add('index used', `index ${index} is used now`, names.tableOf(index), index)

  for (const relation of new Set(is.flatMap((node) => (isSequential(node) ? (node.relation ?? []) : [])))) {
    const scans = (nodes: readonly PlanNode[]): number =>
      nodes.filter((node) => isSequential(node) && node.relation === relation).length
    if (scans(is) > scans(was)) add('sequential scan', `new sequential scan of ${relation}`, relation)
  }

  const sorts = (nodes: readonly PlanNode[]): PlanNode[] => nodes.filter((node) => /\bSort$/.test(node.node))
  if (sorts(is).length > sorts(was).length) {
    const rows = Math.max(0, ...sorts(is).map((node) => node.rows ?? 0))
    add('sort', `new sort of ${count(rows)}`, null)
  }
  const loops = (nodes: readonly PlanNode[], totals: readonly number[]): number[] =>
    nodes.flatMap((node, i) => (node.node === 'Nested Loop' ? [totals[i + 1] ?? 0] : []))
  const [loopsBefore, loopsAfter] = [loops(was, before.totals), loops(is, after.totals)]
  const longest = Math.max(0, ...loopsAfter)
  if (longest >= MANY_LOOPS && longest > 2 * Math.max(0, ...loopsBefore))
    add('nested loop', `nested loop over ${count(longest)}`, null)
  if ((before.plan.temporaryPages ?? 0) === 0 && (after.plan.temporaryPages ?? 0) > 0)
    add('temporary files', `writes to temporary files: ${after.plan.temporaryPages} pages written and read`, null)

  changes.push(...estimates(was, is, names))
  if (changes.length === 0 && !sameShape(before, after, names)) add('other', otherNodes(was, is), null)
  return changes
}

const isSequential = (node: PlanNode): boolean => node.node === 'Seq Scan'

const indexesOf = (nodes: readonly PlanNode[]): string[] => [...new Set(nodes.flatMap((node) => node.index ?? []))]

const without = (names: readonly string[], others: ReadonlySet<string>): string[] =>
  names.filter((name) => !others.has(name))

const count = (rows: number): string =>
  `${Math.round(rows)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',')} ${Math.round(rows) === 1 ? 'row' : 'rows'}`

/** Scans whose estimate was right and is wrong now, with the statistics that are missing where some are. */
function estimates(was: readonly PlanNode[], is: readonly PlanNode[], names: Names): PlanChange[] {
  const found: PlanChange[] = []
  for (const relation of new Set(is.flatMap((node) => node.relation ?? []))) {
    const [before, after] = [was, is].map((nodes) => worst(nodes.filter((node) => node.relation === relation)))
    if (!before || !after) continue
    const wrong = after.factor >= WRONG_BY && before.factor < WRONG_BY && after.most >= ROWS_THAT_MATTER
    const missing = names.withoutStatistics(relation)
    const other = Math.max(after.expected, 1) / Math.max(before.expected, 1)
    if (!wrong && !(missing.length > 0 && (other > 2 || other < 0.5))) continue
    const came = `${count(after.expected)} expected, ${numberOf(after.came)} came`
    const columns = missing.map((column) => `${relation}.${column}`)
    found.push(
      columns.length === 0
        ? { kind: 'estimate', relation, index: null, text: `the estimate for ${relation} is wrong: ${came}` }
        : { kind: 'statistics', relation, index: null, text: `statistics of ${listed(columns)} are gone: ${came}` },
    )
  }
  return found
}

const numberOf = (rows: number): string => count(rows).replace(/ rows?$/, '')
const listed = (names: readonly string[]): string =>
  names.length <= 4 ? names.join(', ') : `${names.slice(0, 4).join(', ')} and ${names.length - 4} more`

/** The scan whose estimate is the worst. */
function worst(nodes: readonly PlanNode[]): { factor: number; most: number; expected: number; came: number } | null {
  const known = nodes.flatMap(({ rows, expectedRows }) => {
    if (rows === null || expectedRows === null) return []
    const [came, expected] = [Math.max(rows, 1), Math.max(expectedRows, 1)]
    return [
      { factor: Math.max(came / expected, expected / came), most: Math.max(came, expected), expected, came: rows },
    ]
  })
  return known.sort((a, b) => b.factor - a.factor)[0] ?? null
}

/** `Hash Join instead of Merge Join`. */
function otherNodes(was: readonly PlanNode[], is: readonly PlanNode[]): string {
  const left = (nodes: readonly PlanNode[], others: readonly PlanNode[]): string[] => {
    const rest = others.map((node) => node.node)
    return nodes.flatMap(({ node }) => {
      const at = rest.indexOf(node)
      if (at === -1) return [node]
      rest.splice(at, 1)
      return []
    })
  }
  const [gone, come] = [left(was, is), left(is, was)].map((names) => listed([...new Set(names)]))
  if (come && gone) return `${come} instead of ${gone}`
  return come ? `${come} besides` : gone ? `no ${gone} any more` : 'the same nodes in another order'
}
