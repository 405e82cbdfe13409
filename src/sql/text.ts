/** Positions in a source file: lines, and the byte and character offsets of the parser as indexes into a JS string. */
import { RehearsalError } from '../errors.js'

/** 1-based line of an index into the text. Lines end in LF or CRLF. */
export function lineAt(text: string, index: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < index; at = text.indexOf('\n', at + 1)) line++
  return line
}

/** Turns rising byte offsets of the UTF-8 form into indexes into the text, in one walk for all of them. */
export function byteIndexer(text: string): (byteOffset: number) => number {
  let index = 0
  let bytes = 0
  return (byteOffset) => {
    if (byteOffset < bytes) index = bytes = 0
    while (bytes < byteOffset && index < text.length) {
      const code = text.codePointAt(index) ?? 0
      bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4
      index += code < 0x10000 ? 1 : 2
    }
    return index
  }
}

/** Index into the text of a count of characters (code points), as error positions of PostgreSQL are given. */
export function characterIndex(text: string, characters: number): number {
  let index = 0
  for (let left = characters; left > 0 && index < text.length; left--)
    index += (text.codePointAt(index) ?? 0) < 0x10000 ? 1 : 2
  return index
}

/** Throws SQL_UNREADABLE with the line of the first NUL character: the parser would silently stop there. */
export function refuseNul(text: string, file: string): void {
  const nul = text.indexOf('\0')
  if (nul === -1) return
  throw new RehearsalError('SQL_UNREADABLE', { file, line: lineAt(text, nul), message: 'a NUL character' })
}
