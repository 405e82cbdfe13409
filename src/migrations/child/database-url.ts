/** What looks like the address of a PostgreSQL database, how one is written for the tool, and how secrets are masked. */
import type { Address } from '../../pg/connect.js'

/**
 * `postgres://`, `postgresql://`, `postgresql+driver://`, `jdbc:postgresql:`, `db:pg:` (Sqitch), `prisma://`,
 * `prisma+postgres://`. The word must not be the end of a longer one.
 */
const SCHEME = String.raw`(?<![\w.-])(?:(?:prisma\+)?(?:postgres|postgresql|pgsql)(?:\+\w+)?|prisma|pgx\d?|(?:jdbc|db):(?:postgres|postgresql|pg|pgsql)):`
const URL_START = new RegExp(SCHEME + String.raw`(?://|(?<=(?:jdbc|db):\w+:)\S)`, 'i')
/** With the part between `//` and the path as the first group, and what follows it as the second. */
const URL_WITH_HOST = new RegExp(SCHEME + '//([^/?#\\s"\'`]*)([^\\s"\'`]*)', 'gi')
/** libpq's other form: `host=... dbname=...`. */
const KEYWORDS =
  /\b(?:host|hostaddr|service)\s*=\s*\S+.*\b(?:dbname|user|password|port)\s*=|\b(?:dbname|user|password|port)\s*=\s*\S+.*\b(?:host|hostaddr|service)\s*=/is

/** Whether a text is, or holds, the address of a PostgreSQL database in any form that a tool would understand. */
export const looksLikeDatabaseUrl = (text: string): boolean => URL_START.test(text) || KEYWORDS.test(text)

/** Host names in the PostgreSQL URLs of a text, as written; `?host=` wins over the authority as in libpq. */
export function hostsOf(text: string): string[] {
  const hosts: string[] = []
  for (const [, authority = '', rest = ''] of text.matchAll(URL_WITH_HOST)) {
    const parameter = /[?&]host(?:addr)?=([^&#]*)/i.exec(rest)?.[1]
    const list = parameter ?? authority.slice(authority.lastIndexOf('@') + 1)
    // libpq takes several hosts with their ports: `a:1,b:2`.
    for (const part of list.split(',')) hosts.push(/^\[[^\]]*\]/.exec(part)?.[0] ?? part.replace(/:\d*$/, ''))
  }
  return hosts
}

/** A name or an address that never leaves this machine. */
export const isLoopback = (host: string): boolean =>
  /^(?:localhost|127(?:\.\d{1,3}){3}|::1|\[::1\]|0\.0\.0\.0)$/i.test(host)

/** `postgresql://user:password@host:port/database?parameters`, every part encoded. */
export function databaseUrl(address: Address, parameters: Readonly<Record<string, string>> = {}): string {
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  const login = `${encodeURIComponent(address.user)}:${encodeURIComponent(address.password)}`
  const pairs = Object.entries(parameters).map(
    ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`,
  )
  const query = pairs.length === 0 ? '' : `?${pairs.join('&')}`
  return `postgresql://${login}@${host}:${address.port}/${encodeURIComponent(address.database)}${query}`
}

/** Replaces the given secrets, the password of every URL and every `password=...` of a text by `***`. */
export function maskSecrets(text: string, secrets: readonly string[] = []): string {
  let masked = text
  const forms = secrets.flatMap((secret) => [secret, encodeURIComponent(secret)]).filter((secret) => secret !== '')
  for (const secret of forms.sort((a, b) => b.length - a.length)) masked = masked.replaceAll(secret, '***')
  return masked
    .replace(/(\b[a-z][\w+.-]*:\/\/[^\s:@/?#"'`]*):[^\s"'`]*@/gi, '$1:***@')
    .replace(/((?:password|passwd|pgpassword)["']?\s*[=:]\s*)(?:'[^']*'|"[^"]*"|[^\s&,;'"]+)/gi, '$1***')
}
