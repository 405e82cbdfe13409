/** A server with a pg_hba.conf of its own: for the ways of authentication that a branch does not have. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { locate, prepare } from '../../src/branches/binaries.js'
import { cleanUp } from '../../src/branches/clean-up.js'
import { collationFor, initialise } from '../../src/branches/cluster.js'
import type { Address } from '../../src/branches/index.js'
import { createOwned, createRunDirectory, giveTo } from '../../src/branches/run-directory.js'
import { startServer } from '../../src/branches/server.js'
import { configurationFile } from '../../src/branches/settings.js'
import { findDatabaseUser } from '../../src/branches/user.js'

export interface Cluster {
  /** Of the superuser. */
  admin: Address
  /** The certificate in PEM; null without TLS. */
  certificate: string | null
  stop(): Promise<void>
}

/** Arguments of `openssl req -x509` for the key and the signature. */
export type KeyKind = readonly string[]

/** A key and the certificate that it signed for itself, in PEM. */
export function makeCertificate(kind: KeyKind): { key: string; certificate: string } {
  const subject = ['-subj', '/CN=rehearsal.test', '-addext', 'subjectAltName=DNS:rehearsal.test', '-days', '2']
  const folder = mkdtempSync(join(tmpdir(), 'rehearse-key-'))
  try {
    const file = join(folder, 'key.pem')
    const args = ['req', '-x509', '-nodes', ...kind, ...subject, '-keyout', file]
    const certificate = execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' })
    return { key: readFileSync(file, 'utf8'), certificate }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

export async function startCluster(options: {
  hba: string
  key?: KeyKind
  settings?: Record<string, string>
}): Promise<Cluster> {
  const user = await findDatabaseUser()
  const directory = await createRunDirectory(user)
  try {
    const binaries = await prepare(await locate(18), user, directory)
    const place = { directory, binaries, user, signal: undefined }
    const password = 'pässword ﬁne' // NFKC changes it
    const data = await initialise(place, 'postgres', password, collationFor(18))
    const put = async (name: string, text: string, mode: number): Promise<string> => {
      const file = join(directory, name)
      writeFileSync(file, text)
      chmodSync(file, mode)
      await giveTo(file, user)
      return file
    }
    const tls: Record<string, string> = {}
    let certificate: string | null = null
    if (options.key) {
      const made = makeCertificate(options.key)
      certificate = made.certificate
      const keyFile = await put('key.pem', made.key, 0o600)
      const certificateFile = await put('certificate.pem', made.certificate, 0o644)
      Object.assign(tls, { ssl: 'on', ssl_key_file: keyFile, ssl_cert_file: certificateFile })
    }
    await createOwned(join(directory, 's'), user)
    const hba = await put('hba.conf', options.hba, 0o644)
    const settings = { hba_file: hba, fsync: 'off', lc_messages: 'C', ...tls, ...options.settings }
    const configuration = await put('test.conf', configurationFile(settings), 0o644)
    const files = { dataDirectory: data, configuration, log: join(directory, 'test.log') }
    const server = await startServer(binaries, files, join(directory, 's'), user)
    return {
      admin: { host: '127.0.0.1', port: server.port, database: 'postgres', user: 'postgres', password },
      certificate,
      async stop() {
        await server.stop('immediate')
        await cleanUp(directory)
      },
    }
  } catch (error) {
    await cleanUp(directory)
    throw error
  }
}
