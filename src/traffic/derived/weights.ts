/** How often each operation comes. */
import type { Pools, TableShape } from '../../values/types.js'
import type { Activity, Draft, Kind } from './types.js'

type Shares = Readonly<Partial<Record<Kind, number>>>

/** Of the reads, and of the writes, in a table that has all of them; judgement, not measurement. */
const READS: Shares = { key: 45, unique: 15, filter: 20, list: 5, join: 15 }
const WRITES: Shares = { update: 55, insert: 30, upsert: 12, delete: 3 }
const READ_SHARE = 0.8
/** No table of a busy database is quite without arrivals. */
const LEAST = 0.001
/** Of all arrivals, what the tables that the migrations name get at least. */
const TOUCHED_SHARE = 0.5

/** Shares of one table's arrivals for its reads and writes. */
interface Mix {
  reads: number
  writes: number
  shares: Shares
}

/** One weight for each draft, in their order. The sum is 1,000 before the share of touched tables is raised. */
export function weigh(
  drafts: readonly Draft[],
  pools: Pools,
  touched: ReadonlySet<string>,
  activity: ReadonlyMap<string, Activity> | null,
): number[] {
  const tables = [...new Set(drafts.map(({ table }) => table))]
  const sizes = new Map(tables.map((table) => [table, sizeOf(table, pools, activity)]))
  const all = [...sizes.values()].reduce((a, b) => a + b, 0)
  const largest = Math.max(...sizes.values())
  const weights = new Map<Draft, number>()
  for (const table of tables) {
    const own = drafts.filter((draft) => draft.table === table)
    const weight = (1_000 * Math.max(sizes.get(table) ?? 0, largest * LEAST)) / all
    const mix = mixOf(activity?.get(table.name) ?? null)
    for (const side of [READS, WRITES]) {
      const members = own.filter(({ does }) => does in side)
      const sum = members.reduce((s, draft) => s + (mix.shares[draft.does] ?? 0) / alike(own, draft), 0)
      const share = side === READS ? mix.reads : mix.writes
      for (const draft of members)
        weights.set(draft, (weight * share * (mix.shares[draft.does] ?? 0)) / alike(own, draft) / (sum || 1))
    }
  }
  const list = drafts.map((draft) => weights.get(draft) ?? 0)
  return raise(
    list,
    drafts.map(({ table }) => touched.has(table.name)),
  ).map((weight) => Number(Math.max(weight, 1e-6).toPrecision(4)))
}

const alike = (drafts: readonly Draft[], { does }: Draft): number =>
  drafts.filter((draft) => draft.does === does).length

/** Raises the touched ones so that they have at least their share of the sum. */
export function raise(weights: readonly number[], touched: readonly boolean[]): number[] {
  const sum = (which: boolean): number => weights.reduce((s, weight, i) => (touched[i] === which ? s + weight : s), 0)
  const [ours, others] = [sum(true), sum(false)]
  const wanted = (others * TOUCHED_SHARE) / (1 - TOUCHED_SHARE)
  if (ours === 0 || ours >= wanted) return [...weights]
  return weights.map((weight, i) => (touched[i] ? (weight * wanted) / ours : weight))
}

/** Production's own counts; else the logarithm of the rows: a table a thousand times larger is not asked a thousand times more. */
function sizeOf(table: TableShape, pools: Pools, activity: ReadonlyMap<string, Activity> | null): number {
  if (activity !== null && activity.size > 0) {
    const counted = activity.get(table.name)
    return counted ? reads(counted) + writes(counted) : 0
  }
  return Math.log2(2 + Math.max(0, table.rows, pools.rows.get(table.name)?.length ?? 0))
}

const reads = ({ seqScan, idxScan }: Activity): number => seqScan + idxScan
const writes = ({ inserted, updated, deleted }: Activity): number => inserted + updated + deleted

/** Upserts and deletes of production are among what it counts as inserted, updated and deleted. */
function mixOf(counted: Activity | null): Mix {
  const all = counted === null ? 0 : reads(counted) + writes(counted)
  if (counted === null || all === 0)
    return { reads: READ_SHARE, writes: 1 - READ_SHARE, shares: { ...READS, ...WRITES } }
  const { inserted, updated, deleted, seqScan, idxScan } = counted
  const written = Math.max(1, writes(counted))
  // Never 0: what the application does once a day is in its code all the same.
  const share = (count: number, of: number): number => 1 + (99 * count) / Math.max(1, of)
  const lists = share(seqScan, reads(counted))
  const indexed = share(idxScan, reads(counted)) / 95
  return {
    reads: Math.max(reads(counted) / all, LEAST),
    writes: Math.max(writes(counted) / all, LEAST),
    shares: {
      ...Object.fromEntries(Object.entries(READS).map(([kind, part]) => [kind, part * indexed])),
      list: lists,
      update: share(updated, written),
      insert: share(inserted, written) * 0.8,
      upsert: share(inserted, written) * 0.2,
      delete: share(deleted, written),
    },
  }
}
