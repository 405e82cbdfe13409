/** Conversations between a tool and the server: written by hand, or held with a real server through the proxy. */
import { startClock } from '../../../src/clock.js'
import type { MigrationSource } from '../../../src/migrations/tools/types.js'
import { build, openRaw, payloadOf, type Frame, type RawConnection } from '../../../src/wire/client.js'
import { isOurs, MARKERS } from '../../../src/wire/markers.js'
import { readDataRow } from '../../../src/wire/messages.js'
import { openProxy, type Proxy, type ProxyOptions, type Upstream } from '../../../src/wire/proxy.js'
import type { Exchange, ServerMessage, TransactionStatus, WireCommand, WireSession } from '../../../src/wire/types.js'

/** One command of a message written by hand. Of several statements one tag each; fewer when it failed or was cut off. */
export interface Said {
  sql: string
  tags: string[]
  /** SQLSTATE. */
  error?: string
  parameters?: (string | null)[]
  pieceOf?: string
}

export interface Ending {
  after?: TransactionStatus | null
  /** SQLSTATE of a failure that belongs to no command. */
  error?: string
}

const error = (sqlstate: string, atMs: number): ServerMessage => ({
  atMs,
  severity: 'ERROR',
  sqlstate,
  message: `it was ${sqlstate}`,
  fields: new Map([
    ['V', 'ERROR'],
    ['C', sqlstate],
    ['M', `it was ${sqlstate}`],
  ]),
  heldBack: false,
})

const mark = (atMs: number): ServerMessage => ({
  ...error('00000', atMs),
  severity: 'LOG',
  message: 'PARSE ANALYSIS STATISTICS',
  fields: new Map(),
  heldBack: true,
})

/** Writes a session: everything happens one millisecond after what was before it. */
export class Talk {
  readonly session: WireSession
  readonly #clock: { ms: number; exchanges: number }
  #status: TransactionStatus = 'I'

  constructor(ordinal: number, clock: { ms: number; exchanges: number }) {
    this.#clock = clock
    this.session = {
      ordinal,
      pid: 1000 + ordinal,
      applicationName: '',
      startedMs: clock.ms,
      endedMs: null,
      trouble: null,
      exchanges: [],
      notices: [],
    }
  }

  /** One simple Query. */
  says(sql: string, tags: string[], ending: Ending & { fails?: string; marked?: boolean } = {}): Exchange {
    const { fails, marked = false, ...rest } = ending
    return this.#add([{ sql, tags, ...(fails === undefined ? {} : { error: fails }) }], 'simple', rest, marked)
  }

  /** Several Executes before one Sync. */
  pipes(commands: readonly Said[], ending: Ending = {}): Exchange {
    return this.#add(commands, 'extended', ending, false)
  }

  /** A message that the harness sent piece by piece. */
  pieces(commands: readonly Said[], ending: Ending = {}): Exchange {
    return this.#add(commands, 'simple', ending, false)
  }

  ends(): void {
    this.session.endedMs = ++this.#clock.ms
  }

  #add(said: readonly Said[], protocol: WireCommand['protocol'], ending: Ending, marked: boolean): Exchange {
    const after = ending.after === undefined ? this.#status : ending.after
    const sentMs = ++this.#clock.ms
    const notices: ServerMessage[] = []
    const commands = said.map(({ sql, tags, error: fails, parameters, pieceOf }): WireCommand => {
      const completed = tags.map((tag) => {
        if (marked) notices.push(mark(++this.#clock.ms))
        return { tag, atMs: ++this.#clock.ms }
      })
      return {
        protocol,
        sql,
        sentMs,
        firstByteMs: sentMs,
        completed,
        error: fails === undefined ? null : error(fails, ++this.#clock.ms),
        parameters: parameters ?? null,
        copiedInBytes: 0,
        copiedOutBytes: 0,
        pieceOf: pieceOf ?? null,
      }
    })
    const exchange: Exchange = {
      session: this.session,
      ordinal: this.#clock.exchanges++,
      sentMs,
      firstByteMs: sentMs,
      readyMs: after === null ? null : ++this.#clock.ms,
      before: this.#status,
      after,
      sql: commands.at(-1)?.sql ?? null,
      commands,
      notices,
      error: ending.error === undefined ? null : error(ending.error, this.#clock.ms),
    }
    this.session.exchanges.push(exchange)
    this.#status = after ?? 'I'
    if (after === null) this.ends()
    return exchange
  }
}

/** Sessions on one clock. */
export function conversation(sessions = 1): Talk[] {
  const clock = { ms: 0, exchanges: 0 }
  return Array.from({ length: sessions }, (_, index) => new Talk(index + 1, clock))
}

/** A migration of a tool as its adapter reads it. */
export const source = (name: string, text: string, kind: 'sql' | 'code' = 'sql'): MigrationSource => ({
  name,
  path: `/project/migrations/${name}`,
  shown: `migrations/${name}`,
  kind,
  sql: kind === 'sql' ? text : '',
  text,
  sha256: '',
})

/** A proxy whose sessions tell their statements apart, as those of a rehearsal do. */
export async function throughProxy(
  upstream: Upstream,
  body: (proxy: Proxy) => Promise<void>,
  options: Partial<ProxyOptions> = {},
): Promise<readonly WireSession[]> {
  const proxy = await openProxy({
    upstream,
    clock: startClock(),
    holdBack: isOurs,
    settings: MARKERS.role,
    ...options,
  })
  try {
    await body(proxy)
    // A session has ended when the proxy has seen it end.
    while (proxy.pids().length > 0) await new Promise((resolve) => setTimeout(resolve, 2))
    return proxy.sessions
  } finally {
    await proxy.close()
  }
}

/** A simple Query, or (a list) an extended pipeline with one Sync. */
export type Message = string | readonly string[]

const bytesOf = (message: Message): Buffer =>
  typeof message === 'string'
    ? build.query(message)
    : Buffer.concat([
        ...message.flatMap((sql) => [build.parse(sql), build.bind(), build.describe('P'), build.execute()]),
        build.sync(),
      ])

/** Sends messages one after the other and returns the rows that came back, as text; stops where the connection ends. */
export async function talk(raw: RawConnection, messages: readonly Message[]): Promise<(string | null)[][]> {
  const rows: (string | null)[][] = []
  for (const message of messages) {
    raw.send(bytesOf(message))
    for (;;) {
      const frame: Frame | null = await raw.next().catch(() => null)
      if (frame === null) return rows
      if (frame.type === 'D') rows.push([...readDataRow(payloadOf(frame))])
      if (frame.type === 'Z') break
    }
  }
  return rows
}

export { openRaw }
