/** The process that memory.ts measures: traffic for so many seconds, then everything that a recording takes from it. */
import type { MemoryFound } from './memory.js'
import {
  generatorHealth,
  parseScript,
  Random,
  sleep,
  startClock,
  startTraffic,
  trafficErrors,
  trafficRows,
  trafficSeries,
} from './built.js'
import { ROWS, withServer } from './measure.js'

const RATE = 2_000
const CONNECTIONS = 16
const MB = 2 ** 20
const SCRIPT = `-- name: get; weight: 9
\\set id random(1, :n)
select v from t where id = :id;
-- name: put
\\set id random(1, :n)
update t set v = v where id = :id;
`

const seconds = Number(process.argv[2] ?? 60)

const found = await withServer(async ({ app }): Promise<MemoryFound> => {
  const operations = parseScript(SCRIPT, 'memory.sql', 'old')
  const clock = startClock()
  const variables = { rows: ROWS, seed: 1 }
  const beforeMb = process.memoryUsage.rss() / MB
  let mostMb = beforeMb
  const look = (): number => (mostMb = Math.max(mostMb, process.memoryUsage.rss() / MB))
  const timer = setInterval(look, 1_000)
  const traffic = await startTraffic({
    clock,
    workloads: [
      { release: 'old', operations, address: app, connections: CONNECTIONS, variables, random: new Random(1) },
    ],
  })
  traffic.phase('baseline', seconds * 1000)
  traffic.setRate('old', RATE, RATE, 0)
  await sleep(seconds * 1000)
  const { samples, phases } = await traffic.stop(5_000)
  look()
  trafficRows(samples, phases)
  trafficErrors(samples, phases)
  trafficSeries(samples, clock.nowMs())
  const health = generatorHealth(samples, phases, { ratePerSecond: RATE, connections: CONNECTIONS })
  look()
  clearInterval(timer)
  return {
    beforeMb,
    mostMb,
    operations: samples.length,
    lagP99Ms: health.lagP99Ms ?? NaN,
    busy: health.eventLoopUtilisation ?? NaN,
  }
})
console.log(JSON.stringify(found))
