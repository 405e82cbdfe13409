/** Text that others wrote (names, SQL, messages), made safe to look at. Escaping for a format is the renderer's part. */

/**
 * Characters that are not seen but change what is seen: C0 and C1 controls (but for tab and line feed), the
 * bidirectional overrides and isolates ("Trojan Source", CVE-2021-42574), invisible operators, the byte order mark,
 * halves of surrogate pairs.
 */
const INVISIBLE =
  // eslint-disable-next-line no-control-regex -- these are the characters to find
  /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u061C\u200B\u200E\u200F\u2028-\u202E\u2060-\u206F\uFEFF]|\p{Surrogate}/gu

/** Shows what is invisible as its code point: U+202E becomes `⟨202E⟩`. A carriage return before a line feed goes. */
export const visible = (text: string): string =>
  text
    .replace(/\r\n/g, '\n')
    .replace(INVISIBLE, (c) => `⟨${(c.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`)

/** The same value with every string in it, keys included, made `visible`. Renderers start with it: none can forget it. */
export const visibleDeep = <T>(value: T): T => walk(value) as T

const walk = (value: unknown): unknown => {
  if (typeof value === 'string') return visible(value)
  if (Array.isArray(value)) return value.map(walk)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [visible(key), walk(inner)]))
}

/** Keeps a number and its unit on one line: for sentences to read, never for SQL to copy. */
export const tight = (text: string): string =>
  text.replace(/(\d) (?=(?:ms|s|min|h|B|kB|MB|GB|TB|%)(?!\w))/g, '$1\u00A0')

/** White space, line ends included, as single spaces. */
export const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim()

/** At most `length` characters, the last one an ellipsis when something was cut. Does not cut through a character. */
export const shorten = (text: string, length: number): string => {
  const characters = Array.from(text)
  return characters.length <= length ? text : `${characters.slice(0, Math.max(0, length - 1)).join('')}…`
}

/** Like `shorten`, but keeps the end: the end of `folder/file.sql:12` is what tells it from others. */
export const shortenLeft = (text: string, length: number): string => {
  const characters = Array.from(text)
  return characters.length <= length
    ? text
    : `…${characters.slice(characters.length - Math.max(0, length - 1)).join('')}`
}
