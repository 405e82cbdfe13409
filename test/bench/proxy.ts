/** What the loopback proxy adds to a round trip, and how fast a COPY goes through it. */
import { build, openProxy, openRaw, startClock } from './built.js'
import { interleave, median, ratios, spread, withServer, type Row } from './measure.js'

const ROUNDS = 40
const TRIPS = 250
const BLOCK_BYTES = 64 * 1024
const COPY_BYTES = 32 * 2 ** 20

const MESSAGES: Readonly<Record<string, Buffer>> = {
  'simple protocol': build.query('select 1'),
  'extended protocol': Buffer.concat([
    build.parse('select 1'),
    build.bind(),
    build.describe('P'),
    build.execute(),
    build.sync(),
  ]),
}

/** Median round trip of `select 1` through the proxy, and straight to the server; both clients know no driver. */
export const proxy = (): Promise<Row[]> =>
  withServer(async ({ app }) => {
    const clock = startClock()
    // As in the timed pass: everything is recorded and no notice is announced.
    const between = await openProxy({ upstream: app, clock, holdBack: () => true })
    const [through, direct] = [await openRaw(between.address), await openRaw(app)]
    const rows: Row[] = []
    for (const [name, message] of Object.entries(MESSAGES)) {
      const trips = (connection: typeof direct) => async (): Promise<number> => {
        const times: number[] = []
        for (let i = 0; i < TRIPS; i++) {
          const start = performance.now()
          await connection.exchange(message)
          times.push(performance.now() - start)
        }
        return median(times)
      }
      const found = await interleave(ROUNDS, { through: trips(through), direct: trips(direct) })
      const added = found.through.map((ms, i) => ms - (found.direct[i] ?? NaN))
      rows.push({
        what: `median round trip of select 1 through the proxy, ${name}`,
        value: `${median(found.through).toFixed(3)} ms, ${spread(added, 3)} ms added`,
        peer: `straight to the server: ${median(found.direct).toFixed(3)} ms`,
        ratio: spread(ratios(found.through, found.direct)),
        rounds: ROUNDS,
      })
    }
    await Promise.all([
      through.exchange(build.query('create temp table sink (v text)')),
      direct.exchange(build.query('create temp table sink (v text)')),
    ])
    rows.push(await copying(through, direct))
    await Promise.all([through.end(), direct.end()])
    await between.close()
    return rows
  })

async function copying(through: Connection, direct: Connection): Promise<Row> {
  const block = build.copyData(Buffer.from(`${'x'.repeat(127)}\n`.repeat(BLOCK_BYTES / 128)))
  const copy = (connection: Connection) => async (): Promise<number> => {
    const start = performance.now()
    connection.send(build.query('copy sink from stdin'))
    for (let sent = 0; sent < COPY_BYTES; sent += BLOCK_BYTES)
      if (!connection.send(block)) await new Promise((resolve) => connection.socket.once('drain', resolve))
    await connection.exchange(build.copyDone())
    const ms = performance.now() - start
    await connection.exchange(build.query('truncate sink'))
    return (COPY_BYTES / 2 ** 20 / ms) * 1000
  }
  const found = await interleave(8, { through: copy(through), direct: copy(direct) })
  return {
    what: 'MB/s of COPY FROM STDIN through the proxy',
    value: median(found.through).toFixed(0),
    peer: `straight to the server: ${median(found.direct).toFixed(0)}`,
    ratio: spread(ratios(found.through, found.direct)),
    rounds: found.through.length,
  }
}

type Connection = Awaited<ReturnType<typeof openRaw>>
