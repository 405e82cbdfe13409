/**
 * Names that the server gives only inside its message. A closed list of message forms is read, each matched from start to
 * end (PostgreSQL's own English texts, so `lc_messages` must be `C`); a text of another form gives nothing.
 */

interface Form {
  pattern: RegExp
  /** The same text can quote a value instead of a name in the statement: `'x'::regclass`, `set_config('x', ...)`. */
  ambiguous: boolean
}

const QUOTED = '"((?:[^"]|"")+)"'
/** Names that the server prints without quotes. */
const BARE = '([\\w$."]+)'
/** A function or operator with its argument types. */
const SIGNATURE = '([\\w$." ]+\\([\\w$."\\[\\], ]*\\))'
const KIND = '[a-z][a-z -]{2,40}'

const form = (text: string, ambiguous = false): Form => ({ pattern: new RegExp(`^${text}$`, 's'), ambiguous })

const FORMS: Readonly<Record<string, readonly Form[]>> = {
  '42703': [
    form(`column ${QUOTED} does not exist`, true),
    form(`column ${QUOTED} of relation ${QUOTED} does not exist`, true),
    form(`column ${QUOTED} named in key does not exist`),
    form(`column ${QUOTED} referenced in foreign key constraint does not exist`),
    form(`column ${QUOTED} specified in USING clause does not exist in (?:left|right) table`),
    form(`column ${QUOTED} not found in data type ${BARE}`),
    form(`column ${BARE} does not exist`),
    form(`record ${QUOTED} has no field ${QUOTED}`),
  ],
  '42P01': [
    form(`${KIND} ${QUOTED} does not exist`, true),
    form(`missing FROM-clause entry for table ${QUOTED}`),
    form(`invalid reference to FROM-clause entry for table ${QUOTED}`),
  ],
  '42704': [
    form(`${KIND} ${QUOTED} (?:of|for) (?:relation|table|domain) ${QUOTED} does not exist`),
    form(`${KIND} ${QUOTED} does not exist`, true),
    form(`unrecognized configuration parameter ${QUOTED}`, true),
  ],
  '42883': [
    form(`(?:function|procedure|aggregate) ${SIGNATURE} does not exist`),
    form(`operator does not exist: ([\\w$."\\[\\] ]+ [^\\w\\s'"]{1,10} [\\w$."\\[\\] ]+)`),
    form(`${KIND} ${QUOTED} does not exist`, true),
  ],
  '42P07': [form(`${KIND} ${QUOTED} already exists`)],
  '42701': [
    form(`column ${QUOTED} of relation ${QUOTED} already exists`),
    form(`column ${QUOTED} specified more than once`),
    form(`column name ${QUOTED} conflicts with a system column name`),
  ],
  '42710': [
    form(`${KIND} ${QUOTED} already exists`),
    form(`${KIND} ${QUOTED} (?:of|for) (?:relation|table|domain) ${QUOTED} already exists`),
  ],
  // Only objects that exist are named in these, never what somebody passed in.
  '42501': [
    form(`permission denied for (?:${KIND}) ${BARE}`),
    form(`must be owner of (?:${KIND}) ${BARE}`),
    form(`new row violates row-level security policy for table ${QUOTED}`),
    form(`new row violates row-level security policy ${QUOTED} for table ${QUOTED}`),
  ],
  '55P03': [form(`could not obtain lock on relation ${QUOTED}`)],
}

/** The statement without string literals, dollar-quoted strings and comments: what is left can only be names and syntax. */
const withoutLiterals = (sql: string): string =>
  sql.replace(/(\$(?:[A-Za-z_]\w*)?\$).*?\1|'(?:[^']|'')*'|--[^\n]*|\/\*.*?\*\//gs, ' ').toLowerCase()

/** Each part of a dotted name must stand in the statement as a word of its own. */
function mentioned(name: string, sql: string): boolean {
  // An escaped quote (E'...\\'...') would shift the ends of the literals: better no name than a value.
  if (sql.includes("\\'")) return false
  const text = withoutLiterals(sql)
  return name
    .toLowerCase()
    .split('.')
    .filter((part) => part !== 'public')
    .every((part) => new RegExp(`(?<![\\w$])${escapePattern(part)}(?![\\w$])`).test(text))
}

const escapePattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')

/**
 * The message, when it is of a known form and holds only names, and those names; otherwise null. `texts` are the
 * statements that it can be about: the one that was sent and the one inside a function.
 */
export function identifiersIn(
  sqlstate: string,
  message: string,
  texts: readonly string[],
): { message: string; identifiers: string[] } | null {
  for (const { pattern, ambiguous } of FORMS[sqlstate] ?? []) {
    const match = pattern.exec(message)
    if (!match) continue
    const identifiers = match.slice(1)
    if (ambiguous && !texts.some((sql) => identifiers.every((name) => mentioned(name, sql)))) return null
    return { message, identifiers }
  }
  return null
}
