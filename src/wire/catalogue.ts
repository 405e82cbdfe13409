/** Prepared statements and portals of one session, as far as its messages tell: which SQL an Execute runs. */

export interface Portal {
  sql: string
  parameters: readonly (string | null)[] | null
}

/** Puts a value under a name; what it returns takes that back. */
const put = <Value>(map: Map<string, Value>, name: string, value: Value | undefined): (() => void) => {
  const before = map.get(name)
  const set = (now: Value | undefined): void => {
    if (now === undefined) map.delete(name)
    else map.set(name, now)
  }
  set(value)
  return () => set(before)
}

export class Catalogue {
  readonly #statements = new Map<string, string>()
  readonly #portals = new Map<string, Portal>()

  /** Text of a prepared statement; '' when it was prepared in another way (SQL PREPARE). */
  statement(name: string): string {
    return this.#statements.get(name) ?? ''
  }

  portal(name: string): Portal {
    return this.#portals.get(name) ?? { sql: '', parameters: null }
  }

  parse(name: string, sql: string): () => void {
    return put(this.#statements, name, sql)
  }

  bind(name: string, portal: Portal): () => void {
    return put(this.#portals, name, portal)
  }

  close(kind: string, name: string): () => void {
    return kind === 'S' ? put(this.#statements, name, undefined) : put(this.#portals, name, undefined)
  }
}
