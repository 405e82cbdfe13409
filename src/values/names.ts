/** What a column's name tells about its values: `first_name` gets first names, `email` addresses, `quantity` small numbers. */
import { hash32, type Random } from './random.js'
import type { PoolName, Pools } from './faker-pools.js'
import { DAY_MS, EPOCH_MS } from './make-time.js'

/** Words of a name, in lower case: `createdAt`, `created_at` and `CreatedAt` are the same two. */
export const tokensOf = (name: string): string[] =>
  name
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((token) => token !== '')

type Words = (random: Random, pools: Pools) => string

const from =
  (name: PoolName): Words =>
  (random, pools) =>
    random.pick(pools[name])

const plain = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]+/g, '')

const email: Words = (random, pools) =>
  `${plain(random.pick(pools.firstName))}.${plain(random.pick(pools.lastName))}@example.${random.pick(['com', 'org', 'net'])}`
const slug: Words = (random, pools) =>
  random
    .pick(pools.productName)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
const digits = (count: number) => (random: Random) => String(random.int(0, 10 ** count - 1)).padStart(count, '0')
const hexadecimal = (count: number) => (random: Random) => {
  let text = ''
  while (text.length < count) text += random.int(0, 0xffffff).toString(16).padStart(6, '0')
  return text.slice(0, count)
}

const uuidText: Words = (random) => {
  const text = hexadecimal(32)(random)
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-4${text.slice(13, 16)}-8${text.slice(17, 20)}-${text.slice(20)}`
}

/**
 * Rules for texts; the first of which one alternative has all its words in the name is taken. Whole words are compared,
 * because `name` is also in `filename` and `username`.
 */
const TEXTS: readonly [string, Words][] = [
  ['email|mail', email],
  ['uuid|guid', uuidText],
  ['id|cuid|ulid', hexadecimal(24)],
  ['first name|given name|firstname|forename', from('firstName')],
  ['last name|family name|lastname|surname', from('lastName')],
  ['full name|display name|fullname|contact name|author', (r, p) => `${r.pick(p.firstName)} ${r.pick(p.lastName)}`],
  ['user name|username|login|handle|nickname', (r, p) => plain(r.pick(p.firstName)) + String(r.int(1, 99))],
  ['company|organization|organisation|employer|vendor|supplier|merchant', from('company')],
  ['phone|mobile|tel|telephone|fax', from('phone')],
  ['street|address', from('street')],
  ['city|town', from('city')],
  ['zip|postcode|postal|zipcode', from('postcode')],
  ['country', from('country')],
  ['timezone|time zone|tz', from('timeZone')],
  ['currency', (r) => r.pick(['EUR', 'USD', 'GBP', 'JPY', 'CHF'])],
  ['locale|language|lang', (r) => r.pick(['en', 'de', 'fr', 'es', 'nl'])],
  ['url|uri|link|website|homepage|webhook|href', (r, p) => `https://www.example.com/${slug(r, p)}`],
  ['avatar|image|photo|picture|icon|logo', (r) => `https://cdn.example.com/${hexadecimal(12)(r)}.png`],
  ['slug|permalink', slug],
  ['file name|filename|file', (r, p) => `${slug(r, p)}.${r.pick(['pdf', 'png', 'csv', 'txt'])}`],
  ['mime|content type', (r) => r.pick(['text/plain', 'image/png', 'application/pdf', 'application/json'])],
  ['path', (r, p) => `/${slug(r, p)}`],
  ['domain|host|hostname|subdomain', (r, p) => `${slug(r, p)}.example.com`],
  ['ip', from('ipv4')],
  ['agent|browser', from('userAgent')],
  ['password|hash|digest|checksum|fingerprint', hexadecimal(40)],
  ['token|secret|key|nonce|signature|session', hexadecimal(24)],
  ['color|colour', (r) => `#${hexadecimal(6)(r)}`],
  ['sku|code|reference|ref|number|barcode|ean|isbn|serial', digits(8)],
  ['description|body|content|bio|about|summary|notes|text|html|markdown', from('paragraph')],
  ['comment|message|note|reason|subject|headline|caption|excerpt|question|answer', from('sentence')],
  ['job|position|role title', from('jobTitle')],
  ['title', from('productName')],
  ['status|state', (r) => r.pick(['active', 'pending', 'done', 'archived'])],
  ['type|kind|category|level|role|group|mode', (r) => r.pick(['basic', 'standard', 'premium', 'internal'])],
  ['brand|product|item', from('productName')],
  ['gender|sex', (r) => r.pick(['female', 'male', 'other'])],
  ['version', (r) => `${r.int(0, 9)}.${r.int(0, 20)}.${r.int(0, 20)}`],
  ['tag|label', (r) => r.pick(['new', 'sale', 'urgent', 'beta', 'internal', 'public'])],
  ['date|time|at|on', (r) => new Date(EPOCH_MS - r.int(1, 730) * DAY_MS).toISOString()],
  ['name', from('productName')],
]

const PERSONS = new Set(
  'user users person persons people customer customers contact contacts employee employees author authors member members patient patients student students'.split(
    ' ',
  ),
)

/** Realistic text for a column; null where its name says nothing. Short columns get what fits them. */
export function wordsFor(
  column: string,
  table: string,
  limit: number,
  pools: Pools,
): ((random: Random) => string) | null {
  const tokens = tokensOf(column)
  const known = TEXTS.find(([names]) =>
    names
      .split('|')
      .some((alternative) =>
        alternative.split(' ').every((word) => tokens.includes(word) || tokens.includes(`${word}s`)),
      ),
  )
  if (!known) return limit >= 80 && Number.isFinite(limit) ? (random) => random.pick(pools.sentence) : null
  let words = known[1]
  if (known[0] === 'name' && tokensOf(table).some((token) => PERSONS.has(token)))
    words = (r, p) => `${r.pick(p.firstName)} ${r.pick(p.lastName)}`
  return (random) => words(random, pools)
}

const NUMBERS: readonly [string, readonly [number, number]][] = [
  ['year', [1990, 2025]],
  ['month', [1, 12]],
  ['day', [1, 28]],
  ['hour', [0, 23]],
  ['minute|second', [0, 59]],
  ['age', [18, 90]],
  ['quantity|qty|count|attempts|retries|stock', [1, 50]],
  ['percent|percentage|progress|pct', [0, 100]],
  ['rate|ratio|probability|discount|tax', [0, 1]],
  ['rating|stars|priority|level|severity|weight', [1, 5]],
  ['latitude|lat', [-89, 89]],
  ['longitude|lng|lon', [-179, 179]],
  ['position|sort|rank|index|order|ordinal|sequence', [1, 1000]],
  ['version|revision', [1, 20]],
  ['cents|bytes|size', [1, 100_000]],
  ['length', [1, 300]],
  ['price|amount|total|cost|fee|balance|subtotal|salary', [1, 1000]],
  ['width|height', [1, 2000]],
  ['port', [1024, 65_535]],
  ['ms|duration|seconds|latency', [1, 5000]],
]

/** Usual whole numbers for a column's name; null where it says nothing. */
export function usualFor(column: string): readonly [number, number] | null {
  const tokens = tokensOf(column)
  return NUMBERS.find(([names]) => names.split('|').some((name) => tokens.includes(name)))?.[1] ?? null
}

/** How often a column that may be NULL is: 5 to 10 of 100, by its name; most of the times of what is seldom done. */
export function nullShare(table: string, column: string): number {
  return 0.05 + (hash32(`${table}.${column}`) % 1000) / 20_000
}
