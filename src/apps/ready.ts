/** When a program can be given work: a URL that answers, or a port that takes connections. */
import net from 'node:net'
import { sleep } from '../clock.js'
import { RehearsalError } from '../errors.js'

const EVERY_MS = 100
/** An answer that takes longer is asked for again. */
const ANSWER_MS = 5_000

export type Ready = { kind: 'url'; url: string } | { kind: 'port'; host: string; port: number }

/** `http://...`, `3000`, `:3000` or `localhost:3000`, where `$PORT` stands for the port. Throws USAGE. */
export function readReady(text: string, port: number, field: string): Ready {
  const filled = withPort(text, port).trim()
  if (/^https?:\/\//i.test(filled) && URL.canParse(filled)) return { kind: 'url', url: filled }
  const [, host, number] = /^(?:([\w.-]*):)?(\d{1,5})$/.exec(filled) ?? []
  if (number !== undefined && Number(number) > 0 && Number(number) <= 65_535)
    return { kind: 'port', host: host || '127.0.0.1', port: Number(number) }
  throw new RehearsalError('USAGE', {
    message: `${field}: "${text}" is neither a URL (http://127.0.0.1:$PORT/) nor a port ($PORT)`,
  })
}

export const withPort = (text: string, port: number): string => text.replace(/\$\{PORT\}|\$PORT\b/g, String(port))

/** A port of 127.0.0.1 that nobody listens on. Throws NO_PORT. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', (error) => reject(new RehearsalError('NO_PORT', { message: error.message }, error)))
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

/** Resolves with true as soon as `check` says so, with false when the signal is aborted first. */
export async function until(check: () => boolean | Promise<boolean>, signal: AbortSignal): Promise<boolean> {
  while (!signal.aborted) {
    if (await check()) return true
    await sleep(EVERY_MS, signal)
  }
  return false
}

/**
 * A signal that follows another and is aborted after `ms` besides. (In Node 20, what AbortSignal.any makes of a timeout
 * may be collected before it fires.)
 */
export function deadline(signal: AbortSignal, ms: number): { signal: AbortSignal; clear: () => void } {
  const controller = new AbortController()
  const abort = (): void => controller.abort()
  const timer = setTimeout(abort, ms)
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  const clear = (): void => {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
  return { signal: controller.signal, clear }
}

/** Asks once. Any answer below 500 will do: a page that wants a login is there. */
export const isReady = (ready: Ready, signal: AbortSignal): Promise<boolean> =>
  ready.kind === 'url' ? answers(ready.url, signal) : accepts(ready.host, ready.port)

async function answers(url: string, signal: AbortSignal): Promise<boolean> {
  const limits = deadline(signal, ANSWER_MS)
  try {
    const response = await fetch(url, { signal: limits.signal, redirect: 'manual' })
    await response.body?.cancel()
    return response.status < 500
  } catch {
    return false
  } finally {
    limits.clear()
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port, timeout: ANSWER_MS })
    const end = (is: boolean): void => {
      socket.destroy()
      resolve(is)
    }
    socket
      .once('connect', () => end(true))
      .once('timeout', () => end(false))
      .once('error', () => end(false))
  })
}
