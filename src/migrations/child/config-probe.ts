/**
 * Evaluates the configuration file of a migration tool without any database in reach, and tells which environment
 * variables it builds the address from: each is given a value that says its name.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import os from 'node:os'
import { extname, join, relative, resolve } from 'node:path'
import { sleep } from '../../clock.js'
import { RehearsalError } from '../../errors.js'
import { hostsOf, isLoopback, looksLikeDatabaseUrl, maskSecrets } from './database-url.js'
import { writeGuard } from './guard.js'
import { PROBE_SOURCE, type ProbeAnswer, type ProbeRequest } from './probe-source.js'
import { startGroup } from './process-group.js'

/** A configuration as it comes out when every environment variable is set. */
export interface EvaluatedConfig {
  /** Plain data: functions are left out, what repeats itself without end is null. */
  value: unknown
  /**
   * Environment variables that were read, once for every place in the value whose text (or number) holds it. `path` is
   * written with dots (`dbCredentials.url`); null when it came out nowhere. `whole`: the place holds nothing else.
   */
  reads: { name: string; path: string | null; whole: boolean }[]
  /**
   * Addresses that are written out: URLs of PostgreSQL whose host comes from no variable, and names of hosts other than
   * this machine at a path that ends in `host`. `value` is a secret. `line` is where it stands in the file, or null.
   */
  literals: { path: string; value: string; line: number | null }[]
}

const LIMIT_MS = 20_000

/**
 * Evaluates a TypeScript, JavaScript or JSON file in a process of its own, in `cwd`. Throws FILE_UNREADABLE, and
 * SCENARIO_INVALID with the file, its line and the reason when the file cannot be evaluated within `limitMs`.
 */
export async function evaluateConfig(file: string, cwd: string, limitMs: number = LIMIT_MS): Promise<EvaluatedConfig> {
  const path = resolve(cwd, file)
  const shown = relative(cwd, path)
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    const message = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason'
    throw new RehearsalError('FILE_UNREADABLE', { file: shown, message }, error)
  })
  const answer = extname(path) === '.json' ? parseJson(text) : await probe(path, cwd, limitMs)
  if (answer.ok) return interpret(answer.value, answer.reads, text)
  const [first = ''] = named(answer.message, answer.reads).trim().split('\n')
  throw new RehearsalError('SCENARIO_INVALID', {
    file: shown,
    ...(answer.line === null ? {} : { line: answer.line }),
    message: `the configuration cannot be evaluated: ${maskSecrets(first.trim() || 'unknown reason')}${adviceFor(first)}`,
  })
}

