#!/usr/bin/env node
/** The command line: the only place that reads arguments and environment, prints, and sets the exit code. */
import { Command, CommanderError, Option } from 'commander'
import { closeAllNow } from './branches/index.js'
import { explain, type Told } from './commands/explain.js'
import {
  budget,
  disturbances,
  duration,
  formats,
  METRIC_NAMES,
  oneOf,
  positiveNumber,
  wholeNumber,
} from './commands/options.js'
import { report } from './commands/report.js'
import { run, type Console } from './commands/run.js'
import { EXIT, RehearsalError } from './errors.js'
import { DisturbanceKind, type Budgets } from './recording.js'
import type { Format } from './report/index.js'
import { version } from './version.js'

/** A statement that cannot be cancelled must not keep the terminal for longer than this. */
const PATIENCE_MS = 15_000

const debug = process.argv.includes('--debug')
const interrupt = new AbortController()
const io: Console = {
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: interrupt.signal,
  debug,
}

/** Ends at once, whatever is under way; nothing is left running, but nothing more is written either. */
const leave = (code: number): never => {
  closeAllNow()
  // The live view hides the cursor.
  if (process.stderr.isTTY) process.stderr.write('\u001B[?25h')
  process.exit(code)
}

/** Asks for a tidy end, with what was recorded until now, and sees to it that there is an end. */
const stop = (reason: RehearsalError): void => {
  interrupt.abort(reason)
  setTimeout(() => {
    print({ ...explain(reason, debug), hint: 'It did not stop by itself in 15 s, so nothing more was recorded.' })
    leave(reason.exitCode)
  }, PATIENCE_MS).unref()
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    const reason = new RehearsalError('INTERRUPTED', { signal })
    // The second time, nobody wants to wait for a tidy end.
    if (interrupt.signal.aborted) leave(reason.exitCode)
    stop(reason)
  })

// Without this, a stray error in a scenario's own code would end in exit code 1, which means that the migration failed.
process.on('uncaughtException', (error) => {
  const reason = new RehearsalError('CRASHED', { name: error instanceof Error ? error.name : typeof error }, error)
  if (interrupt.signal.aborted) return
  if (debug) process.stderr.write(`${explain(reason, true).stack ?? ''}\n`)
  stop(reason)
})

// Whoever reads may have seen enough (`| head`): no reason to fail.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })

interface RunFlags {
  branch: 'embedded'
  postgres?: 16 | 17 | 18
  rows?: number
  rate?: number
  connections?: number
  warmup?: number
  baseline?: number
  rollout?: number
  settle?: number
  maxDuration?: number
  seed?: number
  port?: number
  pendingSince?: string
  race?: true
  disturb?: true | DisturbanceKind[]
  disturbFor?: number
  budget: Budgets
  failOn: 'warn' | 'fail'
  out?: string
  format: Format[]
  json?: true
  quiet?: true
}

const OUTPUT = [
  new Option(
    '--budget <metric=limit>',
    `a limit, e.g. lock.held=500ms or lock.held=100ms:500ms (warn:fail); may be repeated; metrics: ${METRIC_NAMES}`,
  )
    .argParser(budget)
    .default({}, 'the usual limits, see README'),
  new Option('--fail-on <level>', 'exit with 1 from this verdict on: warn or fail')
    .argParser(oneOf('--fail-on', ['warn', 'fail'] as const))
    .default('fail'),
  new Option('--format <list>', 'what is written beside recording.json: html, json, md')
    .argParser(formats)
    .default(['html', 'json', 'md'], 'html,json,md'),
  new Option('--json', 'the report as JSON on stdout'),
  new Option('--quiet', 'only the verdict on stderr'),
]

const program = new Command('rehearse')
  .description(
    'Rehearses a PostgreSQL schema migration under the traffic of the old and the new release, on a throw-away database.',
  )
  .version(version)
  .option('--debug', 'show stack traces')
  .configureOutput({ outputError: () => undefined })
  .configureHelp({ showGlobalOptions: true })
  .showHelpAfterError(false)
  .exitOverride()

