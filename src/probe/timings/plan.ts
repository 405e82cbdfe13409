/**
 * Plans from EXPLAIN (ANALYZE, BUFFERS), reduced to what may be recorded: kinds of nodes, names, rows and pages. A
 * prepared statement is explained as the application would run it after its sixth time: with the generic plan where the
 * server prefers that one.
 */
import type { Sql } from '../../pg/connect.js'
import { qualified } from '../../pg/catalog.js'
import type { Plan, PlanNode } from '../../recording.js'
import { statementFacts } from '../../sql/facts.js'
import type { Execution } from './work.js'
import type { TimingSession } from './session.js'

/** A plan with the names of its own side, and what no recording has: rows of all loops. */
export interface RawPlan {
  plan: Plan
  /** Rows that came out of each node in all loops, in the order of `plan.nodes`. */
  totals: number[]
}

const OPTIONS = 'analyze, buffers, verbose, timing off, format json'
/** Runs with a plan made for their values, before the server thinks of a generic plan (plancache.c). */
const CUSTOM_PLANS = 5
/** Plans longer than this are cut. */
const MOST_NODES = 60

/**
 * The plans of one run of the operation, by the position of its statements; null for one that has none (SET, CALL), and
 * for an operation written as code, whose statements are its own affair. Everything is rolled back. Rejects with the
 * server's error.
 */
export function explain(session: TimingSession, execution: Execution): Promise<(RawPlan | null)[] | null> {
  if (execution.kind === 'code') return Promise.resolve(null)
  return session.rolledBack(async (sql) => {
    const plans: (RawPlan | null)[] = []
    for (const { text, params } of execution.statements) {
      if (!isPreparable(text)) {
        await sql.unsafe(text, params, { prepare: false })
        plans.push(null)
      } else if (execution.prepared) plans.push(await explainPrepared(sql, text, params))
      else plans.push(readPlan(await sql.unsafe(`explain (${OPTIONS}) ${text}`, params, { prepare: false })))
    }
    return plans
  })
}

function isPreparable(text: string): boolean {
  try {
    return statementFacts(text).isPreparable
  } catch {
    return false
  }
}

/** Each has a name of its own: ROLLBACK does not take a prepared statement away, and its session ends soon. */
let names = 0

async function explainPrepared(sql: Sql, text: string, params: readonly (string | null)[]): Promise<RawPlan | null> {
  const name = `rehearse_plan_${++names}`
  await sql.unsafe(`prepare ${name} as ${text}`).simple()
  const values = params.length > 0 ? `(${params.map(literal).join(', ')})` : ''
  for (let i = 0; i < CUSTOM_PLANS && params.length > 0; i++)
    await sql.unsafe(`explain (costs off) execute ${name}${values}`).simple()
  return readPlan(await sql.unsafe(`explain (${OPTIONS}) execute ${name}${values}`).simple())
}

const literal = (value: string | null): string => {
  if (value === null) return 'null'
  return value.includes('\\') ? `E'${value.replace(/['\\]/g, '$&$&')}'` : `'${value.replaceAll("'", "''")}'`
}

function readPlan(rows: readonly object[]): RawPlan | null {
  const [first] = rows as readonly Record<string, unknown>[]
  const cell = first?.['QUERY PLAN']
  const parsed: unknown = typeof cell === 'string' ? JSON.parse(cell) : cell
  const top = Array.isArray(parsed) ? (parsed as unknown[])[0] : parsed
  return isNode(top) && isNode(top['Plan']) ? reduce(top['Plan']) : null
}

type Json = Readonly<Record<string, unknown>>
const isNode = (value: unknown): value is Json => typeof value === 'object' && value !== null

const text = (node: Json, field: string): string | null => {
  const value = node[field]
  return typeof value === 'string' ? value : null
}
const number = (node: Json, field: string): number | null => {
  const value = node[field]
  return typeof value === 'number' ? value : null
}

/** Only fields that are named here leave the plan. Exported for tests. */
export function reduce(root: Json): RawPlan {
  const nodes: PlanNode[] = []
  const totals: number[] = []
  const visit = (node: Json, depth: number, schema: string | null): void => {
    if (nodes.length >= MOST_NODES) return
    const loops = number(node, 'Actual Loops') ?? 0
    const rows = loops > 0 ? number(node, 'Actual Rows') : null
    const relation = text(node, 'Relation Name')
    const own = text(node, 'Schema') ?? schema
    const index = text(node, 'Index Name')
    const kind = text(node, 'Node Type') ?? 'unknown'
    const removed = (number(node, 'Rows Removed by Filter') ?? 0) + (number(node, 'Rows Removed by Index Recheck') ?? 0)
    nodes.push({
      node: kind === 'ModifyTable' ? (text(node, 'Operation') ?? kind) : kind,
      relation: relation === null ? null : qualified(own ?? 'public', relation),
      index: index === null ? null : qualified(own ?? 'public', index),
      depth,
      rows,
      expectedRows: number(node, 'Plan Rows'),
      rowsRead: rows === null ? null : Math.round((rows + removed) * loops),
    })
    totals.push((rows ?? 0) * loops)
    const below = node['Plans']
    // A bitmap's index scans do not say whose they are: they are below the scan of the table.
    if (Array.isArray(below)) for (const one of below as unknown[]) if (isNode(one)) visit(one, depth + 1, own)
  }
  visit(root, 0, null)
  const temporary = [number(root, 'Temp Read Blocks'), number(root, 'Temp Written Blocks')]
  return {
    plan: {
      nodes,
      pagesHit: number(root, 'Shared Hit Blocks'),
      pagesRead: number(root, 'Shared Read Blocks'),
      temporaryPages: temporary.includes(null) ? null : temporary.reduce<number>((sum, n) => sum + (n ?? 0), 0),
    },
    totals,
  }
}
