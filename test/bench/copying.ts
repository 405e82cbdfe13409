/** Giving a pass its own copy of a filled cluster: fork (copy, sync to disk, start) beside a plain `cp -a`. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, interleave, median, ratios, spread, withBranch, type Row } from './measure.js'

const MB = 1024 * 1024

export const copying = (): Promise<Row[]> =>
  withBranch(async (branch) => {
    const owner = connect(branch.address('migrate'))
    await owner.unsafe('create table filler (id int primary key, v text not null)')
    await owner.unsafe(`insert into filler select g, repeat(md5(g::text), 8) from generate_series(1, 1000000) g`)
    await owner.end()
    await branch.seal()
    // A copy that never ran a query stands for the sealed cluster, which only `fork` can reach.
    const source = await branch.fork('source')
    const bytes = Number(execFileSync('du', ['-sk', source.dataDirectory], { encoding: 'utf8' }).split('\t')[0]) * 1024
    const seconds = async (step: () => unknown): Promise<number> => {
      const start = performance.now()
      await step()
      return (performance.now() - start) / 1000
    }
    const { fork, cp } = await interleave(7, {
      fork: async () => {
        const made: { stop(): Promise<void> }[] = []
        const took = await seconds(async () => made.push(await branch.fork('bench')))
        for (const copy of made) await copy.stop()
        return took
      },
      cp: async () => {
        const folder = mkdtempSync(join(tmpdir(), 'rehearse-bench-'))
        const took = await seconds(() => execFileSync('cp', ['-a', source.dataDirectory, folder]))
        rmSync(folder, { recursive: true })
        return took
      },
    })
    const speed = (took: number): string => `${(bytes / MB / took).toFixed(0)} MB/s`
    return [
      {
        what: `fork of a cluster of ${(bytes / MB).toFixed(0)} MB (${source.copiedBy}), time until it answers`,
        value: `${median(fork).toFixed(2)} s, ${speed(median(fork))}`,
        peer: `cp -a: ${median(cp).toFixed(2)} s, ${speed(median(cp))}`,
        ratio: spread(ratios(fork, cp)),
        rounds: fork.length,
      },
    ]
  })
