/**
 * Keeps one program of the user's running, as a process manager would: what ends is started again, a test suite as much
 * as a server that has crashed, until it ends in failure too often or is stopped.
 */
import { sleep, type Clock } from '../clock.js'
import { maskSecrets } from '../migrations/child/database-url.js'
import { refusedConnections, type Guard } from '../migrations/child/guard.js'
import { startGroup, type ProcessGroup } from '../migrations/child/process-group.js'
import type { ProgramRun, Release } from '../recording.js'

/** A run that ends sooner than this has not worked at all, if it ends in failure. */
const QUICK_MS = 5_000
/** So many of them in a row, and it stays down. */
const MOST_QUICK = 3
const PAUSE_MS = 200
/** From SIGTERM to SIGKILL. */
const GRACE_MS = 3_000
/** Runs that are listed; a test suite of a second is started often. */
const LISTED = 100
const KEPT = 16 * 1024

export interface SupervisorOptions {
  release: Release
  role: ProgramRun['role']
  /** Line for the shell, as the user wrote it. */
  command: string
  cwd: string
  env: Readonly<Record<string, string>>
  guard: Guard
  clock: Clock
  /** What must not appear in its output. */
  secrets: readonly string[]
  runDirectory: string
  /** Sessions that were opened until now. */
  sessions: () => number
  graceMs?: number
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #runs: ProgramRun[] = []
  readonly #stop = new AbortController()
  #group: ProcessGroup | null = null
  #output = ''
  #quick = 0
  #unlisted = 0
  #kept: Promise<void> | null = null
  #down: string | null = null

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  /** Starts it, and again whenever it ends. */
  start(): void {
    this.#kept ??= this.#keep()
  }

  /** SIGTERM to all of it, then SIGKILL; resolves when nothing of it is left. */
  async stop(): Promise<void> {
    this.#stop.abort()
    this.#group?.signal('SIGTERM')
    const kill = setTimeout(() => this.#group?.signal('SIGKILL'), this.#options.graceMs ?? GRACE_MS)
    await this.#kept
    clearTimeout(kill)
  }

  /** Runs that have ended. */
  runs(): readonly ProgramRun[] {
    return this.#runs
  }

  /** Why it is not started any more; null while it is. */
  down(): string | null {
    return this.#down
  }

  /** Runs that are not listed, because there were too many. */
  get unlisted(): number {
    return this.#unlisted
  }

  /** The end of what it printed, secrets masked. May hold data. */
  output(): string {
    return maskSecrets(this.#output, this.#options.secrets).slice(-KEPT)
  }

  async #keep(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted && this.#down === null) {
      await this.#run()
      await sleep(PAUSE_MS, signal)
    }
  }

  async #run(): Promise<void> {
    const { command, cwd, env, runDirectory, clock, sessions, release, role, guard } = this.#options
    const [startMs, before] = [clock.nowMs(), sessions()]
    let group: ProcessGroup
    try {
      const argv = ['/bin/sh', '-c', command]
      group = await startGroup({ argv, cwd, env, stdio: ['ignore', 'pipe', 'pipe'], runDirectory })
    } catch (error) {
      this.#down = `it cannot be started (${error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'})`
      return
    }
    this.#group = group
    // Read all the time, or the program would stop when the pipe is full.
    for (const stream of [group.child.stdout, group.child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-2 * KEPT)
      })
    const ended = new Promise<{ exitCode: number | null; name: string | null }>((resolve) => {
      group.child.once('exit', (exitCode, name) => resolve({ exitCode, name }))
    })
    // It may have been told to stop while it was being started.
    if (this.#stop.signal.aborted) group.signal('SIGTERM')
    const end = await ended
    const endMs = clock.nowMs()
    const byItself = !this.#stop.signal.aborted
    await group.reap()
    group.child.stdout?.destroy()
    group.child.stderr?.destroy()
    this.#group = null
    const refused = (await refusedConnections(guard)).map(({ host, port }) =>
      port === null ? host : `${host}:${port}`,
    )
    const run = { startMs, endMs, exitCode: byItself ? end.exitCode : null, byItself, sessions: sessions() - before }
    if (this.#runs.length < LISTED) this.#runs.push({ release, role, command, ...run, ready: true, refused })
    else this.#unlisted++
    if (byItself) this.#judge(run, end.name)
  }

  #judge(run: Pick<ProgramRun, 'startMs' | 'endMs' | 'exitCode'>, signal: string | null): void {
    const { role, sessions } = this.#options
    // What is to use the database and ends without ever having done so is no success either.
    const failed = run.exitCode !== 0 || (role === 'serve' && sessions() === 0)
    const quick = run.endMs - run.startMs < QUICK_MS
    this.#quick = failed && quick ? this.#quick + 1 : 0
    if (this.#quick < MOST_QUICK) return
    const how = run.exitCode === null ? `was ended by ${signal ?? 'a signal'}` : `ended with exit code ${run.exitCode}`
    this.#down = `it ${how}, ${MOST_QUICK} times in a row`
  }
}
