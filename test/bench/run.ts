/**
 * `npm run bench [-- name...]`: what the harness itself costs, as a table. Every figure stands beside a peer measured in
 * the same run in rounds that alternate; ratios are medians over the rounds with their range. `--seconds 600` is how long
 * memory is watched (60 unless given).
 */
import os from 'node:os'
import { parseArgs } from 'node:util'
import { closedLoop, session } from './closed-loop.js'
import { copying } from './copying.js'
import type { Row } from './measure.js'
import { memory } from './memory.js'
import { agreement, openLoop } from './open-loop.js'
import { proxy } from './proxy.js'
import { rendering } from './rendering.js'
import { seeding } from './seeding.js'
import { watching } from './watching.js'

const { values, positionals: wanted } = parseArgs({
  options: { seconds: { type: 'string', default: '60' } },
  allowPositionals: true,
})
const { seconds } = values
if (!/^[1-9]\d*$/.test(seconds)) throw new Error('--seconds takes a whole number')

const BENCHES: Readonly<Record<string, () => Promise<Row[]>>> = {
  session,
  'closed-loop': closedLoop,
  'open-loop': openLoop,
  agreement,
  memory: () => memory(Number(seconds)),
  watching,
  proxy,
  seeding,
  copying,
  rendering,
}

const unknown = wanted.find((name) => !(name in BENCHES))
if (unknown !== undefined) throw new Error(`no bench ${unknown}; there are ${Object.keys(BENCHES).join(', ')}`)

const cpu = os.cpus()[0]?.model.trim() ?? 'unknown processor'
const installed = `${Math.round(os.totalmem() / 2 ** 30)} GB`
console.log(
  `${os.availableParallelism()} × ${cpu}, ${installed}, ${os.platform()} ${os.arch()}, Node ${process.version}\n`,
)
console.log('| what | measured | beside it | ratio, median (range) | rounds |')
console.log('| --- | --- | --- | --- | ---: |')
for (const [name, bench] of Object.entries(BENCHES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  for (const { what, value, peer, ratio, rounds } of await bench())
    console.log(`| ${what} | ${value} | ${peer} | ${ratio} | ${rounds} |`)
}