/** A package is missing, not a file of the project's own. */
const adviceFor = (message: string): string =>
  /Cannot find (?:module|package) ['"][^./'"]/.test(message) ? " (install the project's dependencies first)" : ''

function parseJson(text: string): ProbeAnswer {
  try {
    return { ok: true, value: JSON.parse(text.replace(/^\uFEFF/, '')), reads: {} }
  } catch {
    // The parser's message quotes the text.
    return { ok: false, message: 'it is not valid JSON', line: null, reads: {} }
  }
}

async function probe(file: string, cwd: string, limitMs: number): Promise<ProbeAnswer> {
  const directory = await mkdtemp(join(os.tmpdir(), 'rehearse-config-'))
  try {
    const guard = await writeGuard(directory, { proxy: null })
    const program = join(directory, 'probe.cjs')
    await writeFile(program, PROBE_SOURCE)
    const request: ProbeRequest = {
      file,
      jiti: createRequire(import.meta.url).resolve('jiti'),
      answer: join(directory, 'answer.json'),
    }
    const env: Record<string, string> = { NODE_OPTIONS: guard.nodeOption }
    for (const name of ['HOME', 'USER', 'LANG', 'TMPDIR', 'TZ', 'NODE_ENV']) {
      const value = process.env[name]
      if (value !== undefined) env[name] = value
    }
    env['PATH'] = `${guard.bin}:${process.env['PATH'] ?? '/usr/bin:/bin'}`
    const argv = [process.execPath, program, JSON.stringify(request)]
    const group = await startGroup({ argv, cwd, env, stdio: 'ignore', runDirectory: null })
    const exited = new Promise<number | null>((done) => group.child.once('exit', done))
    const late = new AbortController()
    const outcome = await Promise.race([exited, sleep(limitMs, late.signal).then(() => 'late' as const)])
    late.abort()
    if (outcome === 'late') group.signal('SIGKILL')
    await group.reap()
    if (outcome === 'late') return nothing(`it did not end within ${limitMs / 1000} s`)
    return await readFile(request.answer, 'utf8').then(
      (text) => JSON.parse(text) as ProbeAnswer,
      () => nothing(`it ended the process (exit code ${outcome ?? 'unknown'})`),
    )
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

const nothing = (message: string): ProbeAnswer => ({ ok: false, message, line: null, reads: {} })

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)

/** Finds what a variable gave, or a part of it: a piece of a URL, encoded or in lower case. */
function finder(name: string, given: string): RegExp {
  if (/^\d+$/.test(given)) return new RegExp(String.raw`(?<!\d)${given}(?!\d)`)
  const host = `${name.toLowerCase().replaceAll('_', '-')}.sentinel.invalid`
  return new RegExp(String.raw`rehearse-sentinel-${escaped(name)}(?!\w)|(?<![\w-])${escaped(host)}`, 'i')
}

/** A text with what variables gave replaced by their names. */
function named(text: string, reads: Readonly<Record<string, string>>): string {
  let result = text
  // Longer first: the value of A may be the beginning of that of A_B.
  for (const [name, given] of Object.entries(reads).sort(([a], [b]) => b.length - a.length))
    result = result.replaceAll(given, `<${name}>`).replace(new RegExp(finder(name, given), 'gi'), `<${name}>`)
  return result
}

function interpret(value: unknown, given: Readonly<Record<string, string>>, text: string): EvaluatedConfig {
  const finders = Object.entries(given).map(([name, one]) => ({ name, given: one, finder: finder(name, one) }))
  const reads: EvaluatedConfig['reads'] = []
  const literals: EvaluatedConfig['literals'] = []
  for (const { path, leaf } of leaves(value, '')) {
    for (const one of finders)
      if (one.finder.test(leaf)) reads.push({ name: one.name, path, whole: leaf === one.given })
    const fromVariable = (host: string): boolean => finders.some((one) => one.finder.test(host))
    if (isLiteral(path, leaf, fromVariable)) literals.push({ path, value: leaf, line: lineOf(leaf, text) })
  }
  for (const { name } of finders)
    if (!reads.some((read) => read.name === name)) reads.push({ name, path: null, whole: false })
  return { value, reads, literals }
}

function isLiteral(path: string, leaf: string, fromVariable: (host: string) => boolean): boolean {
  if (looksLikeDatabaseUrl(leaf)) {
    const hosts = hostsOf(leaf)
    return hosts.length === 0 ? !fromVariable(leaf) : hosts.some((host) => !fromVariable(host))
  }
  return /(?:^|\.)host$/i.test(path) && leaf !== '' && !isLoopback(leaf) && !fromVariable(leaf)
}

/** Strings and numbers of a value with their paths. */
function* leaves(value: unknown, path: string): Generator<{ path: string; leaf: string }> {
  if (typeof value === 'string' || typeof value === 'number') yield { path, leaf: String(value) }
  else if (typeof value === 'object' && value !== null)
    for (const [key, item] of Object.entries(value)) yield* leaves(item, path === '' ? key : `${path}.${key}`)
}

/** 1-based line of a text that holds the literal, or the host in it. */
function lineOf(literal: string, text: string): number | null {
  for (const part of [literal, ...hostsOf(literal).filter((host) => host !== '')]) {
    const at = text.indexOf(part)
    if (at !== -1) return text.slice(0, at).split('\n').length
  }
  return null
}
