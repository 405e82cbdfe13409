/**
 * `npm run bench [-- name...]`: what the harness itself costs, as a table. Every figure stands beside a peer measured in
 * the same run in rounds that alternate; ratios are medians over the rounds with their range.
 */
import os from 'node:os'
import { copying } from './copying.js'
import type { Row } from './measure.js'
import { proxy } from './proxy.js'
import { rendering } from './rendering.js'
import { seeding } from './seeding.js'
import { openLoop, session } from './traffic.js'
import { watching } from './watching.js'

const BENCHES: Readonly<Record<string, () => Promise<Row[]>>> = {
  session,
  'open-loop': openLoop,
  watching,
  proxy,
  seeding,
  copying,
  rendering,
}

const wanted = process.argv.slice(2)
const unknown = wanted.find((name) => !(name in BENCHES))
if (unknown !== undefined) throw new Error(`no bench ${unknown}; there are ${Object.keys(BENCHES).join(', ')}`)

const cpu = os.cpus()[0]?.model.trim() ?? 'unknown processor'
const memory = `${Math.round(os.totalmem() / 2 ** 30)} GB`
console.log(
  `${os.availableParallelism()} × ${cpu}, ${memory}, ${os.platform()} ${os.arch()}, Node ${process.version}\n`,
)
console.log('| what | measured | beside it | ratio, median (range) | rounds |')
console.log('| --- | --- | --- | --- | ---: |')
for (const [name, bench] of Object.entries(BENCHES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  for (const { what, value, peer, ratio, rounds } of await bench())
    console.log(`| ${what} | ${value} | ${peer} | ${ratio} | ${rounds} |`)
}
