/**
 * Sends one table's rows: all in one COPY; where the server does not take that, in small ones of which those that fail
 * are left out; where it takes none of them, row by row, until it has taken one that others can be made like.
 */
import type { Sql } from '../../pg/connect.js'
import { isConnectionFailure, toPgError } from '../../pg/errors.js'
import { quoteName } from '../../sql/identifiers.js'
import type { Row } from '../../values/types.js'
import { copyIn } from '../copy.js'
import { seedFailure } from '../failure.js'
import type { RowSource } from './rows.js'

const BATCH_ROWS = 500
/** So many small COPYs may fail one after the other. */
const MOST_FAILED_BATCHES = 3
const MOST_SINGLE_ROWS = 25
/** Accepted rows that are kept as a pattern for others. */
const KEPT = 100
const DISK_FULL = '53100'

export interface Loaded {
  rows: number
  /** Why there are none, or less than were wanted; null when there are as many. */
  reason: string | null
}

export interface LoadOptions {
  sql: Sql
  /** Quoted name. */
  table: string
  rows: number
  /** A new source of the same rows, for another way of sending them. */
  source: () => RowSource
  onProgress: (rows: number) => void
  signal: AbortSignal
}

export async function loadTable(options: LoadOptions): Promise<Loaded> {
  const whole = options.source()
  const first = await copyRows(options, whole, options.rows, 0)
  if (first.error === null) return { rows: first.rows, reason: first.rows < options.rows ? whole.reason : null }
  let reason = first.error
  const source = options.source()
  let rows = 0
  let failed = 0
  let tried = 0
  while (rows < options.rows && !source.exhausted && tried < 2 * options.rows) {
    const before = source.accepted.length
    const batch = await copyRows(options, source, Math.min(BATCH_ROWS, options.rows - rows), rows)
    tried += BATCH_ROWS
    rows += batch.rows
    failed = batch.error === null ? 0 : failed + 1
    if (batch.error !== null) reason = batch.error
    if (failed === 0 || (before > 0 && failed < MOST_FAILED_BATCHES)) continue
    if (before > 0) break
    const single = await insertSingly(options, source)
    rows += single
    if (single === 0) break
    failed = 0
  }
  return { rows, reason: rows < options.rows ? (source.reason ?? reason) : null }
}

/** One COPY. `error` is why the server took nothing. */
async function copyRows(
  options: LoadOptions,
  source: RowSource,
  count: number,
  before: number,
): Promise<{ rows: number; error: string | null }> {
  const { sql, table, signal, onProgress } = options
  const head = source.next()
  if (head === null) return { rows: 0, error: null }
  const columns = (source.columns ?? []).map(quoteName).join(', ')
  const kept: Row[] = []
  let rows = 0
  function* lines(): Generator<string, void, undefined> {
    for (let row: Row | null = head; row !== null; row = rows < count ? source.next() : null) {
      signal.throwIfAborted()
      rows++
      if (kept.length < KEPT) kept.push(row)
      yield source.line(row)
    }
  }
  try {
    // A table of nothing but defaults has no columns to copy.
    if (columns === '') await sql.unsafe(`insert into ${table} default values`)
    else await copyIn(sql, `copy ${table} (${columns}) from stdin`, lines(), () => onProgress(before + rows))
    if (source.accepted.length < KEPT) source.accepted.push(...kept)
    return { rows: columns === '' ? 1 : rows, error: null }
  } catch (error) {
    return { rows: 0, error: refusal(error, signal) }
  }
}

/** Tries some rows one by one; returns how many were taken. */
async function insertSingly({ sql, table, signal }: LoadOptions, source: RowSource): Promise<number> {
  let taken = 0
  for (let i = 0; i < MOST_SINGLE_ROWS && taken < KEPT; i++) {
    signal.throwIfAborted()
    const row = source.next()
    if (row === null) break
    const columns = (source.columns ?? []).map(quoteName).join(', ')
    try {
      await copyIn(sql, `copy ${table} (${columns}) from stdin`, [source.line(row)])
      source.accepted.push(row)
      taken++
    } catch (error) {
      refusal(error, signal)
    }
  }
  return taken
}

/** What the server says against it, without any value. Throws where it is not the rows' fault. */
function refusal(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) throw error
  const { sqlstate, message } = toPgError(error)
  const fromServer = error instanceof Error && 'severity' in error
  if (isConnectionFailure(error) || sqlstate === DISK_FULL || !fromServer)
    throw seedFailure(error, { file: 'generated data' })
  return `${message} (SQLSTATE ${sqlstate})`
}
