/** What a value must be, as collected from a type, its domains and the checks of its table. */

/** Bounds are numbers, or milliseconds since 1970 (of the day for `time`, long for `interval`) where the type is one of time. */
export interface Want {
  nullness: 'null' | 'not null' | null
  /** Values as texts; null when any. */
  oneOf: readonly string[] | null
  noneOf: readonly string[]
  min: number
  max: number
  /** The bound itself is not permitted. */
  minOpen: boolean
  maxOpen: boolean
  /** In characters. */
  minLength: number
  maxLength: number
  /** Regular expressions of JavaScript that the text must match. */
  patterns: readonly string[]
  letters: 'lower' | 'upper' | null
  /** Elements of an array. */
  minItems: number
  maxItems: number
  /** What jsonb_typeof gives. */
  json: string | null
}

export const ANYTHING: Readonly<Want> = Object.freeze({
  nullness: null,
  oneOf: null,
  noneOf: [],
  min: -Infinity,
  max: Infinity,
  minOpen: false,
  maxOpen: false,
  minLength: 0,
  maxLength: Infinity,
  patterns: [],
  letters: null,
  minItems: 0,
  maxItems: Infinity,
  json: null,
})

/** Both at once; null when they contradict each other. */
export function both(a: Readonly<Want>, b: Readonly<Partial<Want>>): Want | null {
  const nullness = agree(a.nullness, b.nullness ?? null)
  const letters = agree(a.letters, b.letters ?? null)
  const json = agree(a.json, b.json ?? null)
  if (nullness === undefined || letters === undefined || json === undefined) return null
  const noneOf = b.noneOf ? [...a.noneOf, ...b.noneOf] : a.noneOf
  let oneOf = a.oneOf && b.oneOf ? intersection(a.oneOf, b.oneOf) : (a.oneOf ?? b.oneOf ?? null)
  if (oneOf !== null && noneOf.length > 0) oneOf = oneOf.filter((value) => !noneOf.includes(value))
  if (oneOf?.length === 0) return null
  const [bMin, bMax] = [b.min ?? -Infinity, b.max ?? Infinity]
  const merged: Want = {
    nullness,
    oneOf,
    noneOf,
    min: Math.max(a.min, bMin),
    max: Math.min(a.max, bMax),
    minOpen: (a.minOpen && a.min >= bMin) || ((b.minOpen ?? false) && bMin >= a.min),
    maxOpen: (a.maxOpen && a.max <= bMax) || ((b.maxOpen ?? false) && bMax <= a.max),
    minLength: Math.max(a.minLength, b.minLength ?? 0),
    maxLength: Math.min(a.maxLength, b.maxLength ?? Infinity),
    patterns: b.patterns ? [...a.patterns, ...b.patterns] : a.patterns,
    letters,
    minItems: Math.max(a.minItems, b.minItems ?? 0),
    maxItems: Math.min(a.maxItems, b.maxItems ?? Infinity),
    json,
  }
  const possible =
    merged.min <= merged.max && merged.minLength <= merged.maxLength && merged.minItems <= merged.maxItems
  return possible ? merged : null
}

/** The one that is told, null when none is, undefined when they differ. */
function agree<T>(a: T | null, b: T | null): T | null | undefined {
  if (a === null || b === null) return a ?? b
  return a === b ? a : undefined
}

/** Duplicates stay as they are in the first list; a text list is compared letter by letter. */
const intersection = (a: readonly string[], b: readonly string[]): string[] => a.filter((value) => b.includes(value))
