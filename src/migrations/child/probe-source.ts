/**
 * The program that evaluates a configuration file in a process of its own. Kept as text for the same reason as the
 * guard: it must stand alone. Its first argument is a JSON object (`ProbeRequest`); the answer goes into a file.
 */

export interface ProbeRequest {
  /** Absolute path of the configuration. */
  file: string
  /** Absolute path of jiti. */
  jiti: string
  /** Absolute path of the file for the answer. */
  answer: string
}

/** `reads`: what each name that was asked for gave. */
export type ProbeAnswer =
  | { ok: true; value: unknown; reads: Record<string, string> }
  | { ok: false; message: string; line: number | null; reads: Record<string, string> }

export const PROBE_SOURCE = String.raw`'use strict'
const fs = require('fs')
const { basename } = require('path')
const { writeFileSync } = fs
const { argv, exit } = process
const request = JSON.parse(argv[2])
argv.splice(2)

// ── .env files are not there, as in the copy that the tool will run in ──────────────────────────────────────────────

const isHidden = (path) => {
  const name = basename(path instanceof URL ? path.pathname : String(path))
  return /^\.(?:env.*|dev\.vars.*)$/.test(name) && !/\.(?:example|sample|template)$/.test(name)
}
const missing = (path) =>
  Object.assign(new Error('ENOENT: no such file or directory, open ' + path), { code: 'ENOENT', errno: -2, path })
for (const name of ['readFileSync', 'openSync', 'accessSync', 'statSync', 'lstatSync']) {
  const original = fs[name]
  fs[name] = (path, ...rest) => {
    if (typeof path !== 'number' && isHidden(path)) {
      if (rest[0] && rest[0].throwIfNoEntry === false) return undefined
      throw missing(path)
    }
    return original(path, ...rest)
  }
}
const { existsSync } = fs
fs.existsSync = (path) => !isHidden(path) && existsSync(path)
for (const name of ['readFile', 'open', 'access', 'stat', 'lstat']) {
  const [original, promised] = [fs[name], fs.promises[name]]
  fs[name] = (path, ...rest) => {
    const callback = rest[rest.length - 1]
    if (typeof path === 'number' || !isHidden(path)) return original(path, ...rest)
    process.nextTick(callback, missing(path))
  }
  fs.promises[name] = (path, ...rest) => (isHidden(path) ? Promise.reject(missing(path)) : promised(path, ...rest))
}
process.loadEnvFile = () => {}

// ── Every variable is there, and says which one it is ───────────────────────────────────────────────────────────────

const real = Object.assign(Object.create(null), process.env)
const reads = Object.create(null)
let ports = 61000

function sentinel(name) {
  const token = 'rehearse-sentinel-' + name
  const host = name.toLowerCase().replace(/_/g, '-') + '.sentinel.invalid'
  if (/PORT$/i.test(name)) return String(ports++)
  if (/HOST(?:NAME)?$/i.test(name)) return host
  if (/(?:USER|USERNAME|PASS|PASSWORD|PASSWD|PWD|DB_?NAME|DATABASE_?NAME|PGDATABASE|POSTGRES_DB|(?:DB|POSTGRES)_DATABASE)$/i.test(name))
    return token
  return 'postgresql://' + token + ':' + token + '@' + host + ':5432/' + token
}

/** Switches of Node and of libraries, which nobody expects to be set. */
const SWITCH =
  /^(?:NODE_|JITI_|BABEL_|TS_NODE_|TSX_|ESBUILD_|NPM_CONFIG_|DOTENV_|REHEARSE_|WATCH_|UV_|YARN_|PNPM_|JEST_|VITEST|CI$|DEBUG|FORCE_COLOR|NO_COLOR|COLORTERM|TERM|TZ$|LANG|LC_|HOME$|PATH$|TMP|TEMP$|USER$|SHELL$|VERBOSE$|INIT_CWD$|PWD$|XDG_)/
const isVariable = (name) =>
  typeof name === 'string' &&
  /^(?:[A-Z][A-Z0-9_]*|[A-Za-z]\w*_\w*)$/.test(name) &&
  !SWITCH.test(name) &&
  !(name in real) &&
  !(name in Object.prototype)

const read = (name) => (reads[name] ??= sentinel(name))
const env = new Proxy(real, {
  get: (_, name) => (isVariable(name) ? read(name) : name in real ? real[name] : Object.prototype[name]),
  has: (_, name) => name in real || isVariable(name),
  getOwnPropertyDescriptor: (_, name) => {
    if (!isVariable(name)) return Reflect.getOwnPropertyDescriptor(real, name)
    // Asking whether it is there (dotenv, before it would set it) is not reading it.
    return { value: reads[name] ?? '', writable: true, enumerable: true, configurable: true }
  },
  getPrototypeOf: () => Object.prototype,
  // What a .env file or the file itself would set does not count: the tool will be given its own.
  set: (_, name, value) => {
    if (!isVariable(name)) real[name] = String(value)
    return true
  },
  defineProperty: (_, name, descriptor) => {
    if (!isVariable(name)) real[name] = String(descriptor.value)
    return true
  },
})

// ── The answer ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Plain data: no functions, no cycles, nothing without end. */
function plain(value, above) {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value === 'bigint') return String(value)
  if (typeof value !== 'object') return undefined
  if (above.includes(value) || above.length > 20) return null
  const inside = [...above, value]
  if (Array.isArray(value)) return value.slice(0, 10000).map((item) => plain(item, inside) ?? null)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (value instanceof URL) return value.href
  const copy = {}
  for (const key of Object.keys(value)) {
    let item
    try {
      item = plain(value[key], inside)
    } catch {
      continue
    }
    if (item !== undefined) Object.defineProperty(copy, key, { value: item, enumerable: true })
  }
  return copy
}

const answer = (content) => writeFileSync(request.answer, JSON.stringify({ ...content, reads: { ...reads } }))

function lineOf(error) {
  for (const text of [String(error && error.message), String(error && error.stack)]) {
    const at = text.indexOf(request.file + ':')
    const line = at === -1 ? NaN : parseInt(text.slice(at + request.file.length + 1), 10)
    if (line > 0) return line
  }
  return null
}

async function evaluate() {
  const { createJiti } = require(request.jiti)
  const options = { fsCache: false, interopDefault: true }
  let jiti
  try {
    jiti = createJiti(request.file, { ...options, tsconfigPaths: true })
  } catch {
    // A tsconfig.json that cannot be read is no reason not to try.
    jiti = createJiti(request.file, options)
  }
  Object.defineProperty(process, 'env', { get: () => env, set: () => {}, configurable: false })
  require('module').syncBuiltinESMExports()
  let value = await jiti.import(request.file, { default: true })
  if (typeof value === 'function') value = value()
  return plain(await value, [])
}

const failed = (error) => {
  const message = error instanceof Error ? error.message : String(error)
  answer({ ok: false, message, line: lineOf(error) })
  exit(0)
}
process.on('uncaughtException', failed)
process.on('unhandledRejection', failed)
evaluate().then((value) => {
  answer({ ok: true, value: value === undefined ? null : value })
  exit(0)
}, failed)
`