const runCommand = program
  .command('run', { isDefault: true })
  .description('rehearse projects (rehearse.config.ts, or what is detected) and scenario folders')
  .argument('[folder...]', 'projects or scenario folders (default: the current folder); see the README')
  .addOption(
    new Option('--branch <provider>', 'where the throw-away database comes from: embedded')
      .argParser(oneOf('--branch', ['embedded'] as const))
      .default('embedded'),
  )
  .addOption(
    new Option('--postgres <major>', 'major version of the embedded server: 16, 17 or 18 (default: 18)').argParser(
      (text: string) => Number(oneOf('--postgres', ['16', '17', '18'] as const)(text)),
    ),
  )
  .addOption(
    new Option('--rows <n>', 'rows of the largest table, :n in seeds and traffic').argParser(
      wholeNumber('--rows', 1, 1_000_000_000),
    ),
  )
  .addOption(
    new Option('--rate <per second>', 'operations a second of each release').argParser(
      positiveNumber('--rate', 100_000),
    ),
  )
  .addOption(
    new Option('--connections <n>', 'connections of each release').argParser(wholeNumber('--connections', 1, 80)),
  )
  .addOption(new Option('--warmup <duration>', 'traffic before the baseline').argParser(duration('--warmup')))
  .addOption(new Option('--baseline <duration>', 'the old release alone').argParser(duration('--baseline', true)))
  .addOption(new Option('--rollout <duration>', 'from the old release to the new').argParser(duration('--rollout')))
  .addOption(new Option('--settle <duration>', 'the new release alone').argParser(duration('--settle')))
  .addOption(
    new Option('--max-duration <duration>', 'the migration is stopped after this').argParser(
      duration('--max-duration', true),
    ),
  )
  .addOption(new Option('--seed <number>', 'same number, same data, same traffic').argParser(wholeNumber('--seed', 0)))
  .addOption(
    new Option('--port <number>', 'TCP port of the database on 127.0.0.1 (default: a free one)').argParser(
      wholeNumber('--port', 1, 65_535),
    ),
  )
runCommand
  .addOption(
    new Option(
      '--pending-since <ref>',
      'migrations that this git commit does not have are pending, whatever the configuration says (without either: the merge-base with the default branch)',
    ),
  )
  .addOption(
    new Option(
      '--race',
      'also start the migration tool twice at once, as a rolling deploy does (not for plain SQL files)',
    ),
  )
  .addOption(
    new Option(
      '--disturb [list]',
      `also rehearse, each in a short pass, while something else goes on: ${DisturbanceKind.options.join(', ')} (default: all of them)`,
    ).argParser(disturbances),
  )
  .addOption(
    new Option('--disturb-for <duration>', 'how long it lasts after the migration has begun (default: 10s)').argParser(
      duration('--disturb-for', true),
    ),
  )
runCommand.addOption(
  new Option(
    '--out <folder>',
    'where the report goes (default: reports/<name>/<time>-<commit>; with several folders, a folder in it each)',
  ),
)
for (const option of OUTPUT) runCommand.addOption(option)
runCommand.action(async (folders: string[], flags: RunFlags) => {
  process.exitCode = await run(
    folders,
    {
      overrides: {
        rows: flags.rows,
        seedNumber: flags.seed,
        postgres: flags.postgres,
        rate: flags.rate,
        connections: flags.connections,
        phases: {
          warmupMs: flags.warmup,
          baselineMs: flags.baseline,
          rolloutMs: flags.rollout,
          settleMs: flags.settle,
        },
        maxDurationMs: flags.maxDuration,
        budgets: flags.budget,
        pendingSince: flags.pendingSince,
        disturbances: flags.disturb === true ? DisturbanceKind.options : flags.disturb,
        disturbForMs: flags.disturbFor,
      },
      out: flags.out ?? null,
      formats: flags.format,
      json: flags.json ?? false,
      quiet: flags.quiet ?? false,
      failOn: flags.failOn,
      race: flags.race ?? false,
      port: flags.port ?? null,
      commandLine: commandLine(process.argv.slice(2)),
    },
    io,
  )
})

const reportCommand = program
  .command('report')
  .description('judge and render a stored recording again')
  .argument('<recording.json>', 'recording.json, or report.json')
reportCommand.addOption(new Option('--out <folder>', 'where the report goes (default: beside the recording)'))
for (const option of OUTPUT) reportCommand.addOption(option)
reportCommand.action(async (file: string, flags: Omit<RunFlags, 'branch'>) => {
  process.exitCode = await report(
    file,
    {
      budgets: flags.budget,
      out: flags.out ?? null,
      formats: flags.format,
      json: flags.json ?? false,
      quiet: flags.quiet ?? false,
      failOn: flags.failOn,
    },
    io,
  )
})

/** As one would type it again. */
const commandLine = (args: readonly string[]): string =>
  ['rehearse', ...args]
    .map((arg) => (/^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`))
    .join(' ')

function print({ line, hint, stack }: Told): void {
  process.stderr.write(`rehearse: ${line}\n`)
  if (hint !== null) process.stderr.write(`  ${hint}\n`)
  if (stack !== null) process.stderr.write(`${stack}\n`)
}

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof CommanderError)) {
    const told = explain(error, debug)
    print(told)
    process.exitCode = told.code
  } else if (error.exitCode !== 0) {
    print({
      line: `${error.message.replace(/^error: /, '')} (rehearse --help lists what there is)`,
      hint: null,
      stack: null,
      code: EXIT.usage,
    })
    process.exitCode = EXIT.usage
  }
}
