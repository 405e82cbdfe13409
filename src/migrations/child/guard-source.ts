/**
 * The program that is loaded before anything else into every Node process and worker of the migration tool. It is kept
 * as text because it must be a CommonJS file that stands alone: it is written into the run's folder with what it may
 * permit in its first line, so that a process with an environment of its own cannot lose it.
 */

/** What a guard permits; written into it. */
export interface GuardSettings {
  /** The rehearsal database. `localhost` with its port is taken to be it too. */
  proxy: { host: string; port: number } | null
  /** What else may be connected to; `port` null is any port. */
  allow: readonly { host: string; port: number | null }[]
  /** Absolute path of the file that refusals are appended to, a JSON line each. */
  log: string
}

/** The whole text of a guard. */
export const guardSource = (settings: GuardSettings): string =>
  `'use strict'\nconst settings = ${JSON.stringify(settings)}\n${PROGRAM}`

const PROGRAM = String.raw`
const net = require('net')
const fs = require('fs')
const os = require('os')
const childProcess = require('child_process')
const workerThreads = require('worker_threads')
const loaded = Symbol.for('pg-rehearse guard ' + __filename)

// ── Connections ─────────────────────────────────────────────────────────────────────────────────────────────────────

const { openSync, writeSync, closeSync } = fs
const connect = net.Socket.prototype.connect

const plain = (host) => String(host).toLowerCase().replace(/^\[|\]$/g, '').replace(/\.$/, '')

/** The options of a call of connect(options), connect(port, host), connect(path), or connect([options, callback]). */
function optionsOf(args) {
  const first = args[0]
  if (Array.isArray(first)) return first[0]
  if (typeof first === 'object' && first !== null) return first
  if (typeof first === 'string' && !(Number(first) >= 0)) return { path: first }
  return typeof args[1] === 'string' ? { port: first, host: args[1] } : { port: first }
}

/** The same call with other options. */
function withOptions(args, options) {
  if (Array.isArray(args[0])) {
    args[0][0] = options
    return args
  }
  const callback = args.length > 1 ? args[args.length - 1] : undefined
  return typeof callback === 'function' ? [options, callback] : [options]
}

const isProxy = (host, port) =>
  settings.proxy !== null &&
  port === settings.proxy.port &&
  (host === plain(settings.proxy.host) || host === 'localhost')

const isAllowed = (host, port) =>
  settings.allow.some((entry) => plain(entry.host) === host && (entry.port === null || entry.port === port))

/** Pipes are what tsx, esbuild and the like talk through; only a server of PostgreSQL is out of bounds. */
const isServerSocket = (path) => /(?:^|[\\/])\.s\.PGSQL\.[^\\/]*$/.test(String(path))

function refuse(socket, shown, port) {
  // Whatever was given for a host by mistake, a login is not to be repeated.
  const host = shown.slice(shown.lastIndexOf('@') + 1, shown.lastIndexOf('@') + 256).replace(/[^\x20-\x7e]/g, '?')
  try {
    const file = openSync(settings.log, 'a')
    writeSync(file, JSON.stringify({ host, port }) + '\n')
    closeSync(file)
  } catch {
    // The refusal counts, not the note about it.
  }
  const where = port === null ? host : host + ':' + port
  const error = new Error(
    'rehearse: refused to connect to ' + where + ', only the rehearsal database may be reached',
  )
  Object.assign(error, { code: 'ECONNREFUSED', errno: -os.constants.errno.ECONNREFUSED, syscall: 'connect' })
  Object.assign(error, port === null ? { address: host } : { address: host, port })
  // Fails the way a name does that cannot be looked up: every caller is prepared for that, http2 too.
  return connect.call(socket, { host: 'refused.invalid', port: 1, lookup: (_, __, done) => process.nextTick(done, error) })
}

function guardedConnect(...args) {
  const options = optionsOf(args)
  if (typeof options !== 'object' || options === null) return connect.apply(this, args)
  if (options.path) {
    if (isServerSocket(options.path)) return refuse(this, String(options.path), null)
    return connect.apply(this, args)
  }
  const host = plain(options.host || 'localhost')
  const port = Number(options.port)
  if (isProxy(host, port)) {
    // Another server may listen on the same port of ::1, so the name is not looked up.
    const exact = Object.assign(Object.create(Object.getPrototypeOf(options)), options)
    exact.host = settings.proxy.host
    return connect.apply(this, withOptions(args, exact))
  }
  if (isAllowed(host, port)) return connect.apply(this, args)
  return refuse(this, host, Number.isInteger(port) ? port : null)
}

// ── Processes and workers ───────────────────────────────────────────────────────────────────────────────────────────

const flag = '--require "' + __filename.replace(/[\\"]/g, '\\$&') + '"'
const withFlag = (value) => {
  const given = value === undefined ? '' : String(value)
  return given.includes(flag) ? given : (flag + ' ' + given).trim()
}
const withGuard = (env) => ({ ...env, NODE_OPTIONS: withFlag(env.NODE_OPTIONS) })

const { ChildProcess } = childProcess
const spawn = ChildProcess.prototype.spawn
/** Every asynchronous way to start a process ends here, with the environment as NAME=value. */
function guardedSpawn(options) {
  if (typeof options !== 'object' || options === null || !Array.isArray(options.envPairs)) return spawn.call(this, options)
  const given = options.envPairs.find((pair) => String(pair).startsWith('NODE_OPTIONS='))
  const others = options.envPairs.filter((pair) => pair !== given)
  const value = withFlag(given === undefined ? undefined : String(given).slice('NODE_OPTIONS='.length))
  return spawn.call(this, { ...options, envPairs: [...others, 'NODE_OPTIONS=' + value] })
}

/** (file, [arguments], [options]) or (command, [options]): the options are the last, and may be missing. */
const guardedSync = (start) =>
  function (...args) {
    while (args.length > 1 && args[args.length - 1] === undefined) args.pop()
    const last = args.length > 1 ? args[args.length - 1] : undefined
    const options = typeof last === 'object' && last !== null && !Array.isArray(last) ? args.pop() : {}
    return start.call(this, ...args, { ...options, env: withGuard(options.env || process.env) })
  }

const { Worker } = workerThreads
class GuardedWorker extends Worker {
  constructor(file, options) {
    const given = { ...options }
    if (typeof given.env === 'object' && given.env !== null) given.env = withGuard(given.env)
    // Without either, a worker inherits what its parent was started with.
    if (Array.isArray(given.execArgv)) given.execArgv = ['--require', __filename, ...given.execArgv]
    super(file, given)
  }
}
Object.defineProperty(GuardedWorker, 'name', { value: 'Worker' })

if (!globalThis[loaded]) {
  Object.defineProperty(globalThis, loaded, { value: true })
  net.Socket.prototype.connect = guardedConnect
  ChildProcess.prototype.spawn = guardedSpawn
  for (const name of ['spawnSync', 'execSync', 'execFileSync']) childProcess[name] = guardedSync(childProcess[name])
  workerThreads.Worker = GuardedWorker
  // For import { connect } from 'node:net' and the like.
  require('module').syncBuiltinESMExports()
}
`

/**
 * A program called `node` that goes before the real one in PATH: a script that sets NODE_OPTIONS for itself
 * (`NODE_OPTIONS=... knex migrate:latest`) would otherwise run without the guard.
 */
export const shimSource = (directory: string, option: string): string => `#!/bin/sh
here=${quoted(directory)}
guard=${quoted(option)}
case "\${NODE_OPTIONS-}" in
  *"$guard"*) ;;
  *) NODE_OPTIONS="$guard\${NODE_OPTIONS:+ $NODE_OPTIONS}"; export NODE_OPTIONS ;;
esac
set -f
IFS=:
for folder in $PATH; do
  [ "$folder" = "$here" ] && continue
  [ -f "$folder/node" ] && [ -x "$folder/node" ] && exec "$folder/node" "$@"
done
echo "node: not found" >&2
exit 127
`

/** As one word for the shell. */
const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`
