/** Text on a terminal: what is safe to print, how wide it is, how it wraps. Pure. */
import { oneLine, visible } from '../report/text.js'

export interface Style {
  colour: boolean
  /** Only 7-bit characters: for terminals and logs that are not UTF-8. */
  ascii: boolean
}

/**
 * Colour and character set as the environment wants them: NO_COLOR (no-color.org) and FORCE_COLOR, TERM=dumb, and UTF-8
 * only where the locale says so (or none is set, as in most CI systems).
 */
export const styleFor = (env: Readonly<Record<string, string | undefined>>, isTTY: boolean): Style => {
  const set = (name: string): boolean => (env[name] ?? '') !== ''
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || ''
  const colour = set('NO_COLOR')
    ? false
    : set('FORCE_COLOR')
      ? env['FORCE_COLOR'] !== '0'
      : isTTY && env['TERM'] !== 'dumb'
  return { colour, ascii: locale !== '' && !/utf-?8/i.test(locale) }
}

const ASCII: Readonly<Record<string, string>> = {
  '✓': '+',
  '✗': 'x',
  '–': '-',
  '±': '+/-',
  '×': 'x',
  '…': '...',
  '“': '"',
  '”': '"',
  '·': '-',
  '⟨': '<',
  '⟩': '>',
  '▶': '>',
  '■': '#',
}

/** Control characters made visible, one line, and in ASCII where asked: nothing in it can move the cursor. */
export const printable = (text: string, style: Style): string => {
  const line = oneLine(visible(text))
  // eslint-disable-next-line no-control-regex -- everything outside of ASCII is meant
  return style.ascii ? line.replace(/[^\u0000-\u007F]/gu, (c) => ASCII[c] ?? '?') : line
}

const COLOURS = { red: 31, green: 32, yellow: 33, blue: 34, dim: 2, bold: 1 } as const
export type Colour = keyof typeof COLOURS

export const paint = (text: string, colour: Colour | null, style: Style): string =>
  style.colour && colour !== null && text !== '' ? `\u001B[${COLOURS[colour]}m${text}\u001B[0m` : text

/** East Asian wide characters and emoji take two columns, combining marks and joiners none. */
const columnsOf = (character: string): number =>
  /^\p{Mark}|^\u200C|^\u200D|^\uFE0F/u.test(character)
    ? 0
    : /^[\u1100-\u115F\u2E80-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6]|^\p{Emoji_Presentation}|^[\u{1F000}-\u{1FAFF}\u{20000}-\u{3FFFD}]/u.test(
          character,
        )
      ? 2
      : 1

/** Columns that a text without colour takes. */
export const columns = (text: string): number =>
  Array.from(text).reduce((sum, character) => sum + columnsOf(character), 0)

/** Cut to a number of columns, an ellipsis at the end. */
export const cut = (text: string, most: number, style: Style): string => {
  if (columns(text) <= most) return text
  const dots = style.ascii ? '...' : '…'
  let out = ''
  let used = 0
  for (const character of text) {
    if (used + columnsOf(character) > most - columns(dots)) break
    used += columnsOf(character)
    out += character
  }
  return out + dots
}

/** Cut at the front, so that the line number of a path stays. */
export const cutLeft = (text: string, most: number, style: Style): string => {
  if (columns(text) <= most) return text
  const dots = style.ascii ? '...' : '…'
  const kept: string[] = []
  let used = columns(dots)
  for (const character of Array.from(text).reverse()) {
    if (used + columnsOf(character) > most) break
    used += columnsOf(character)
    kept.unshift(character)
  }
  return dots + kept.join('')
}

export const padEnd = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - columns(text)))
export const padStart = (text: string, width: number): string => ' '.repeat(Math.max(0, width - columns(text))) + text

/** Words onto lines of at most `width` columns; a word that is longer is broken. Later lines begin with `indent`. */
export const wrap = (text: string, width: number, indent: string): string[] => {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ').filter((one) => one !== '')) {
    let rest = word
    const joined = line === '' ? rest : line === indent ? indent + rest : `${line} ${rest}`
    if (columns(joined) <= width) {
      line = joined
      continue
    }
    if (line.trim() !== '') lines.push(line)
    line = lines.length === 0 ? '' : indent
    while (columns(line + rest) > width) {
      let part = ''
      for (const character of rest) {
        if (columns(line + part + character) > width && part !== '') break
        part += character
      }
      lines.push(line + part)
      rest = rest.slice(part.length)
      line = indent
    }
    line += rest
  }
  if (line.trim() !== '') lines.push(line)
  return lines
}
