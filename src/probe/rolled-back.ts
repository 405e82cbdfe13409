/**
 * The driver's object for operations written as code, inside a transaction of ours that is rolled back: what the
 * operation takes for its own transaction becomes a savepoint, so that nothing of it can be committed.
 */
import type { Sql } from '../pg/connect.js'
import { statementFacts } from '../sql/facts.js'
import { parseSql } from '../sql/parser.js'

type Work = (sql: Sql) => unknown

/** The savepoint that stands for a BEGIN written out by hand. */
const BY_HAND = 'rehearse_begin'

export function insideTransaction(sql: Sql): Sql {
  let savepoints = 0
  const nest = async (work: Work): Promise<unknown> => {
    const name = `rehearse_${++savepoints}`
    await sql.unsafe(`savepoint ${name}`)
    try {
      const result = work(inside)
      // As the driver does: a list of queries is waited for as a whole.
      const value: unknown = await (Array.isArray(result) ? Promise.all(result as unknown[]) : result)
      await sql.unsafe(`release savepoint ${name}`)
      return value
    } catch (error) {
      await sql.unsafe(`rollback to savepoint ${name}`)
      throw error
    }
  }
  /** begin(work), begin(options, work), savepoint(work), savepoint(name, work) */
  const begin = (first: unknown, second?: unknown): Promise<unknown> => nest((second ?? first) as Work)
  const inside: Sql = new Proxy(sql, {
    apply(target, self, args: unknown[]) {
      const [strings] = args
      const text = isTemplate(strings) && strings.length === 1 ? strings[0] : undefined
      const replaced = text === undefined ? null : withoutTransactions(text)
      return replaced === null ? (Reflect.apply(target, self, args) as unknown) : target.unsafe(replaced)
    },
    get(target, key, receiver) {
      if (key === 'begin' || key === 'savepoint') return begin
      if (key === 'reserve') return () => Promise.resolve(inside)
      if (key === 'release') return () => undefined
      if (key !== 'unsafe') return Reflect.get(target, key, receiver) as unknown
      return (text: string, ...rest: []) => target.unsafe(withoutTransactions(text) ?? text, ...rest)
    },
  })
  return inside
}

const isTemplate = (value: unknown): value is readonly string[] => Array.isArray(value) && 'raw' in value

/** The text with BEGIN, COMMIT and ROLLBACK replaced; null when there is none in it. */
function withoutTransactions(text: string): string | null {
  if (!/\b(?:begin|start|commit|end|rollback|abort)\b/i.test(text)) return null
  try {
    const texts = parseSql(text).map(({ start, end }) => text.slice(start, end))
    const replaced = texts.map((one) => {
      const control = statementFacts(one).transaction
      if (control === 'begin') return `savepoint ${BY_HAND}`
      if (control === 'rollback') return `rollback to savepoint ${BY_HAND}`
      return control === 'commit' ? 'select' : one
    })
    return replaced.some((one, i) => one !== texts[i]) ? replaced.join(';') : null
  } catch {
    // A fragment of a query, or a query that is wrong: the server says so.
    return null
  }
}
