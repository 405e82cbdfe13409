/** As test/observe/looks.test.ts, on both majors and for every way of sending the statements. */
import { describe, expect, it } from 'vitest'
import { piecesOf } from '../../src/migrations/wire-trace/steps.js'
import { CASES, comparable, inCopy, measured, serverOf } from '../observe/looks-build.js'

describe.each([18, 16])('on PostgreSQL %i', (major) => {
  const started = serverOf(major)
  it.for(CASES)('%s', async ([, text], context) => {
    const server = started()
    if (!server) return context.skip('this major is not installed')
    const asked = await inCopy(server, (at) => measured(at, text, null))
    expect(asked.trace.run.outcome).toEqual({ ok: true })
    const parts = piecesOf(text).map(({ sql }) => sql)
    // LOCK in a pipeline without a block is allowed since PostgreSQL 18 only.
    const pipeline = major < 18 && /^lock /m.test(parts.join('\n')) ? [] : [[parts]]
    for (const messages of [[text], ['begin', text, 'commit'], ...pipeline, ['begin', ...parts, 'commit']]) {
      const told = await inCopy(server, (at) => measured(at, text, messages))
      expect(told.trace.run.outcome).toEqual({ ok: true })
      // SET does nothing that could be seen.
      expect(told.works.map(comparable)).toEqual(asked.works.map((work, i) => told.works[i] && comparable(work)))
      expect(told.warnings.filter((one) => !one.includes('statement by statement'))).toEqual([])
    }
  })
})
