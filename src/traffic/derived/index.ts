/**
 * Traffic for an application whose code is not known: what an ORM would send for its schema. The old release's schema
 * gives the old code and the new one's the new code, so that what a migration takes away breaks what would have used it.
 */
import { normaliseSql } from '../../sql/normalise.js'
import { CannotMake, type SchemaShape, type TableShape } from '../../values/types.js'
import type { Release } from '../../recording.js'
import type { Step } from '../operation.js'
import { Random } from '../random.js'
import { coverage, isJournal } from './coverage.js'
import { deleteDraft } from './deletes.js'
import { insertDraft, upsertDraft } from './inserts.js'
import { operationName } from './names.js'
import { joinDrafts, readDrafts } from './reads.js'
import { Rows } from './rows.js'
import type { Derived, DerivedOperation, DeriveOptions, Draft, Drafts, LeftOut } from './types.js'
import { updateDrafts } from './updates.js'
import { weigh } from './weights.js'

export { coverage } from './coverage.js'
export type { Activity, Coverage, Derived, DerivedOperation, DeriveOptions, LeftOut } from './types.js'
export { verifyOperations, type Verified, type VerifyOptions } from './verify.js'

const MOST_OPERATIONS = 400
const FILE = 'derived from the schema'

/**
 * All operations for the tables of a schema, weighted. Draws from nothing but the pools and the streams that its
 * operations are bound with. What cannot be made is left out and named; that what is made works is for
 * `verifyOperations` to say.
 */
export function deriveOperations(options: DeriveOptions): Derived {
  const { shape, pools, touched, release, activity = null } = options
  const rows = new Rows(options.maker)
  const leftOut: LeftOut[] = []
  const leave = (what: string, reason: string): void => {
    leftOut.push({ what, calls: null, reason })
  }
  const taken = new Set<string>()
  const made = new Map<TableShape, Draft[]>()
  const asked = shape.tables.filter((table) => table.kind !== 'partition' && notAsked(table, options.exclude) === null)
  for (const table of shape.tables) {
    if (table.kind === 'partition') continue
    const reason = notAsked(table, options.exclude)
    if (reason !== null) {
      leave(table.name, reason)
      continue
    }
    const { drafts, leftOut: without } = draftsOf(shape, asked, table, rows)
    for (const { name, reason: why } of without) leave(`${table.name}/${name}`, why)
    for (const draft of distinct(drafts)) {
      const why = cannotDraw(draft)
      if (why !== null) leave(`${draft.table.name}/${draft.name}`, why)
      // What lists a parent's children is about the parent, whichever of them it was made for.
      else made.set(draft.table, [...(made.get(draft.table) ?? []), draft])
    }
  }
  const kept = within(shape, made, touched, options.most ?? MOST_OPERATIONS, leave)
  const weights = weigh(kept, pools, touched, activity)
  const operations = kept.map((draft, i) =>
    toOperation(draft, release, operationName(draft.table.name, draft.name, taken), weights[i] ?? 0),
  )
  return { operations, ...coverage(shape, operations), leftOut }
}

/** Why a table is left alone; null when it is not. */
function notAsked(table: TableShape, exclude: ReadonlySet<string>): string | null {
  if (isJournal(table)) return 'a migration tool keeps its journal in it'
  if (exclude.has(table.name)) return 'excluded by traffic.exclude'
  return table.kind === 'foreign' ? 'a foreign table: what it stands for is not here' : null
}

function draftsOf(shape: SchemaShape, asked: readonly TableShape[], table: TableShape, rows: Rows): Drafts {
  const found: Drafts = { drafts: [], leftOut: [] }
  const { select, insert, update, delete: remove } = table.may
  const add = (name: string, missing: string | null, make: () => Drafts): void => {
    const { drafts, leftOut } =
      missing === null
        ? make()
        : { drafts: [], leftOut: [{ name, reason: `the application's role has no ${missing} privilege` }] }
    found.drafts.push(...drafts)
    found.leftOut.push(...leftOut)
  }
  const first = (...rights: [boolean, string][]): string | null => rights.find(([may]) => !may)?.[1] ?? null
  add('read', first([select, 'SELECT']), () => readDrafts(table, rows))
  if (select) found.drafts.push(...joinDrafts(asked, table, rows))
  // A row to change is found by its columns.
  add('update', first([update, 'UPDATE'], [select, 'SELECT']), () => updateDrafts(shape, table, rows))
  if (table.kind === 'partitioned' && table.partitionBounds.length === 0) {
    found.leftOut.push({ name: 'insert', reason: 'it has no partition that would take a row' })
    return found
  }
  add('insert', first([insert, 'INSERT']), () => ({ drafts: [insertDraft(table, asked, rows)], leftOut: [] }))
  if (insert && update && select) add('upsert', null, () => upsertDraft(shape, table, rows))
  if (insert && select) add('delete', first([remove, 'DELETE']), () => deleteDraft(shape, table, rows))
  return found
}

