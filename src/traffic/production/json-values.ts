/** Keys and parts of JSON values, for operators of json and jsonb. Pure. */
import type { Random } from '../random.js'

/** The parsed value; null when it is none. */
export function parsed(text: string | null | undefined): unknown {
  if (text === null || text === undefined) return null
  try {
    return JSON.parse(text) as unknown
  } catch {
    return null
  }
}

/** The value below the keys; positions of arrays are keys, too. */
export function below(value: unknown, path: readonly string[]): unknown {
  let at = value
  for (const key of path) {
    if (typeof at !== 'object' || at === null) return null
    at = Array.isArray(at) ? (at as unknown[])[Number(key)] : (at as Record<string, unknown>)[key]
  }
  return at ?? null
}

/** A key of the object or a position in the array; null when it has none. Keys with plain values come first. */
export function keyOf(value: unknown, random: Random): string | null {
  if (typeof value !== 'object' || value === null) return null
  const keys = Object.keys(value)
  const plain = keys.filter((key) => typeof (value as Record<string, unknown>)[key] !== 'object')
  const choice = plain.length > 0 ? plain : keys
  return choice.length === 0 ? null : random.pick(choice)
}

/** As `->>` gives it. */
export const asText = (value: unknown): string | null =>
  value === null || value === undefined ? null : typeof value === 'string' ? value : JSON.stringify(value)

/** A value that the given one contains by `@>`: one of its keys, or one of its items. */
export function partOf(value: unknown, random: Random): string {
  const key = keyOf(value, random)
  if (Array.isArray(value)) return key === null ? '[]' : JSON.stringify([(value as unknown[])[Number(key)]])
  if (key === null) return typeof value === 'object' ? '{}' : JSON.stringify(value)
  return JSON.stringify({ [key]: (value as Record<string, unknown>)[key] })
}
