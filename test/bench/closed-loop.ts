/** Operations one after the other on each connection, without a pause: what one operation costs the client. */
import type { Address } from '../../src/branches/index.js'
import type { Operation } from '../../src/traffic/operation.js'
import type { Random as RandomType } from '../../src/traffic/random.js'
import type { Session as SessionType } from '../../src/traffic/session.js'
import { Execution, parseScript, Random, Session } from './built.js'
import {
  connect,
  has,
  interleave,
  median,
  perSecond,
  ratios,
  ROWS,
  spread,
  whole,
  withServer,
  type Row,
} from './measure.js'
import { pgbench } from './pgbench.js'

const SCRIPT = '-- name: get; prepared: yes\n\\set id random(1, :n)\nselect v from t where id = :id;\n'
const TEXT = 'select v from t where id = $1'
const WINDOW_MS = 500

export async function openSessions(
  address: Address,
  count: number,
  operations: readonly Operation[],
): Promise<SessionType[]> {
  const variables = { rows: ROWS, seed: 1 }
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const session = new Session({ address, release: 'old', connection: i + 1, variables })
      await session.open()
      await session.warm(operations, new Random(1))
      return session
    }),
  )
}

/** Runs one operation as the engine does; 1 for the count of those that are done. */
export async function runOn(session: SessionType, operation: Operation, random: RandomType): Promise<number> {
  let failure: unknown = null
  const execution = new Execution({
    operation,
    random,
    session,
    pooling: 'session',
    retries: null,
    acquire: () => Promise.reject(new Error('one session is enough')),
    giveBack: () => undefined,
    onRetry: () => undefined,
  })
  await execution.run((ran) => (failure = ran.error))
  if (failure !== null) throw new Error('an operation failed', { cause: failure })
  return 1
}

/**
 * A prepared select by primary key on so many connections: our sessions, the driver alone, and pgbench. Beside the
 * throughput stands the processor time of this process per operation: what is not in the driver's is ours.
 */
const throughput = (clients: number, rounds: number): Promise<Row[]> =>
  withServer(async ({ app }) => {
    const [operation] = parseScript(SCRIPT, 'get.sql', 'old')
    if (!operation) throw new Error('no operation')
    const sessions = await openSessions(app, clients, [operation])
    const drivers = Array.from({ length: clients }, () => connect(app))
    const [random, draw] = [new Random(1), new Random(2)]
    const costUs: Record<string, number[]> = {}
    let n = 0
    const closed = (name: string, step: (client: number) => Promise<unknown>) => async (): Promise<number> => {
      const before = process.cpuUsage()
      let done = 0
      const each = await Promise.all(
        Array.from({ length: clients }, (_, client) => perSecond(WINDOW_MS, () => step(client).then(() => done++))),
      )
      const { user, system } = process.cpuUsage(before)
      ;(costUs[name] ??= []).push((user + system) / done)
      return each.reduce((sum, one) => sum + one, 0)
    }
    const ours = closed('ours', (client) => {
      const session = sessions[client]
      return session ? runOn(session, operation, random.fork(n++)) : Promise.resolve()
    })
    const candidates: Record<string, () => Promise<number>> = {
      ours,
      'the driver alone': closed('the driver alone', (client) =>
        Promise.resolve(drivers[client]?.unsafe(TEXT, [draw.int(1, ROWS)], { prepare: true })),
      ),
    }
    if (has('pgbench'))
      candidates['pgbench -M prepared (written in C)'] = async () =>
        (await pgbench(app, { scripts: [{ text: SCRIPT, weight: 1 }], clients, seconds: 1 })).tps
    const { ours: values = [], ...peers } = await interleave(rounds, candidates)
    await Promise.all([...sessions.map((session) => session.close()), ...drivers.map((driver) => driver.end())])
    const cost = (name: string): string =>
      name in costUs ? `, ${median(costUs[name] ?? []).toFixed(0)} µs of processor each` : ''
    const what = `operations/s of a closed loop, ${clients} ${clients === 1 ? 'connection' : 'connections'}, prepared select by key`
    return Object.entries(peers).map(([name, peer]) => ({
      what,
      value: `${whole(median(values))}${cost('ours')}`,
      peer: `${name}: ${whole(median(peer))}${cost(name)}`,
      ratio: spread(ratios(values, peer)),
      rounds: values.length,
    }))
  })

export const session = (): Promise<Row[]> => throughput(1, 12)
export const closedLoop = (): Promise<Row[]> => throughput(16, 12)
