/** Which columns and tables the migration drops, and whether the code of the running release still names them. */
import type { Recording } from '../recording.js'
import { hasChanges, headOf, mergeBase, placeOf, refOf, type Base } from '../scenario/git.js'
import type { SchemaShape, TableShape } from '../values/types.js'

export type TakenAway = NonNullable<Recording['takenAway']>

/** What the shape after the migration lacks. A renamed table or column is the same one by its OID or number. */
export function dropped(before: SchemaShape, after: SchemaShape): { table: string; column: string | null }[] {
  const byOid = new Map(after.tables.map((table) => [table.oid, table]))
  const byName = new Map(after.tables.map((table) => [table.name, table]))
  return before.tables.flatMap((table): { table: string; column: string | null }[] => {
    const same = byOid.get(table.oid)
    // Dropped and made anew under its name: then its columns are told by their names.
    const now = same ?? byName.get(table.name)
    if (!now) return table.kind === 'partition' ? [] : [{ table: table.name, column: null }]
    return table.columns.flatMap((column) =>
      hasColumn(now, same ? column.number : column.name) ? [] : [{ table: table.name, column: column.name }],
    )
  })
}

const hasColumn = (table: TableShape, key: number | string): boolean =>
  table.columns.some((column) => (typeof key === 'number' ? column.number === key : column.name === key))

export interface TakenAwayInput {
  objects: readonly { table: string; column: string | null }[]
  /** Folder of the project. */
  folder: string
  /** The running release, where the user names it. */
  ref: string | null
  /** Paths that are no code of the application, such as the migrations. */
  without: readonly string[]
}

/** null when nothing is dropped. Looks at most at 50 objects. */
export async function takenAway({ objects, folder, ref, without }: TakenAwayInput): Promise<TakenAway | null> {
  if (objects.length === 0) return null
  const base = await runningRelease(folder, ref)
  if (base === null) return { ref: null, objects: objects.map((object) => ({ ...object, place: null })) }
  const found: TakenAway['objects'] = []
  for (const object of objects.slice(0, 50)) {
    const tables = spellings(bare(object.table))
    const words = object.column === null ? tables : spellings(object.column)
    found.push({
      ...object,
      place: await placeOf(folder, base, words, [...tables, ...singulars(bare(object.table))], without),
    })
  }
  return { ref: base.label, objects: found }
}

/** The commit whose code is running now; null when it cannot be told from what is checked out. */
async function runningRelease(folder: string, ref: string | null): Promise<Base | null> {
  if (ref !== null) return refOf(folder, ref)
  const base = await mergeBase(folder)
  // On the default branch itself the migration's own release is checked out.
  if (base !== null && base.commit === (await headOf(folder)) && !(await hasChanges(folder))) return null
  return base
}

const bare = (name: string): string => name.slice(name.lastIndexOf('.') + 1)

const camel = (name: string): string => name.replace(/_+([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase())
const upperFirst = (name: string): string => name.slice(0, 1).toUpperCase() + name.slice(1)

/** As SQL and as ORMs spell it: `last_seen`, `lastSeen`. */
const spellings = (name: string): string[] => [...new Set([name, camel(name)])]

/** Model classes are named after one row: `orders` is `Order`, `categories` is `Category`. */
function singulars(table: string): string[] {
  const one = table.endsWith('ies') ? `${table.slice(0, -3)}y` : table.endsWith('s') ? table.slice(0, -1) : table
  return [...new Set([upperFirst(camel(table)), camel(one), upperFirst(camel(one))])]
}
