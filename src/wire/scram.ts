/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it, both sides: the proxy is the client of the server and the
 * server of the migration tool. Channel binding is `tls-server-end-point` (RFC 5929).
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'

export const SCRAM = 'SCRAM-SHA-256'
export const SCRAM_PLUS = 'SCRAM-SHA-256-PLUS'

const KEY_BYTES = 32
/** More would keep us busy for minutes at the wish of whoever answers. */
const MOST_ITERATIONS = 10_000_000

const hmac = (key: Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest()
const sha256 = (data: Buffer): Buffer => createHash('sha256').update(data).digest()
const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((byte, i) => byte ^ (b[i] ?? 0)))
/** SASLprep is NFKC and a list of forbidden characters, which a server lets pass too. */
const salted = (password: string, salt: Buffer, iterations: number): Promise<Buffer> =>
  promisify(pbkdf2)(password.normalize('NFKC'), salt, iterations, KEY_BYTES, 'sha256')

const same = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b)

/** `r=...,s=...,i=...` by the letter. */
function attributes(message: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const part of message.split(',')) if (part[1] === '=') found.set(part.slice(0, 1), part.slice(2))
  return found
}

/** What the other side said was not SCRAM, or it does not know the password. The message holds no secret. */
export class ScramError extends Error {
  constructor(reason: string) {
    super(`SCRAM: ${reason}`)
    this.name = 'ScramError'
  }
}

/** The hash of the server's certificate where the channel is to be bound. */
export type Binding =
  | { kind: 'bound'; hash: Buffer }
  /** We could, but the server does not offer it; a server that does takes this for an attack. */
  | { kind: 'not-offered' }
  | { kind: 'none' }

/** The client's side of one authentication; call the three steps in order. */
export class ScramClient {
  readonly #password: string
  readonly #header: string
  readonly #binding: Buffer
  readonly #nonce = randomBytes(18).toString('base64')
  #serverSignature: Buffer | null = null

  constructor(password: string, binding: Binding) {
    this.#password = password
    this.#header = { bound: 'p=tls-server-end-point,,', 'not-offered': 'y,,', none: 'n,,' }[binding.kind]
    this.#binding = binding.kind === 'bound' ? binding.hash : Buffer.alloc(0)
  }

  /** PostgreSQL takes the user's name from the startup message. */
  get #firstBare(): string {
    return `n=,r=${this.#nonce}`
  }

  first(): Buffer {
    return Buffer.from(this.#header + this.#firstBare)
  }

  /** Throws ScramError when the server's part is no answer to ours. */
  async final(serverFirst: string): Promise<Buffer> {
    const said = attributes(serverFirst)
    const nonce = said.get('r') ?? ''
    const salt = Buffer.from(said.get('s') ?? '', 'base64')
    const iterations = Number(said.get('i'))
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length)
      throw new ScramError('the server changed the nonce')
    if (salt.length === 0 || !Number.isInteger(iterations) || iterations < 1 || iterations > MOST_ITERATIONS)
      throw new ScramError('the server sent no usable salt or number of iterations')
    const key = await salted(this.#password, salt, iterations)
    const clientKey = hmac(key, 'Client Key')
    const bound = Buffer.concat([Buffer.from(this.#header), this.#binding]).toString('base64')
    const withoutProof = `c=${bound},r=${nonce}`
    const authMessage = `${this.#firstBare},${serverFirst},${withoutProof}`
    const proof = xor(clientKey, hmac(sha256(clientKey), authMessage))
    this.#serverSignature = hmac(hmac(key, 'Server Key'), authMessage)
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`)
  }

  /** Throws ScramError when the server does not know the password either. */
  verify(serverFinal: string): void {
    const signature = Buffer.from(attributes(serverFinal).get('v') ?? '', 'base64')
    if (this.#serverSignature === null || !same(signature, this.#serverSignature))
      throw new ScramError('the server could not prove that it knows the password')
  }
}

/** What a server keeps of a password. */
export interface Verifier {
  salt: Buffer
  iterations: number
  storedKey: Buffer
  serverKey: Buffer
}

export async function makeVerifier(password: string, iterations = 4096): Promise<Verifier> {
  const salt = randomBytes(16)
  const key = await salted(password, salt, iterations)
  return { salt, iterations, storedKey: sha256(hmac(key, 'Client Key')), serverKey: hmac(key, 'Server Key') }
}

/** The server's side, without channel binding. */
export class ScramServer {
  readonly #verifier: Verifier
  #header = ''
  #nonce = ''
  #messages = ''

  constructor(verifier: Verifier) {
    this.#verifier = verifier
  }

  /** Throws ScramError when this is not the first step of a client. */
  first(clientFirst: string): Buffer {
    const [, header, bare] = /^([ny],,)(.*)$/s.exec(clientFirst) ?? []
    const theirs = attributes(bare ?? '').get('r')
    if (header === undefined || bare === undefined || theirs === undefined || theirs === '')
      throw new ScramError('the first step of the client is malformed')
    this.#header = header
    this.#nonce = theirs + randomBytes(18).toString('base64')
    const { salt, iterations } = this.#verifier
    const answer = `r=${this.#nonce},s=${salt.toString('base64')},i=${iterations}`
    this.#messages = `${bare},${answer}`
    return Buffer.from(answer)
  }

  /** The server's signature, or null when the client does not know the password. Throws ScramError. */
  final(clientFinal: string): Buffer | null {
    const [, withoutProof, proof] = /^(.*),p=([A-Za-z0-9+/=]+)$/s.exec(clientFinal) ?? []
    if (withoutProof === undefined || proof === undefined)
      throw new ScramError('the last step of the client is malformed')
    const said = attributes(withoutProof)
    if (said.get('c') !== Buffer.from(this.#header).toString('base64') || said.get('r') !== this.#nonce)
      throw new ScramError('the last step of the client does not continue the first')
    const authMessage = `${this.#messages},${withoutProof}`
    const { storedKey, serverKey } = this.#verifier
    const given = Buffer.from(proof, 'base64')
    if (given.length !== KEY_BYTES) return null
    if (!same(sha256(xor(given, hmac(storedKey, authMessage))), storedKey)) return null
    return Buffer.from(`v=${hmac(serverKey, authMessage).toString('base64')}`)
  }
}
