/** The first line of an operation: `-- name: get_user; weight: 10; prepared: yes`. */
import { RehearsalError } from '../errors.js'

export interface Header {
  name: string
  weight: number
  prepared: boolean
  line: number
}

const NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_ ./-]{0,62}$/u

/** Whether a comment begins a section. */
export const isHeader = (comment: string): boolean => /^--\s*name\s*:/i.test(comment)

/** Reads `key: value` pairs between semicolons. Throws SCRIPT_INVALID with file and line. */
export function parseHeader(comment: string, file: string, line: number): Header {
  const fail = (message: string): never => {
    throw new RehearsalError('SCRIPT_INVALID', { file, line, message })
  }
  const header: Header = { name: '', weight: 1, prepared: true, line }
  const seen = new Set<string>()
  for (const part of comment.replace(/^--/, '').split(';')) {
    if (part.trim() === '') continue
    const [, key = '', value = ''] =
      /^\s*([^:\s]+)\s*:\s*(.*?)\s*$/.exec(part) ?? fail(`"${part.trim()}" is not "key: value"`)
    if (seen.has(key.toLowerCase())) fail(`${key} is given twice`)
    seen.add(key.toLowerCase())
    if (key.toLowerCase() === 'name') {
      if (!NAME.test(value)) fail('an operation needs a name of letters, digits and _ . / - (at most 63)')
      header.name = value
    } else if (key === 'weight') {
      header.weight = /^\d+(\.\d+)?$/.test(value) ? Number(value) : NaN
      if (!(header.weight > 0 && header.weight <= 1e9)) fail(`weight must be a positive number, not "${value}"`)
    } else if (key === 'prepared') {
      if (value !== 'yes' && value !== 'no') fail(`prepared must be yes or no, not "${value}"`)
      header.prepared = value === 'yes'
    } else fail(`unknown key "${key}" (name, weight and prepared are known)`)
  }
  return header
}
