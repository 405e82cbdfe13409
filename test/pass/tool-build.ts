/** A migration tool inside the test's own process: it sends exactly the messages that it is told to. */
import type { ToolExit, ToolInput } from '../../src/pass/context.js'
import type { Ledger, MigrationSource } from '../../src/migrations/tools/types.js'
import { openRaw } from '../../src/wire/client.js'
import { source, talk, type Message } from '../migrations/wire-trace/build.js'

export interface Scripted {
  /** Of one session, one after the other. */
  messages: readonly Message[]
  /** `1.sql`, `2.sql`... */
  texts?: readonly string[]
  ledger?: Ledger | null
  exit?: Partial<ToolExit>
}

export const sourcesOf = (texts: readonly string[]): MigrationSource[] =>
  texts.map((text, index) => ({ ...source(`${index + 1}.sql`, text), shown: `${index + 1}.sql` }))

/** What a pass starts in place of a program. */
export function scripted({ messages, texts = [], ledger = null, exit = {} }: Scripted): ToolInput {
  return {
    setup: {
      tool: 'command',
      title: 'Command',
      version: null,
      configFile: null,
      folder: '/project/migrations',
      files: sourcesOf(texts),
      ledger,
      launch: { kind: 'shell', line: 'make migrate' },
      variables: [],
      urlParameters: {},
      notes: [],
      assumptions: [],
      cut: () => Promise.resolve(),
    },
    command: 'make migrate',
    connectWithinMs: 10_000,
    async start({ address }) {
      const raw = await openRaw(address)
      await talk(raw, messages)
      await raw.end().catch(() => undefined)
      return { exitCode: 0, signal: null, output: '', blocked: [], ...exit }
    },
  }
}
