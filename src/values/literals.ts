/** Text forms of values that have parts (documentation, "Array Input and Output Syntax", "Composite Types"). */

const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`

/** `{a,"b c",NULL}`. Elements that are arrays themselves are given as finished literals in `nested`. */
export const arrayLiteral = (items: readonly (string | null)[], nested = false): string =>
  `{${items.map((item) => (item === null ? 'NULL' : nested ? item : quoted(item))).join(',')}}`

/** `(a,"b c",)`: nothing between the commas is NULL. */
export const compositeLiteral = (items: readonly (string | null)[]): string =>
  `(${items.map((item) => (item === null ? '' : `"${item.replace(/["\\]/g, '$&$&')}"`)).join(',')})`

/** Top-level elements of an array literal, null where it is no array of one dimension. */
export function parseArray(text: string): (string | null)[] | null {
  if (!text.startsWith('{') || !text.endsWith('}')) return null
  const items: (string | null)[] = []
  let item = ''
  let wasQuoted = false
  let inQuotes = false
  const inner = text.slice(1, -1)
  if (inner === '') return items
  const push = (): void => {
    items.push(!wasQuoted && item.toUpperCase() === 'NULL' ? null : item)
    item = ''
    wasQuoted = false
  }
  for (let i = 0; i < inner.length; i++) {
    const c = inner[i] ?? ''
    if (c === '\\') item += inner[++i] ?? ''
    else if (c === '"') {
      inQuotes = !inQuotes
      wasQuoted = true
    } else if (inQuotes) item += c
    else if (c === '{') return null
    else if (c === ',') push()
    else item += c
  }
  push()
  return items
}
