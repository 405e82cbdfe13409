/** `rehearse report <recording.json>`: judges and renders a stored recording again, with other limits if wanted. */
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { RehearsalError } from '../errors.js'
import { judge } from '../judge/index.js'
import type { Budgets } from '../recording.js'
import { parseRecording } from '../read-recording.js'
import type { Format } from '../report/index.js'
import { summary } from '../terminal/summary.js'
import { styleFor } from '../terminal/text.js'
import { openOutput, reasonOf } from './output.js'
import { codeOf, type Console } from './run.js'

export interface ReportOptions {
  budgets: Budgets
  out: string | null
  formats: Format[]
  json: boolean
  quiet: boolean
  failOn: 'warn' | 'fail'
}

export async function report(file: string, options: ReportOptions, console: Console): Promise<number> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new RehearsalError('FILE_UNREADABLE', { file, message: reasonOf(error) }, error)
  })
  const recording = parseRecording(text, file)
  const judged = judge(recording, options.budgets)
  const output = await openOutput(options.out ?? dirname(file), options.formats)
  const paths = await output.write(recording, judged)
  const lines = summary(judged, {
    ...styleFor(console.env, console.stderr.isTTY),
    width: options.quiet ? 1_000 : Math.min(100, console.stderr.columns || 80),
    paths,
  })
  console.stderr.write(options.quiet ? `${lines.split('\n')[0] ?? ''}\n` : `${lines}\n`)
  if (options.json) console.stdout.write(`${JSON.stringify(judged, null, 2)}\n`)
  return codeOf(judged, options.failOn)
}
