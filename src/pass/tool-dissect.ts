/**
 * A migration tool in the quiet pass: between two of its messages the tool's own session is asked what the last one did.
 * A message of several statements is sent statement by statement where that cannot change what it does, and said so.
 */
import { startClock } from '../clock.js'
import { installLooks, removeLooks } from '../observe/looks.js'
import { connect, disconnect } from '../pg/connect.js'
import { byId, COUNT_EXACTLY } from './context.js'
import { sampleLocks, type Dissected } from './dissect.js'
import { Dissecting, type ToolOptions } from './dissecting.js'
import { openTool } from './tool.js'

export async function dissectTool(given: Omit<ToolOptions, 'looks'>): Promise<Dissected> {
  const { input, tool, admin } = given
  const options: ToolOptions = { ...given, looks: await installLooks(admin) }
  const clock = startClock()
  const observer = connect(input.admin, { applicationName: 'rehearse sampler' })
  const pids = { live: (): number[] => [] }
  const sampled = sampleLocks(observer, clock, () => pids.live())
  const interposer = new Dissecting(options, sampled)
  const limit = new AbortController()
  const stop = (): void => limit.abort()
  const timer = setTimeout(stop, input.maxDurationMs)
  input.signal.addEventListener('abort', stop, { once: true })
  if (input.signal.aborted) stop()
  const open = await openTool({
    tool,
    input,
    admin: options.admin,
    clock,
    files: options.files,
    settings: COUNT_EXACTLY,
    interpose: interposer,
    onSend: () => sampled.sampler.nudge(),
    onNotice: (session, notice) => interposer.noticed(session, notice),
  })
  pids.live = () => open.proxy.pids()
  try {
    const { trace } = await open.run(limit.signal)
    const statements = byId(trace.files)
    for (const [step, run] of trace.runs) run.work = interposer.workOf(step.exchange, step.position)
    return {
      trace,
      files: trace.files,
      sent: (id) => trace.sent.get(id) ?? null,
      states: interposer.named((exchange) => {
        const ids = trace.steps.flatMap((step) => (step.exchange === exchange ? (trace.runs.get(step) ?? []) : []))
        // A COMMIT of the tool's own holds no statement: then it is the last of the transaction that it ended.
        const transaction =
          ids.at(-1)?.transaction ??
          trace.transactions.findLast((one) => one.committed && one.end.readyMs <= (exchange.readyMs ?? 0))?.ordinal
        const last = statements.get(
          trace.run.transactions.find((one) => one.ordinal === transaction)?.statements.at(-1) ?? '',
        )
        return transaction === undefined || !last ? null : { id: `T${transaction}`, last }
      }),
      warnings: interposer.warnings(byId(trace.files)),
    }
  } finally {
    clearTimeout(timer)
    input.signal.removeEventListener('abort', stop)
    await open.close()
    await interposer.close()
    await sampled.sampler.stop()
    await disconnect(observer)
    await removeLooks(admin)
  }
}
