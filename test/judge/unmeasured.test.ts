/** What was not measured cannot pass. */
import { describe, expect, it } from 'vitest'
import type { StatementRun } from '../../src/recording.js'
import * as p from '../fixtures/parts.js'
import { found, judged, outcome, plain, recording, severities, work } from './build.js'
import { judge } from '../../src/judge/index.js'

const second = p.statement('1.sql', 2, 3, 'UpdateStmt', 'update orders set note = $1')
const set = p.statement('1.sql', 3, 4, 'VariableSetStmt', "set lock_timeout = '1s'")
const commit = p.statement('1.sql', 4, 5, 'TransactionStmt', 'commit')
const statements = [plain, second, set, commit]

const runs = (...list: [typeof plain, Partial<StatementRun>][]): ReturnType<typeof judged> =>
  judged({
    statements,
    quiet: { migration: p.migration(list.map(([one, over]) => p.ran(one, 1, 100, 110, over))) },
  })

describe('statements whose work is not known', () => {
  it('all is known: nothing is said', () => {
    expect(severities(runs([plain, { work: work() }], [second, { work: work() }]), 'not-measured')).toEqual([])
  })

  it('one: a warning, at its place', () => {
    const report = runs([plain, { work: work() }], [second, { work: null }])
    const [finding] = found(report, 'not-measured')
    expect(finding).toMatchObject({
      severity: 'warn',
      title: 'What one statement did could not be measured',
      at: { file: '1.sql', line: 3, statement: second.id },
    })
    expect(finding?.evidence.join()).toContain('1.sql:3')
    expect(report.verdict).toBe('warn')
  })

  it('several: one finding that names all of them', () => {
    const [finding, ...others] = found(runs([plain, { work: null }], [second, { work: null }]), 'not-measured')
    expect(others).toEqual([])
    expect(finding?.title).toBe('What 2 statements did could not be measured')
    expect(finding?.evidence.join()).toMatch(/1\.sql:1.*1\.sql:3/)
  })

  it('what does nothing by itself is not missed', () => {
    const report = runs([plain, { work: work() }], [set, { work: null }], [commit, { work: null }])
    expect(severities(report, 'not-measured')).toEqual([])
  })

  it('nor is what failed: that is another finding', () => {
    const report = runs([plain, { work: null, outcome: outcome('42701') }])
    expect(severities(report, 'not-measured')).toEqual([])
  })

  it('the timed pass measures no work, and is not asked for it', () => {
    const { passes } = recording()
    expect(passes.some((pass) => pass.kind === 'timed' && pass.migration.statements[0]?.work === null)).toBe(true)
    expect(severities(judge(recording()), 'not-measured')).toEqual([])
  })

  it('without a quiet pass there is nothing to say', () => {
    const whole = recording()
    const report = judge({ ...whole, passes: whole.passes.filter((pass) => pass.kind !== 'quiet') })
    expect(severities(report, 'not-measured')).toEqual([])
  })
})
