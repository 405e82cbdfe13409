/** A program of the user's with what makes it work, behind a proxy: started, waited for, and ended. */
import { join } from 'node:path'
import { RehearsalError } from '../errors.js'
import type { Clock } from '../clock.js'
import { writeGuard } from '../migrations/child/guard.js'
import { tellingLine } from '../migrations/child/telling-line.js'
import type { AddressVariable } from '../migrations/tools/types.js'
import type { ProgramRun, Release } from '../recording.js'
import type { Proxy } from '../wire/proxy.js'
import { loadEnvironment, serveEnvironment, type ProgramEnvironment } from './environment.js'
import { deadline, freePort, isReady, readReady, until, type Ready } from './ready.js'
import { Supervisor } from './supervisor.js'

/** What is started, with everything looked up. */
export interface Program {
  /** Line for the shell. */
  command: string
  /** What makes it work, as a line for the shell; null when it works by itself. */
  load: string | null
  /** A URL or a port; null for a first connection to the database, or to PORT. */
  ready: string | null
  readyWithinMs: number
  /** Absolute. */
  cwd: string
  variables: readonly AddressVariable[]
  env: Readonly<Record<string, string>>
  passEnv: readonly string[]
  allowHosts: readonly string[]
  /** Looked into for programs before PATH. */
  binFolders: readonly string[]
}

export interface RunnerOptions {
  release: Release
  program: Program
  /** A folder of ours, removed with the rest of the rehearsal. */
  directory: string
  shell: Readonly<Record<string, string | undefined>>
  clock: Clock
  proxy: Proxy
  /** Sessions that were opened until now. */
  sessions: () => number
  graceMs?: number
}

interface Waiting {
  ready: Ready | null
  port: number
  signal: AbortSignal
}

export class Runner {
  readonly #options: RunnerOptions
  readonly #stop = new AbortController()
  #serve: Supervisor | null = null
  #load: Supervisor | null = null

  constructor(options: RunnerOptions) {
    this.#options = options
  }

  /**
   * Starts it and resolves when it is ready and has opened a session; also when it is stopped meanwhile. Throws
   * PROGRAM_NOT_READY, PROGRAM_NOT_CONNECTED, USAGE, NO_PORT; it is to be stopped then too.
   */
  async start(): Promise<void> {
    const { release, program } = this.#options
    // Somebody may know that the program listens there whatever PORT says.
    const port = Number(program.env['PORT'] ?? NaN) || (await freePort())
    const ready = program.ready === null ? null : readReady(program.ready, port, `traffic.${release}.ready`)
    const serve = await this.#supervisor('serve', program.command, port)
    const load = program.load === null ? null : await this.#supervisor('load', program.load, port)
    if (this.#isStopped()) return
    this.#serve = serve
    serve.start()
    const limits = deadline(this.#stop.signal, program.readyWithinMs)
    try {
      await this.#untilItWorks(serve, load, { ready, port, signal: limits.signal })
    } finally {
      limits.clear()
    }
  }

  async #untilItWorks(serve: Supervisor, load: Supervisor | null, { ready, port, signal }: Waiting): Promise<void> {
    const { program, proxy } = this.#options
    const late = `not within ${program.readyWithinMs / 1_000} s`
    const connected = (): boolean => this.#options.sessions() > 0
    await until(async () => serve.down() !== null || (await this.#isUp(ready, port, connected, signal)), signal)
    if (this.#isStopped()) return
    const failure = serve.down()
    if (failure !== null)
      throw ready || connected() ? this.#notReady(serve, failure) : this.#notConnected(serve, failure)
    if (signal.aborted && ready === null) throw this.#notConnected(serve, late)
    if (signal.aborted) throw this.#notReady(serve, `${shown(ready)} does not answer, ${late}`)
    this.#load = load
    load?.start()
    const down = (): string | null =>
      serve.down() ?? (load?.down() ? `what makes it work (load) is down: ${load.down() ?? ''}` : null)
    await until(() => connected() || down() !== null, signal)
    if (this.#isStopped() || connected()) return
    const refused = proxy.refusals.at(-1)
    throw this.#notConnected(serve, refused ? `its connection was refused: ${refused.reason}` : (down() ?? late))
  }

  #isStopped(): boolean {
    return this.#stop.signal.aborted
  }

  /** First what makes it work, then the program itself. */
  async end(): Promise<void> {
    this.#stop.abort()
    await this.#load?.stop()
    await this.#serve?.stop()
  }

  runs(): ProgramRun[] {
    return [this.#serve, this.#load].flatMap((one) => one?.runs() ?? [])
  }

  /** What became of it that its runs do not say, in sentences. */
  warnings(): string[] {
    const { release } = this.#options
    return [this.#serve, this.#load].flatMap((one) => {
      if (one === null) return []
      const what = one === this.#serve ? `The program of the ${release} release` : `The load of the ${release} release`
      return [
        ...(one.down() === null ? [] : [`${what} was not started again: ${one.down() ?? ''}.`]),
        ...(one.unlisted === 0 ? [] : [`${what} was started ${one.unlisted} times more than are listed.`]),
      ]
    })
  }

  async #isUp(ready: Ready | null, port: number, connected: () => boolean, signal: AbortSignal): Promise<boolean> {
    if (ready !== null) return isReady(ready, signal)
    // A server that connects at the first request would be waited for in vain.
    return connected() || isReady({ kind: 'port', host: '127.0.0.1', port }, signal)
  }

  async #supervisor(role: ProgramRun['role'], command: string, port: number): Promise<Supervisor> {
    const { release, program, directory, shell, clock, proxy, graceMs, sessions } = this.#options
    const own = ['127.0.0.1', 'localhost', '[::1]'].map((host) => `${host}:${port}`)
    const guard = await writeGuard(join(directory, role), {
      proxy: role === 'serve' ? proxy.address : null,
      allow: [...own, ...program.allowHosts],
    })
    const given: ProgramEnvironment = { ...program, shell, address: proxy.address, port, guard }
    return new Supervisor({
      release,
      role,
      command,
      cwd: program.cwd,
      env: role === 'serve' ? serveEnvironment(given) : loadEnvironment(given),
      guard,
      clock,
      secrets: [proxy.address.password],
      runDirectory: directory,
      sessions: role === 'serve' ? sessions : () => 0,
      ...(graceMs === undefined ? {} : { graceMs }),
    })
  }

  #notReady(serve: Supervisor, reason: string): RehearsalError {
    const { release, program } = this.#options
    return new RehearsalError('PROGRAM_NOT_READY', { release, command: program.command, reason, ...this.#said(serve) })
  }

  #notConnected(serve: Supervisor, reason: string): RehearsalError {
    const { release, program } = this.#options
    const elsewhere = serve.runs().flatMap(({ refused }) => refused)[0]
    const names = [...new Set(['DATABASE_URL', 'PGHOST...', ...program.variables.map(({ name }) => name)])].join(', ')
    return new RehearsalError('PROGRAM_NOT_CONNECTED', {
      release,
      command: program.command,
      reason: elsewhere === undefined ? reason : `it wanted to connect to ${elsewhere}, which was not let through`,
      names,
      ...(elsewhere === undefined ? this.#said(serve) : {}),
    })
  }

  /** Who has met the database may have printed what is in it. */
  #said(serve: Supervisor): { said?: string } {
    const said = this.#options.sessions() > 0 ? undefined : tellingLine(serve.output())
    return said === undefined ? {} : { said: said.slice(0, 300) }
  }
}

const shown = (ready: Ready | null): string =>
  ready === null ? '' : ready.kind === 'url' ? ready.url : `${ready.host}:${ready.port}`
