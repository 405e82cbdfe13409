/** The hash of a certificate that binds an authentication to its TLS channel: `tls-server-end-point`, RFC 5929. */
import { createHash } from 'node:crypto'

/**
 * Content of the OBJECT IDENTIFIER in hex -> hash function of that signature algorithm. MD5 and SHA-1 are replaced by
 * SHA-256 (RFC 5929, 4.1). Node 20 does not tell a certificate's signature algorithm.
 */
const HASH_OF_SIGNATURE: Readonly<Record<string, string>> = {
  '2a864886f70d010104': 'sha256', // md5WithRSAEncryption
  '2a864886f70d010105': 'sha256', // sha1WithRSAEncryption
  '2a864886f70d01010e': 'sha224',
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a8648ce3d0401': 'sha256', // ecdsa-with-SHA1
  '2a8648ce3d040301': 'sha224',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
}
/** RSASSA-PSS names its hash function in its parameters. */
const RSA_PSS = '2a864886f70d01010a'
const HASHES: Readonly<Record<string, string>> = {
  '2b0e03021a': 'sha256', // SHA-1
  '608648016503040204': 'sha224',
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
}
const [SEQUENCE, OBJECT_IDENTIFIER, CONTEXT_0] = [0x30, 0x06, 0xa0]

interface Element {
  tag: number
  content: Buffer
  /** What follows it. */
  rest: Buffer
}

/** The first element of some DER. Throws RangeError when there is none. */
function element(der: Buffer): Element {
  const tag = der.readUInt8(0)
  let length = der.readUInt8(1)
  let start = 2
  if (length > 0x80) {
    const bytes = length & 0x7f
    length = der.readUIntBE(2, bytes)
    start += bytes
  }
  if (start + length > der.length) throw new RangeError('truncated DER')
  return { tag, content: der.subarray(start, start + length), rest: der.subarray(start + length) }
}

function hashName(certificate: Buffer): string | null {
  const outer = element(certificate)
  // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }
  const algorithm = element(element(outer.content).rest)
  const identifier = element(algorithm.content)
  if (outer.tag !== SEQUENCE || algorithm.tag !== SEQUENCE || identifier.tag !== OBJECT_IDENTIFIER) return null
  const name = identifier.content.toString('hex')
  if (name !== RSA_PSS) return HASH_OF_SIGNATURE[name] ?? null
  const parameters = element(identifier.rest)
  if (parameters.content.length === 0) return 'sha256'
  const first = element(parameters.content)
  // [0] hashAlgorithm; SHA-1 where it is left out.
  if (first.tag !== CONTEXT_0) return 'sha256'
  return HASHES[element(element(first.content).content).content.toString('hex')] ?? null
}

/**
 * The hash of a certificate (DER), or null where none is defined: Ed25519 names no hash function, and neither libpq nor
 * the server binds a channel then.
 */
export function endPointHash(certificate: Buffer): Buffer | null {
  try {
    const name = hashName(certificate)
    return name === null ? null : createHash(name).update(certificate).digest()
  } catch (error) {
    if (error instanceof RangeError) return null
    throw error
  }
}
