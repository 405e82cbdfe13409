/** `rehearse run [folder...]`: loads and checks all of them, then rehearses one after the other. */
import { readdir } from 'node:fs/promises'
import { EXIT, isErrorCode, RehearsalError } from '../errors.js'
import { gitRevision } from '../environment.js'
import { judge } from '../judge/index.js'
import { plan } from '../plan.js'
import type { Report } from '../recording.js'
import { rehearse } from '../rehearse.js'
import { loadScenario, type Scenario, type ScenarioOverrides } from '../scenario.js'
import type { Format } from '../report/index.js'
import { formatMs } from '../units.js'
import { progress } from '../terminal/progress.js'
import { summary } from '../terminal/summary.js'
import { styleFor } from '../terminal/text.js'
import { explain } from './explain.js'
import { defaultFolder, openOutput } from './output.js'

export interface RunOptions {
  overrides: ScenarioOverrides
  out: string | null
  formats: Format[]
  json: boolean
  quiet: boolean
  failOn: 'warn' | 'fail'
  port: number | null
  race: boolean
  commandLine: string
}

/** What a command may touch of the process. */
export interface Console {
  stdout: NodeJS.WriteStream
  stderr: NodeJS.WriteStream
  env: Readonly<Record<string, string | undefined>>
  signal: AbortSignal
  /** Show where errors come from. */
  debug: boolean
}

/** Returns the exit code. */
export async function run(folders: readonly string[], options: RunOptions, console: Console): Promise<number> {
  const paths = folders.length > 0 ? folders : ['.']
  const several = paths.length > 1
  const scenarios: Scenario[] = []
  const codes: number[] = []
  for (const path of paths)
    try {
      scenarios.push(await loadScenario(path, options.overrides).catch((error: unknown) => nameOthers(error, folders)))
    } catch (error) {
      // Of several, one without anything pending must not keep the others from being rehearsed.
      if (!several || !(error instanceof RehearsalError) || error.code !== 'NOTHING_PENDING') throw error
      const { line, hint, code } = explain(error, false)
      console.stderr.write([`rehearse: ${path}: ${line}`, hint && `  ${hint}`].filter(Boolean).join('\n') + '\n')
      codes.push(code)
    }
  if (several && options.out !== null) refuseSameNames(scenarios)
  const reports: Report[] = []
  for (const scenario of scenarios) {
    try {
      const { code, report } = await one(scenario, options, console, several)
      codes.push(code)
      reports.push(report)
    } catch (error) {
      // What the others showed must not be lost.
      if (!several) throw error
      const { line, hint, stack, code } = explain(error, console.debug)
      console.stderr.write(
        [`rehearse: ${scenario.name}: ${line}`, hint && `  ${hint}`, stack].filter(Boolean).join('\n') + '\n',
      )
      codes.push(code)
    }
    if (console.signal.aborted) break
  }
  if (options.json) {
    const value: unknown = several ? reports : reports[0]
    if (value !== undefined) console.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
  }
  return worst(codes)
}

/** Without a folder named, the current one was looked at: say what to name. */
async function nameOthers(error: unknown, folders: readonly string[]): Promise<never> {
  if (folders.length === 0 && error instanceof RehearsalError && error.code === 'NO_SCENARIO') {
    const known = (await readdir('scenarios').catch(() => [])).sort()
    throw new RehearsalError('NO_SCENARIO', {
      path: '.',
      reason: `${error.details['reason'] ?? ''}${known.length > 0 ? `; there are ${known.map((n) => `scenarios/${n}`).join(', ')}` : ''}`,
    })
  }
  throw error
}

function refuseSameNames(scenarios: readonly Scenario[]): void {
  const names = scenarios.map((scenario) => scenario.name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined)
    throw new RehearsalError('USAGE', {
      message: `two scenarios are named ${twice}: with --out their reports would overwrite each other`,
    })
}

async function one(
  scenario: Scenario,
  options: RunOptions,
  console: Console,
  several: boolean,
): Promise<{ code: number; report: Report }> {
  const content = scenario.migrations.map((file) => file.sha256).join('')
  const folder = options.out
    ? several
      ? `${options.out}/${scenario.name}`
      : options.out
    : defaultFolder(scenario.name, await gitRevision(scenario.folder), content, new Date())
  const output = await openOutput(folder, options.formats)
  const view = options.quiet ? { emit: () => undefined, stop: () => undefined } : progress(console.stderr, console.env)
  let recording
  try {
    view.emit({ type: 'step', text: planLine(scenario, options.race) })
    recording = await rehearse(scenario, {
      signal: console.signal,
      emit: view.emit,
      commandLine: options.commandLine,
      shell: console.env,
      race: options.race,
      ...(options.port === null ? {} : { port: options.port }),
    })
  } catch (error) {
    view.stop()
    output.discard()
    // An interruption shows as whatever it broke.
    throw console.signal.aborted ? console.signal.reason : error
  }
  view.stop()
  const report = judge(recording)
  const paths = await output.write(recording, report)
  const text = summary(report, {
    ...styleFor(console.env, console.stderr.isTTY),
    width: options.quiet ? 1_000 : Math.min(100, console.stderr.columns || 80),
    paths,
  })
  console.stderr.write(options.quiet ? `${text.split('\n')[0] ?? ''}\n` : `\n${text}\n`)
  return { code: codeOf(report, options.failOn), report }
}

function planLine(scenario: Scenario, race: boolean): string {
  const { passes, expectedMs } = plan(scenario, race)
  return `${scenario.name}: ${passes.map((pass) => `${pass.kind} pass`).join(', then ')}; about ${formatMs(expectedMs)} and the migration's own time, at most ${formatMs(scenario.maxDurationMs)} of it`
}

/** The exit code of a report: what stopped it counts before what it found. */
export function codeOf(report: Report, failOn: 'warn' | 'fail'): number {
  const { stopped } = report.recording
  if (stopped)
    return isErrorCode(stopped.code)
      ? new RehearsalError(stopped.code, { signal: /SIGTERM/.test(stopped.message) ? 'SIGTERM' : 'SIGINT' }).exitCode
      : EXIT.cannot
  if (report.verdict === 'fail' || (report.verdict === 'warn' && failOn === 'warn')) return EXIT.fail
  return report.verdict === 'inconclusive' ? EXIT.inconclusive : EXIT.ok
}

/** Of several: an interruption first, then a proved failure, then what could not be done, then what proved nothing. */
export function worst(codes: readonly number[]): number {
  for (const code of [EXIT.sigint, EXIT.sigterm, EXIT.fail, EXIT.cannot, EXIT.usage, EXIT.inconclusive])
    if (codes.includes(code)) return code
  return EXIT.ok
}
