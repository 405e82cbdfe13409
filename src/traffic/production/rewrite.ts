/**
 * The text of a statement in pg_stat_statements is no statement yet: constants have become parameters in places where the
 * server takes none. Everything here turns it back into one that PREPARE may accept. Pure.
 */
import { lex, type Token } from '../../sql/lexer.js'
import { isFields, listOf, numberOf, ofKind, stringsOf, tagged, fieldsOf, type Fields } from './tree.js'

/** What `extract($1 from x)` is given: `epoch` where the type of x has no day. */
export type ExtractField = 'day' | 'epoch'

/** Text in bytes of UTF-8, as the parser counts. */
interface Edit {
  from: number
  to: number
  text: string
}

/** PostgreSQL 18 shows a list of constants by its first one and this comment. */
const LONGER_LIST = '/*, ... */'

const INTERVAL_WORDS = new Set(['year', 'month', 'day', 'hour', 'minute', 'second', 'to'])

/**
 * The text without comments and semicolons, lists written out with `listLength` items. null when it is cut off inside a
 * quote or comment.
 */
export function withoutComments(text: string, listLength: number): string | null {
  const tokens = [...lex(text)]
  if (tokens.some(({ kind }) => kind === 'unterminated')) return null
  let out = ''
  let next = 1 + Math.max(0, ...tokens.map((token) => parameterNumber(text, token)))
  /** Where the innermost open bracket, or the comma behind it, ends in `out`. */
  const starts: number[] = []
  for (const token of tokens) {
    const part = text.slice(token.start, token.end)
    if (token.kind === 'comment') {
      if (part === LONGER_LIST) {
        const item = out.slice(starts.at(-1) ?? out.length)
        for (let i = 1; i < listLength; i++) out += `, ${mapParameters(item, () => `$${next++}`).trim()}`
      } else out += ' '
      continue
    }
    if (token.kind === 'operator' && (part === '(' || part === '[')) starts.push(out.length + 1)
    else if (token.kind === 'operator' && (part === ')' || part === ']')) starts.pop()
    else if (part === ',' && starts.length > 0) starts[starts.length - 1] = out.length + 1
    out += part
  }
  return out.replace(/^[\s;]+|[\s;]+$/g, '')
}

const parameterNumber = (text: string, { kind, start, end }: Token): number =>
  kind === 'parameter' ? Number(text.slice(start + 1, end)) : 0

/** The text with each `$n` replaced. */
export function mapParameters(text: string, replace: (number: number, followedBy: string) => string): string {
  let out = ''
  for (const token of lex(text))
    out +=
      token.kind === 'parameter'
        ? replace(parameterNumber(text, token), text.slice(token.end, token.end + 2))
        : text.slice(token.start, token.end)
  return out
}

/** Parameters counted from 1 without gaps, in the order in which they first appear. */
export function dense(text: string): { text: string; parameters: number } {
  const numbers = new Map<number, number>()
  const renumbered = mapParameters(text, (number) => {
    if (!numbers.has(number)) numbers.set(number, numbers.size + 1)
    return `$${numbers.get(number) ?? 0}`
  })
  return { text: renumbered, parameters: numbers.size }
}

/** `$1::integer` for parameters that are given a type and have no cast yet. */
export const withTypes = (text: string, types: ReadonlyMap<number, string>): string =>
  mapParameters(text, (number, followedBy) => {
    const type = types.get(number)
    return type === undefined || followedBy === '::' ? `$${number}` : `$${number}::${type}`
  })

/**
 * Expressions of GROUP BY, DISTINCT ON and DISTINCT stand in the result as well. Their constants were the same; as two
 * parameters they would be different expressions (42803). A constant position becomes one again.
 */
export function joinGroups(text: string, node: unknown): string {
  const edits: Edit[] = []
  eachSelect(node, (select) => {
    const targets = listOf(select, 'targetList')
    const groups = flatten(listOf(select, 'groupClause'))
    const distinct = listOf(select, 'distinctClause').filter((item) => tagged(item) !== null)
    const all = distinct.length === 0 && listOf(select, 'distinctClause').length > 0
    const elsewhere = [targets, fieldsOf(select, 'havingClause'), select['havingClause'], listOf(select, 'sortClause')]
    for (const [i, item] of groups.entries()) {
      const bare = ofKind(item, 'ParamRef')
      if (bare !== null) edits.push(parameterEdit(bare, String(position(targets, i))))
    }
    const leaders = [
      ...groups,
      ...distinct,
      ...(all ? targets.map((target) => ofKind(target, 'ResTarget')?.['val']) : []),
    ]
    for (const leader of leaders) {
      const wanted = parametersIn(leader)
      if (wanted.length === 0 || ofKind(leader, 'ParamRef') !== null) continue
      const shape = shapeOf(leader)
      eachNode(elsewhere, (other) => {
        if (other === leader || shapeOf(other) !== shape) return
        for (const [i, parameter] of parametersIn(other).entries())
          edits.push(parameterEdit(parameter, `$${numberOf(wanted[i] ?? null, 'number')}`))
      })
    }
  })
  return applied(text, edits)
}

