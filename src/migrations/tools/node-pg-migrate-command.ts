/** Calls of node-pg-migrate in a command line, and their options as its command line parser (yargs) reads them. Pure. */

/** One call in a line for the shell. */
export interface ToolCall {
  /** Words after the program, quotes taken off. */
  words: string[]
  /** Names of variables that are set for it, as in `NAME=value node-pg-migrate`. */
  assigned: string[]
  /** Folder of a `cd` before it, or null. */
  folder: string | null
  /** Whether a word needs the shell: a variable, a command in it. */
  needsShell: boolean
}

interface Word {
  text: string
  /** Holds a `$` or a backquote that the shell would replace. */
  expands: boolean
}

/** Simple commands of a line: separated by `;`, `&`, `|`, line ends and parentheses outside of quotes. */
function commandsOf(line: string): Word[][] {
  const commands: Word[][] = [[]]
  const state: { word: Word | null } = { word: null }
  let quote = ''
  const add = (text: string): void => {
    state.word ??= { text: '', expands: false }
    state.word.text += text
    if (quote !== "'" && (text === '$' || text === '`')) state.word.expands = true
  }
  const end = (): void => {
    if (state.word !== null) commands.at(-1)?.push(state.word)
    state.word = null
  }
  for (let at = 0; at < line.length; at++) {
    const c = line[at] ?? ''
    if (quote !== "'" && c === '\\' && at + 1 < line.length) add(line[++at] ?? '')
    else if (quote !== '' && c === quote) quote = ''
    else if (quote === '' && (c === "'" || c === '"')) {
      quote = c
      add('')
    } else if (quote === '' && /\s/.test(c) && c !== '\n') end()
    else if (quote === '' && /[;&|()\n]/.test(c)) {
      end()
      commands.push([])
    } else add(c)
  }
  end()
  return commands.filter((command) => command.length > 0)
}

const isProgram = ({ text }: Word): boolean => /(?:^|[/\\])node-pg-migrate(?:\.js)?$/.test(text)

/** The calls in a line: by name, through npx or node, after variables or a wrapper such as dotenv. */
export function callsIn(line: string): ToolCall[] {
  const calls: ToolCall[] = []
  let folder: string | null = null
  for (const words of commandsOf(line)) {
    if (words[0]?.text === 'cd') folder = words[1]?.text ?? null
    const program = words.findIndex(isProgram)
    if (program === -1) continue
    const after = words.slice(program + 1)
    const assigned = words.slice(0, program).flatMap(({ text }) => /^([A-Za-z_]\w*)=/.exec(text)?.[1] ?? [])
    calls.push({
      words: after.map(({ text }) => text),
      assigned,
      folder,
      needsShell: after.some((word) => word.expands),
    })
  }
  return calls
}

/** Name of the script that a line runs through a package manager, and the words that are passed on to it. */
export function scriptIn(
  line: string,
  scripts: Readonly<Record<string, string>>,
): { name: string; extra: string[] } | null {
  for (const words of commandsOf(line)) {
    const texts = words.map(({ text }) => text)
    const manager = texts.findIndex((text) => /^(?:npm|pnpm|yarn|bun)$/.test(text))
    if (manager === -1) continue
    const name = texts.slice(manager + 1).find((text) => Object.hasOwn(scripts, text))
    if (name === undefined) continue
    return { name, extra: texts.slice(texts.indexOf(name, manager) + 1).filter((text) => text !== '--') }
  }
  return null
}

const KINDS = {
  'database-url-var': 'text',
  'migrations-dir': 'text',
  'use-glob': 'flag',
  'migrations-table': 'text',
  schema: 'list',
  'create-schema': 'flag',
  'migrations-schema': 'text',
  'create-migrations-schema': 'flag',
  'check-order': 'flag',
  verbose: 'flag',
  'ignore-pattern': 'text',
  decamelize: 'flag',
  'config-value': 'text',
  'config-file': 'text',
  'dry-run': 'flag',
  fake: 'flag',
  'single-transaction': 'flag',
  lock: 'flag',
  'reject-unauthorized': 'flag',
  timestamp: 'flag',
  'migration-file-language': 'text',
  'migration-filename-format': 'text',
  'template-file-name': 'text',
  envpath: 'text',
  'lock-value': 'text',
  'advisory-lock-mode': 'text',
  'tsconfig-paths': 'text',
} as const satisfies Record<string, 'text' | 'flag' | 'list'>
const ALIASES: Readonly<Record<string, string>> = {
  ...{ d: 'database-url-var', m: 'migrations-dir', t: 'migrations-table', s: 'schema', f: 'config-file' },
  ...{ j: 'migration-file-language', envPath: 'envpath', 'env-path': 'envpath' },
}

export interface ParsedCall {
  action: string | null
  /** Words after the action that belong to no option: a count, or the name of a migration. */
  positional: string[]
  /** By the options' long names. */
  options: Readonly<Record<string, string | boolean | readonly string[]>>
  /** The words of the options as they were given. */
  optionWords: string[]
}

/** Reads `--name value`, `--name=value`, `--no-name`, `-n value`, camelCase names; a list takes words up to the next option. */
export function parseCall(words: readonly string[]): ParsedCall {
  const options: Record<string, string | boolean | string[]> = {}
  const [free, optionWords]: [string[], string[]] = [[], []]
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    const [, dashes, given = '', , inline] = /^(--?)([A-Za-z][\w-]*)(=(.*))?$/s.exec(word) ?? []
    if (dashes === undefined) {
      free.push(word)
      continue
    }
    optionWords.push(word)
    const kebab = given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    const long = ALIASES[given] ?? kebab
    const name = long.startsWith('no-') ? long.slice('no-'.length) : long
    const kind = (KINDS as Readonly<Record<string, string>>)[name] ?? 'text'
    const isValue = (index: number): boolean => index < words.length && !/^-\D/.test(words[index] ?? '')
    const next = (): string | null => {
      if (inline !== undefined) return inline
      if (!isValue(at + 1)) return null
      const value = words[++at] ?? ''
      optionWords.push(value)
      return value
    }
    if (long !== name) options[name] = false
    else if (kind === 'flag') {
      const follows = inline ?? words[at + 1]
      options[name] = follows === 'true' || follows === 'false' ? next() === 'true' : true
    } else if (kind === 'text') options[name] = next() ?? ''
    else {
      const values = [...((options[name] as string[] | undefined) ?? [])]
      for (let value = next(); value !== null; value = inline === undefined && isValue(at + 1) ? next() : null)
        values.push(value)
      options[name] = values
    }
  }
  const [action = null, ...positional] = free
  return { action, positional, options, optionWords }
}
