/**
 * Addresses of databases that are written out where a migration tool would take them from. Looked for before anything
 * starts: neither the environment nor the proxy has a say in them.
 */
import { readFile, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { z } from 'zod'
import { hostsOf, isLoopback } from './database-url.js'
import type { ProgramLaunch } from './run-child.js'

/** Where an address stands; what it says is a secret. */
export interface LiteralUrl {
  /** As given to the search; `the command` for the command line. */
  file: string
  line: number
}

/** A program of a megabyte is a bundle, and not where people write addresses. */
const LARGEST_BYTES = 1024 * 1024
/** Words of documentation that stand for a host, and the names reserved for it (RFC 2606, RFC 6761). */
const PLACEHOLDER =
  /^(?:|host|hostname|your[-_]?host|my[-_]?host|server|\.\.\.|.*[<>${}%*].*|(?:.*\.)?example(?:\.(?:com|net|org))?|.*\.(?:test|invalid|example|localhost))$/i
const COMMENT = /^\s*(?:\/\/|\/\*|\*|#|--|;|<!--)/

/** Whether a text holds the URL of a PostgreSQL database on another machine. */
export const hasLiteralUrl = (text: string): boolean =>
  hostsOf(text).some((host) => !isLoopback(host) && !PLACEHOLDER.test(host))

/** Looks through files line by line; comments, placeholders and this machine do not count. Missing files hold nothing. */
export async function findLiteralUrls(files: readonly string[]): Promise<LiteralUrl[]> {
  const found: LiteralUrl[] = []
  for (const file of new Set(files)) {
    const about = await stat(file).catch(() => null)
    if (about?.isFile() !== true || about.size > LARGEST_BYTES) continue
    const text = await readFile(file, 'utf8').catch(() => '')
    for (const [index, line] of text.split('\n').entries())
      if (!COMMENT.test(line) && hasLiteralUrl(line)) found.push({ file, line: index + 1 })
  }
  return found
}

/**
 * The same for how a tool is started: the command line itself, the scripts of package.json that it runs, and the files
 * that either names. Files are given by their absolute path.
 */
export async function findLiteralUrlsInLaunch(launch: ProgramLaunch, project: string): Promise<LiteralUrl[]> {
  const manifest = join(project, 'package.json')
  const { scripts, lineOf } = await readScripts(manifest)
  const found: LiteralUrl[] = []
  const files = new Set<string>()
  const seen = new Set<string>()
  const look = async (line: string, place: LiteralUrl): Promise<void> => {
    if (hasLiteralUrl(line)) found.push(place)
    const words = wordsOf(line)
    for (const [index, word] of words.entries()) {
      const path = resolve(project, word)
      if (/[./]/.test(word) && (await stat(path).catch(() => null))?.isFile() === true) files.add(path)
      const script = scripts[word]
      if (script === undefined || seen.has(word) || !runsScripts(words.slice(0, index))) continue
      seen.add(word)
      for (const name of [`pre${word}`, word, `post${word}`]) {
        const text = scripts[name]
        if (text !== undefined) await look(text, { file: manifest, line: lineOf(name) })
      }
    }
  }
  const program = launch.kind === 'shell' ? wordsOf(launch.line)[0] : launch.argv[0]
  for (const name of RECIPES[basename(program ?? '')] ?? []) files.add(join(project, name))
  const line = launch.kind === 'shell' ? launch.line : launch.argv.map((word) => JSON.stringify(word)).join(' ')
  await look(line, { file: 'the command', line: 1 })
  // package.json was looked at script by script.
  files.delete(manifest)
  return [...found, ...(await findLiteralUrls([...files]))]
}

/** Programs that read what they do from a file of a usual name. Files that are not there hold nothing. */
const RECIPES: Readonly<Record<string, readonly string[]>> = {
  make: ['GNUmakefile', 'makefile', 'Makefile'],
  just: ['justfile', 'Justfile', '.justfile'],
  task: ['Taskfile.yml', 'Taskfile.yaml', 'Taskfile.dist.yml'],
}

/** Words of a shell line, quotes removed; good enough to recognise names of files and scripts. */
const wordsOf = (line: string): string[] =>
  [...line.matchAll(/"((?:\\.|[^"\\])*)"|'([^']*)'|[^\s"';&|()]+/g)].map((match) => match[1] ?? match[2] ?? match[0])

const runsScripts = (before: readonly string[]): boolean =>
  before.some((word) =>
    /(?:^|\/)(?:npm|pnpm|yarn|bun|npm-run-all2?|run-s|turbo)(?:\.cjs|\.js)?$|^npm-run-all$/.test(word),
  )

const Manifest = z.object({ scripts: z.record(z.string(), z.string()).default({}) })

async function readScripts(
  manifest: string,
): Promise<{ scripts: Partial<Record<string, string>>; lineOf: (name: string) => number }> {
  const text = await readFile(manifest, 'utf8').catch(() => '')
  try {
    const { scripts } = Manifest.parse(JSON.parse(text))
    const lineOf = (name: string): number => {
      const at = text.indexOf(`${JSON.stringify(name)}:`)
      return at === -1 ? 1 : text.slice(0, at).split('\n').length
    }
    return { scripts, lineOf }
  } catch {
    return { scripts: {}, lineOf: () => 1 }
  }
}
