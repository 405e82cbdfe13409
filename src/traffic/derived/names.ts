/** Names of operations: the same for the same purpose on the same table, whatever the release. */
import { hash32 } from '../random.js'

/** As in the header of a script: letters, digits, space and _ . / - */
const MOST = 63

/** `orders/read by id`; cut with a mark of its own where it is too long, made unique where it is not. */
export function operationName(table: string, purpose: string, taken: Set<string>): string {
  const whole = `${table}/${purpose}`.replaceAll(/[^\p{L}\p{N}_ ./-]/gu, '_').replace(/^[^\p{L}\p{N}_]/u, '_')
  const cut = whole.length <= MOST ? whole : `${whole.slice(0, MOST - 7)}-${mark(`${table}/${purpose}`)}`
  let name = cut
  for (let n = 2; taken.has(name); n++) name = `${cut.slice(0, MOST - 4)} ${n}`
  taken.add(name)
  return name
}

const mark = (text: string): string => hash32(text).toString(36).slice(-6).padStart(6, '0')
