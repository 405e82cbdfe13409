/**
 * VACUUM by hand, with pauses as autovacuum makes them. It holds the same lock, SHARE UPDATE EXCLUSIVE, but the server does
 * not cancel it when somebody waits for it: autovacuum that prevents wraparound is not canceled either.
 *
 * How it is made to last: with vacuum_cost_limit at 1 it pauses at nearly every page that it reads, for four times
 * vacuum_cost_delay (the server's longest pause, 400 ms with the largest delay). DISABLE_PAGE_SKIPPING makes it read every
 * page. A table of few pages is made longer before: its rows are updated to what they are, in one transaction, until the
 * dead versions fill enough pages. It is canceled when its time is over. TRUNCATE is off: nothing is to ask for more.
 */
import { sleep } from '../clock.js'
import { connect, disconnect, type Sql } from '../pg/connect.js'
import { hold, inSql, namesOf, target } from './session.js'
import type { Disturbance, DisturbedTable, DisturbOptions } from './types.js'

const PAGE_BYTES = 8_192
/** The server's largest vacuum_cost_delay; a pause is up to four times as long. */
const MOST_DELAY_MS = 100
const PAUSES = 4
/** Of two pages, at least one makes a pause: measured 0.55 to 0.85, because several are read ahead. */
const PAGES_PER_PAUSE = 2
/** Time for filling pages, and the most bytes that one update of all rows may write. */
const FILL_SECONDS = 4
const MOST_FILL_BYTES = 64 * 1024 * 1024

/** Before the migration begins, and for what runs late. */
const SPARE_MS = 1_000

/** Pages that a table needs for the longest possible pauses to last so long. */
export const pagesFor = (lastsMs: number): number =>
  Math.ceil(((lastsMs + SPARE_MS) / (MOST_DELAY_MS * PAUSES)) * PAGES_PER_PAUSE)

/** The delay with which this many pages last that long, in ms; at least one, at most what the server permits. */
export const delayFor = (lastsMs: number, pages: number): number =>
  Math.min(
    MOST_DELAY_MS,
    Math.max(1, Math.ceil(((lastsMs + SPARE_MS) * PAGES_PER_PAUSE) / (PAUSES * Math.max(1, pages)))),
  )

/** A VACUUM of several tables locks one at a time: it is the longest table that lasts. */
const longest = (options: DisturbOptions): DisturbedTable | undefined =>
  [...target(options.tables)].sort((a, b) => b.bytes - a.bytes)[0]

const pagesOf = async (sql: Sql, table: DisturbedTable): Promise<number> => {
  const [row] = await sql.unsafe<{ bytes: number }[]>(
    'select pg_catalog.pg_relation_size(pg_catalog.to_regclass($1))::float8 as bytes',
    [inSql(table)],
  )
  return Math.floor((row?.bytes ?? 0) / PAGE_BYTES)
}

async function fillPages(sql: Sql, table: DisturbedTable, pages: number): Promise<void> {
  const [column] = await sql.unsafe<{ name: string }[]>(
    `select attname as name from pg_catalog.pg_attribute
      where attrelid = pg_catalog.to_regclass($1) and attnum > 0 and not attisdropped and attgenerated = ''
        and attidentity <> 'a' limit 1`,
    [inSql(table)],
  )
  if (!column) return
  const name = inSql(table)
  const quoted = `"${column.name.replaceAll('"', '""')}"`
  // No trigger and no foreign key shall notice. Only a superuser may say so; elsewhere they do.
  await sql.unsafe('set session_replication_role = replica').catch(() => undefined)
  await sql.unsafe(`
    do $fill$
    declare size bigint;
    begin
      loop
        size := pg_catalog.pg_relation_size(${literal(name)}::regclass);
        exit when size >= ${pages * PAGE_BYTES} or size > ${MOST_FILL_BYTES} or size = 0
               or pg_catalog.clock_timestamp() > pg_catalog.now() + interval '${FILL_SECONDS} s';
        update ${name} set ${quoted} = ${quoted};
        exit when not found;
      end loop;
    end $fill$`)
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

export const vacuum: Disturbance = {
  settings: {},
  async prepare(options) {
    const table = longest(options)
    if (!table?.writable) return
    const sql = connect(options.admin, { applicationName: 'rehearse disturbance' })
    try {
      const needed = pagesFor(options.lastsMs)
      if ((await pagesOf(sql, table)) < needed) await fillPages(sql, table, needed)
    } finally {
      await disconnect(sql)
    }
  },
  start: (options) => {
    const first = longest(options)
    const tables = first ? [first, ...target(options.tables).filter((table) => table !== first)] : []
    return hold({
      kind: 'vacuum',
      as: 'migrate',
      options,
      locksLater: first !== undefined,
      async take(sql) {
        if (!first) return 'a VACUUM of no table'
        const delayMs = delayFor(options.lastsMs, await pagesOf(sql, first))
        await sql.unsafe(`set vacuum_cost_limit = 1; set vacuum_cost_delay = '${delayMs}ms'`).simple()
        return `a VACUUM of ${namesOf(tables)} with pauses`
      },
      // Without a name it would be all tables.
      goOn: (sql, signal) =>
        tables.length === 0
          ? sleep(options.lastsMs, signal)
          : sql.unsafe(`vacuum (disable_page_skipping, truncate false) ${tables.map(inSql).join(', ')}`).simple(),
    })
  },
}
