/**
 * The driver's query objects as they are in postgres 3.4.9, with a field that its types do not list. The version is
 * fixed in package.json, and a test shows that it still means what is said here.
 */
import type { Sql } from 'postgres'

export interface DriverQuery extends Promise<unknown> {
  /** The error after which the driver prepared the statement again and repeated it, when it did. */
  retried?: unknown
  /** Sends it; the driver calls this once, when the query is first waited for. */
  handler: (query: DriverQuery) => void
  cancel(): unknown
}

/** A fragment (`sql(name)`, `sql([...])`) is no promise of its own; a query can be told by its `cancel`. */
const isQuery = (value: unknown): value is DriverQuery =>
  value instanceof Promise && typeof (value as Partial<DriverQuery>).cancel === 'function'

/**
 * The same `sql`, noting each query that is made through it, so that silent retries can be seen afterwards. Inside
 * `sql.begin` the driver gives another object: there a retry is impossible and the error is seen by the operation.
 *
 * With `thinkMs` every query but the first is sent that much later, those of `sql.begin` and its savepoints too.
 */
export function watchQueries(sql: Sql, made: DriverQuery[], thinkMs = 0): Sql {
  const note = (value: unknown): unknown => {
    if (isQuery(value)) {
      if (thinkMs > 0 && made.length > 0) sendLater(value, thinkMs)
      made.push(value)
      // The plain `then`, because the query's own would send it. An operation that does not wait for a query must not
      // end the process when it fails.
      void Promise.prototype.then.call(value, undefined, () => undefined)
    }
    return value
  }
  return new Proxy(sql, {
    apply: (target, self, args) => note(Reflect.apply(target, self, args)),
    get: (target, key, receiver) => {
      const value: unknown = Reflect.get(target, key, receiver)
      if (typeof value !== 'function') return value
      if (thinkMs > 0 && (key === 'begin' || key === 'savepoint'))
        return (...args: unknown[]): unknown =>
          Reflect.apply(
            value,
            target,
            args.map((arg) => (typeof arg === 'function' ? thinking(arg, made, thinkMs) : arg)),
          )
      if (key !== 'unsafe' && key !== 'file') return value
      return (...args: unknown[]): unknown => note(Reflect.apply(value, target, args))
    },
  })
}

/** The body of a transaction, with the transaction's own `sql` watched as well. */
const thinking =
  (body: object, made: DriverQuery[], thinkMs: number) =>
  (sql: Sql): unknown =>
    (body as (sql: Sql) => unknown)(watchQueries(sql, made, thinkMs))

function sendLater(query: DriverQuery, ms: number): void {
  const send = query.handler
  query.handler = (ready) => void setTimeout(() => send(ready), ms)
}