/** An index on what a key begins with asks the same question twice. */
function distinct(drafts: readonly Draft[]): Draft[] {
  const seen = new Set<string>()
  return drafts.filter((draft) => {
    const text = draft.statements.map((one) => one.text).join(';')
    return !seen.has(text) && seen.add(text)
  })
}

function cannotDraw(draft: Draft): string | null {
  try {
    draft.draw(new Random('derive').fork(draft.name))
    return null
  } catch (error) {
    if (error instanceof CannotMake) return error.reason
    throw error
  }
}

/**
 * Keeps to the number of operations: tables that the migrations name come first, then what is tied to them by a foreign
 * key, then the larger ones. The others keep one read, the insert and one update.
 */
function within(
  shape: SchemaShape,
  made: ReadonlyMap<TableShape, readonly Draft[]>,
  touched: ReadonlySet<string>,
  most: number,
  leave: (what: string, reason: string) => void,
): Draft[] {
  const near = (table: TableShape): boolean =>
    table.foreignKeys.some(({ target }) => touched.has(target)) ||
    shape.tables.some(({ name, foreignKeys }) => touched.has(name) && foreignKeys.some((k) => k.target === table.name))
  const rank = (table: TableShape): number => (touched.has(table.name) ? 0 : near(table) ? 1 : 2)
  const order = [...made.keys()].sort((a, b) => rank(a) - rank(b) || b.rows - a.rows)
  const short = new Map(order.map((table) => [table, shortened(made.get(table) ?? [])]))
  let room = most - [...short.values()].reduce((sum, drafts) => sum + drafts.length, 0)
  const kept = new Set<Draft>()
  let fewer = 0
  let dropped = 0
  for (const table of order) {
    const all = made.get(table) ?? []
    const few = short.get(table) ?? []
    const more = all.length - few.length
    const whole = rank(table) === 0 || more <= room
    if (whole) room -= more
    else {
      fewer++
      dropped += more
    }
    for (const draft of whole ? all : few) kept.add(draft)
  }
  if (fewer > 0)
    leave(
      `${dropped} operations on ${fewer} tables`,
      `the schema would give more than ${most}: tables that no pending migration names keep a read, an insert and an update`,
    )
  return [...made.values()].flat().filter((draft) => kept.has(draft))
}

function shortened(drafts: readonly Draft[]): Draft[] {
  const first = (...kinds: string[]): Draft[] => {
    const found = kinds.flatMap((kind) => drafts.find(({ does }) => does === kind) ?? [])
    return found.slice(0, 1)
  }
  return [...first('key', 'unique', 'filter', 'list'), ...first('update'), ...first('insert')]
}

function toOperation(draft: Draft, release: Release, name: string, weight: number): DerivedOperation {
  const { statements, transaction, table, does, reads, writes } = draft
  const texts = statements.map(({ text }) => text)
  const control = (text: string): Step => ({ kind: 'statement', bound: { text, params: [] }, line: 1 })
  return {
    kind: 'script',
    source: 'derived',
    release,
    name,
    table: table.name,
    weight,
    prepared: true,
    file: FILE,
    line: 1,
    normalisedSql: (transaction ? ['begin', ...texts, 'commit'] : texts).map(normaliseSql),
    statementTexts: [...new Set(texts)],
    does,
    reads,
    writes,
    bind(_variables, random) {
      const drawn = draft.draw(random)
      const steps = statements.map((one): Step => ({ kind: 'statement', bound: one.bind(drawn), line: 1 }))
      return transaction ? [control('begin'), ...steps, control('commit')] : steps
    },
  }
}
