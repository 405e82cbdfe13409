/**
 * COPY's text format (documentation, COPY, "File Formats"): columns parted by a tab, rows ended by a line feed, `\N`
 * for NULL, and a backslash before each of the four characters that would be read as structure.
 */
import type { SeedValue } from './define.js'

/** What a column's type makes of an object: JSON text, an array literal, or neither. */
export type ColumnKind = 'json' | 'array' | 'scalar'

/** A value that has no text form in its column. The message names the problem, never the value. */
export class UnencodableValue extends Error {}

const STRUCTURE = /[\\\t\n\r]/
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }

/** Text as one field of COPY. */
export function escapeField(text: string): string {
  return STRUCTURE.test(text) ? text.replace(/[\\\t\n\r]/g, (c) => ESCAPES[c] ?? c) : text
}

/** One value as a field of COPY text. Throws UnencodableValue. */
export function encodeField(value: SeedValue | undefined, kind: ColumnKind): string {
  switch (typeof value) {
    case 'string':
      return escapeField(value)
    case 'number':
    case 'boolean':
    case 'bigint':
      return String(value)
    case 'undefined':
      throw new UnencodableValue('the row has no value for it; NULL is written null')
    default:
      return value === null ? '\\N' : escapeField(objectText(value, kind))
  }
}

function objectText(value: object, kind: ColumnKind): string {
  if (kind === 'json') return json(value)
  if (value instanceof Date) return instant(value)
  if (value instanceof Uint8Array) return bytea(value)
  if (Array.isArray(value)) {
    if (kind === 'array') return arrayLiteral(value)
    throw new UnencodableValue('an array for a column that is neither an array nor JSON')
  }
  throw new UnencodableValue('an object for a column that is not JSON')
}

function json(value: object): string {
  try {
    const text: unknown = JSON.stringify(value)
    if (typeof text === 'string') return text
  } catch {
    // Circular, or a bigint inside: reported below without the value.
  }
  throw new UnencodableValue('cannot be written as JSON')
}

function instant(value: Date): string {
  const year = value.getUTCFullYear()
  // PostgreSQL does not read the signed six-digit years that toISOString gives outside this range.
  if (!(year >= 1 && year <= 9999)) throw new UnencodableValue('not a date between the years 1 and 9999')
  return value.toISOString()
}

function bytea(value: Uint8Array): string {
  return '\\x' + Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')
}

/** The array's input form (documentation, "Array Value Input"), every text element quoted. */
function arrayLiteral(items: readonly unknown[]): string {
  return '{' + items.map(arrayElement).join(',') + '}'
}

function arrayElement(item: unknown): string {
  if (item === null) return 'NULL'
  switch (typeof item) {
    case 'number':
    case 'boolean':
    case 'bigint':
      return String(item)
    case 'string':
      return quoted(item)
    case 'object':
      if (Array.isArray(item)) return arrayLiteral(item)
      if (item instanceof Date || item instanceof Uint8Array) return quoted(objectText(item, 'scalar'))
      return quoted(json(item))
    default:
      throw new UnencodableValue('an array element that is not a value')
  }
}

const quoted = (text: string): string => '"' + text.replace(/["\\]/g, '\\$&') + '"'
