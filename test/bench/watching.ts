/** What watching costs: throughput of a closed loop with the lock sampler, and without it. */
import { parseScript, Random, startClock, startSampler } from './built.js'
import { openSessions, runOn } from './closed-loop.js'
import { connect, interleave, median, ratios, spread, whole, withServer, type Row } from './measure.js'

const SCRIPT = `-- name: get; prepared: yes
\\set id random(1, :n)
select v from t where id = :id;
-- name: put; prepared: yes
\\set id random(1, :n)
update t set v = v where id = :id;
`
const WINDOW_MS = 500
const CONNECTIONS = 10
/** As in the timed pass. */
const PERIOD_MS = 10

/** Ten connections without a pause, one write in ten: the machine is saturated, so whatever the sampler takes is missing. */
export const watching = (): Promise<Row[]> =>
  withServer(async ({ admin, app }) => {
    const [get, put] = parseScript(SCRIPT, 'busy.sql', 'old')
    if (!get || !put) throw new Error('no operations')
    const random = new Random(1)
    const sessions = await openSessions(app, CONNECTIONS, [get, put])
    const sql = connect(admin)
    const migration = connect(admin)
    const [{ pid } = { pid: 0 }] = await migration<{ pid: number }[]>`select pg_backend_pid() as pid`
    let n = 0
    const load = async (): Promise<number> => {
      const start = performance.now()
      let done = 0
      await Promise.all(
        sessions.map(async (session) => {
          while (performance.now() - start < WINDOW_MS) {
            n++
            done += await runOn(session, n % 10 ? get : put, random.fork(n))
          }
        }),
      )
      return (done * 1000) / (performance.now() - start)
    }
    let looks = 0
    const { watched, alone } = await interleave(30, {
      watched: async () => {
        const sampler = startSampler({ sql, clock: startClock(), periodMs: PERIOD_MS, pids: () => [pid] })
        const throughput = await load()
        await sampler.stop()
        if (sampler.failed) throw new Error('the sampler failed')
        looks += sampler.looks.length
        return throughput
      },
      alone: load,
    })
    await Promise.all([...sessions.map((session) => session.close()), sql.end(), migration.end()])
    return [
      {
        what: `operations/s of a closed loop, watched every ${PERIOD_MS} ms (${whole(looks / 31)} looks in ${WINDOW_MS} ms)`,
        value: whole(median(watched)),
        peer: `not watched: ${whole(median(alone))}`,
        ratio: spread(ratios(watched, alone)),
        rounds: watched.length,
      },
    ]
  })
