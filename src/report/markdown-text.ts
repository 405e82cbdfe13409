/** Text of others in GitHub Flavored Markdown: it can neither break the structure nor become markup. */
import { oneLine } from './text.js'

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }
/** A zero-width space: it keeps GitHub from making mentions, issue references and links of plain text. */
const BREAK = '\u200B'

/** Plain text for a paragraph, a heading or a table cell, on one line. */
export const plain = (text: string): string =>
  oneLine(text)
    .replace(/[&<>]/g, (c) => ENTITIES[c] ?? c)
    .replace(/[\\`*_{}[\]()#+\-.!|~$]/g, (c) => (/[.\-()+]/.test(c) ? c : `\\${c}`))
    .replace(/@(?=\w)/g, `@${BREAK}`)
    .replace(/#(?=\d)/g, `#${BREAK}`)
    .replace(/:\/\//g, `:${BREAK}//`)
    .replace(/\bwww\./gi, (w) => `${w.slice(0, 3)}${BREAK}.`)
    .replace(/^(\d+)([.)])(?=\s|$)/, '$1\\$2')
    .replace(/^([-+])(?=\s)/, '\\$1')

/** The shortest run of backticks that does not occur in the text. */
const ticks = (text: string, least: number): string => {
  const longest = Math.max(0, ...Array.from(text.matchAll(/`+/g), (run) => run[0].length))
  return '`'.repeat(Math.max(least, longest + 1))
}

/** A code span. In a table a pipe must be escaped even inside of it. */
export const code = (text: string, inTable = false): string => {
  const line = oneLine(text)
  if (line === '') return ''
  const fence = ticks(line, 1)
  const padded = /^`|`$/.test(line) ? ` ${line} ` : line
  return `${fence}${inTable ? padded.replace(/\|/g, '\\|') : padded}${fence}`
}

/** A fenced block, its fence longer than any inside. */
export const fenced = (sql: string, language = 'sql'): string => {
  const fence = ticks(sql, 3)
  return `${fence}${language}\n${sql}\n${fence}`
}

/** A GFM table; cells are already Markdown. */
export const table = (
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string =>
  [
    `| ${head.join(' | ')} |`,
    `| ${head.map((_, i) => (right.includes(i) ? '---:' : '---')).join(' | ')} |`,
    ...rows.map((row) => `| ${row.join(' | ')} |`),
  ].join('\n')

/** Folded away until somebody clicks. The blank lines make GitHub read Markdown inside. */
export const details = (summary: string, body: string): string =>
  `<details><summary>${summary.replace(/[&<>]/g, (c) => ENTITIES[c] ?? c)}</summary>\n\n${body}\n\n</details>`