/** `interval $1` becomes `$1::interval`, and `extract($1 from x)` gets a field. */
export function asServerReads(text: string, node: unknown, field: ExtractField): string {
  const bytes = Buffer.from(text)
  const edits: Edit[] = []
  eachNode(node, (found) => {
    const cast = ofKind(found, 'TypeCast')
    const parameter = ofKind(cast?.['arg'], 'ParamRef')
    if (cast !== null && parameter !== null && cast['location'] === -1) {
      const from = numberOf(fieldsOf(cast, 'typeName'), 'location')
      const at = numberOf(parameter, 'location')
      const after = at + parameterText(parameter).length
      const suffix = intervalFields(bytes.subarray(after).toString())
      const type = bytes.subarray(from, at).toString().trim()
      edits.push({ from, to: after + suffix.length, text: `${parameterText(parameter)}::${type}${suffix}` })
    }
    const call = ofKind(found, 'FuncCall')
    const extract = call !== null && call['funcformat'] === 'COERCE_SQL_SYNTAX' && isExtract(call)
    const unit = extract ? ofKind(listOf(call, 'args')[0], 'ParamRef') : null
    if (unit !== null) edits.push(parameterEdit(unit, field))
  })
  return applied(text, edits)
}

const isExtract = (call: Fields): boolean => stringsOf(listOf(call, 'funcname')).join('.') === 'pg_catalog.extract'

/** ` day to second` behind a constant of type interval. */
function intervalFields(rest: string): string {
  let end = 0
  for (const { kind, start, end: stop } of lex(rest)) {
    if (kind === 'space') continue
    if (kind !== 'word' || !INTERVAL_WORDS.has(rest.slice(start, stop).toLowerCase())) break
    end = stop
  }
  return rest.slice(0, end)
}

const parameterText = (parameter: Fields): string => `$${numberOf(parameter, 'number')}`

const parameterEdit = (parameter: Fields, text: string): Edit => {
  const from = numberOf(parameter, 'location')
  return { from, to: from + parameterText(parameter).length, text }
}

function applied(text: string, edits: readonly Edit[]): string {
  const bytes = Buffer.from(text)
  let out = ''
  let at = 0
  for (const edit of [...edits].sort((a, b) => a.from - b.from)) {
    if (edit.from < at) continue
    out += bytes.subarray(at, edit.from).toString() + edit.text
    at = edit.to
  }
  return out + bytes.subarray(at).toString()
}

/** The i-th column of the result that is no aggregate, from 1. */
function position(targets: readonly unknown[], i: number): number {
  const plain = targets.flatMap((target, place) =>
    ofKind(ofKind(target, 'ResTarget')?.['val'], 'FuncCall') === null ? [place + 1] : [],
  )
  return plain[i] ?? 1
}

const flatten = (items: readonly unknown[]): unknown[] =>
  items.flatMap((item) => {
    const set = ofKind(item, 'GroupingSet')
    return set === null ? [item] : flatten(listOf(set, 'content'))
  })

function eachSelect(node: unknown, visit: (select: Fields) => void): void {
  eachNode(node, (found) => {
    const select = ofKind(found, 'SelectStmt')
    if (select !== null) visit(select)
  })
}

/** Every node with its kind. The arms of a UNION have none in the tree; they get theirs. */
function eachNode(node: unknown, visit: (node: unknown) => void): void {
  if (Array.isArray(node)) {
    for (const item of node) eachNode(item, visit)
    return
  }
  if (!isFields(node)) return
  if (tagged(node) !== null) visit(node)
  for (const [name, value] of Object.entries(node)) {
    if ((name === 'larg' || name === 'rarg') && isFields(value) && 'op' in value) eachNode({ SelectStmt: value }, visit)
    else eachNode(value, visit)
  }
}

function parametersIn(node: unknown): Fields[] {
  const found: Fields[] = []
  eachNode(node, (one) => {
    const parameter = ofKind(one, 'ParamRef')
    if (parameter !== null) found.push(parameter)
  })
  return found
}

/** The expression without places and numbers of parameters. */
const shapeOf = (node: unknown): string =>
  JSON.stringify(node, (name, value: unknown) =>
    name === 'location' || name === 'number' || name.startsWith('rexpr_list_') || name.startsWith('list_')
      ? undefined
      : value,
  )
