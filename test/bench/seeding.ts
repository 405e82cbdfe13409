/** Filling a table: our COPY, multi-row INSERTs through the driver, and psql with a file that is ready. */
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Address } from '../../src/branches/index.js'
import { encodeField, Random, runSeed } from './built.js'
import { clientOf, connect, has, interleave, median, ratios, spread, whole, withBranch, type Row } from './measure.js'

const N = 200_000
const COLUMNS = ['id', 'email', 'status', 'total_cents', 'address', 'placed_at'] as const
const STATUSES = ['pending', 'paid', 'shipped', 'delivered']
/** Rows of one INSERT; more would pass the protocol's 65,535 parameters. */
const BATCH = 1_000

const row = (i: number, random: InstanceType<typeof Random>): Record<(typeof COLUMNS)[number], string | number> => ({
  id: i,
  email: `customer${i}@example.org`,
  status: random.pick(STATUSES),
  total_cents: random.int(500, 200_000),
  address: `{"street": "${random.int(1, 200)} High Street", "city": "City ${random.int(1, 5_000)}"}`,
  placed_at: `2025-06-${String(random.int(1, 30)).padStart(2, '0')} 12:00:00+00`,
})

const seed = { tables: { orders: { rows: N, columns: COLUMNS, row } } }

export const seeding = (): Promise<Row[]> =>
  withBranch(async (branch) => {
    const address = branch.address('migrate')
    const sql = connect(address)
    await sql.unsafe(
      'create table orders (id bigint primary key, email text, status text, total_cents bigint, address jsonb, placed_at timestamptz)',
    )
    const folder = mkdtempSync(join(tmpdir(), 'rehearse-bench-'))
    chmodSync(folder, 0o700)
    const file = join(folder, 'orders.copy')
    const stream = new Random(1)
    const lines = Array.from({ length: N }, (_, i) => {
      const one = row(i + 1, stream.fork(i + 1))
      return COLUMNS.map((column) => encodeField(one[column], 'scalar')).join('\t')
    })
    writeFileSync(file, `${lines.join('\n')}\n`)
    const timed = async (load: () => Promise<unknown>): Promise<number> => {
      await sql.unsafe('truncate orders')
      const start = performance.now()
      await load()
      const seconds = (performance.now() - start) / 1000
      const [{ n } = { n: 0 }] = await sql<{ n: number }[]>`select count(*)::int as n from orders`
      if (n !== N) throw new Error(`${n} rows were loaded, not ${N}`)
      return N / seconds
    }
    try {
      const candidates: Record<string, () => Promise<number>> = {
        ours: () => timed(() => runSeed(sql, seed, { n: N, seedNumber: 1 })),
        [`INSERT of ${whole(BATCH)} rows each`]: () => timed(() => inserts(sql)),
      }
      if (has('psql')) candidates['psql \\copy of a ready file'] = () => timed(() => copyByPsql(address, file))
      const { ours = [], ...peers } = await interleave(5, candidates)
      return Object.entries(peers).map(([name, peer]) => ({
        what: 'rows/s of a seed.ts, rows made and loaded by COPY',
        value: whole(median(ours)),
        peer: `${name}: ${whole(median(peer))}`,
        ratio: spread(ratios(ours, peer)),
        rounds: ours.length,
      }))
    } finally {
      rmSync(folder, { recursive: true })
      await sql.end()
    }
  })

async function inserts(sql: ReturnType<typeof connect>): Promise<void> {
  const stream = new Random(1)
  for (let from = 1; from <= N; from += BATCH) {
    const rows = Array.from({ length: BATCH }, (_, i) => row(from + i, stream.fork(from + i)))
    await sql`insert into orders ${sql(rows, ...COLUMNS)}`
  }
}

async function copyByPsql(address: Address, file: string): Promise<void> {
  const { args, env } = clientOf(address)
  const copy = `\\copy orders (${COLUMNS.join(', ')}) from '${file}'`
  await promisify(execFile)('psql', ['-X', '-q', ...args, '-d', address.database, '-c', copy], { env })
}
