import { readdirSync, writeFileSync, appendFileSync } from 'node:fs'
import { test } from 'vitest'
import { rehearseProject } from '../support/rehearsed.js'
import { readFixture } from '../support/projects.js'
import { toolFolder } from '../support/tools.js'
const names = readdirSync('/work/main/test/fixtures/projects', { withFileTypes: true }).filter((e) => e.isDirectory()).map((e) => e.name)
writeFileSync('/tmp/tr/dump.txt', '')
const out = (s: string) => appendFileSync('/tmp/tr/dump.txt', s + '\n')
test.for(names)('%s', async (name) => {
  const { packages } = await readFixture(name)
  const t0 = Date.now()
  const log: string[] = [`##### ${name}`]
  try {
    const r = await rehearseProject(name, { tools: packages === null ? null : await toolFolder(packages), race: true })
    log.push(`code ${r.code} ${r.report.verdict} | ${r.report.headline} | ${Date.now() - t0} ms | left ${r.leftovers.length}`, r.stderr.trim())
    for (const f of r.report.findings) log.push(` - ${f.severity} ${f.rule} | ${f.title} @ ${f.at ? f.at.file + ':' + f.at.line : ''}`)
    for (const n of r.report.recording.tool?.notes ?? []) log.push(` note ${n.kind} ${n.file}:${n.line} ${n.message}`)
    log.push(' warnings ' + JSON.stringify(r.report.recording.warnings))
    for (const p of [r.quiet, r.timed]) {
      const m = p.migration
      log.push(` == ${p.kind} ${JSON.stringify(p.warnings)} ${m.outcome.ok ? 'ok' : JSON.stringify(m.outcome.error)} failed ${m.failedStatement} exit ${m.tool?.exitCode} told ${m.tool?.toldError} ${JSON.stringify(m.tool?.journal)}`)
      log.push('    ' + m.transactions.map((t) => `${t.kind} ${t.end} ${t.statements.length}`).join('; ') + ` half ${JSON.stringify(p.leftovers.halfApplied)} invalid ${JSON.stringify(p.leftovers.invalidIndexes)}`)
      log.push('    sessions ' + m.tool?.sessions.map(s => s.applicationName + (s.trouble ?? '')).join(';'))
    }
    log.push('  states ' + r.quiet.states.map((s) => s.label).join('; '))
    if (r.race) log.push(`  race ${r.race.outcome} twice ${r.race.twice.length} rows ${JSON.stringify(r.race.journalRows)} ${JSON.stringify(r.race.runs.map((x) => [x.exitCode, x.error?.sqlstate, Math.round(x.waitedMs), x.committed.length]))} ${JSON.stringify(r.race.warnings)}`)
  } catch (e) { log.push('ERR ' + String(e)) }
  out(log.join('\n'))
})
