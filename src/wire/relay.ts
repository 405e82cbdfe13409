/** A session as it is usually run: bytes go through as they come, and are looked at behind the sender's back. */
import type net from 'node:net'
import type { RawConnection } from './client.js'
import { MalformedFrame } from './frames.js'
import { Link } from './link.js'
import { NoticeFilter } from './notice-filter.js'
import { Recorder } from './recorder.js'
import { nameOf, type LiveSession } from './session.js'

/** `greeting` is sent to the client first; `fromClient` are bytes of it that were read already. */
export function relay(
  client: net.Socket,
  raw: RawConnection,
  session: LiveSession,
  greeting: Buffer,
  fromClient: Buffer,
): Link {
  const { clock } = session.context
  const fromServer = raw.detach()
  const server = raw.socket
  const link = new Link(client, server, session)
  const filter = new NoticeFilter((notice) => session.isOurs(notice))
  const recorder = new Recorder(session, () => filter.take())
  // After something malformed nothing more is looked at; what arrives meanwhile goes nowhere.
  let isBroken = false
  const carefully = (side: string, step: () => void): void => {
    if (isBroken) return
    try {
      step()
    } catch (error) {
      isBroken = true
      const reason = error instanceof MalformedFrame ? error.message : `unreadable message (${nameOf(error)})`
      link.fail(`${reason} from the ${side}`)
    }
  }
  const onClient = (chunk: Buffer): void =>
    carefully('client', () => {
      const nowMs = clock.nowMs()
      link.toServer(chunk)
      recorder.client(chunk, nowMs)
    })
  const onServer = (chunk: Buffer): void =>
    carefully('server', () => {
      const nowMs = clock.nowMs()
      const out = filter.push(chunk, nowMs)
      const [first] = out
      if (first) link.toClient(out.length === 1 ? first : Buffer.concat(out))
      recorder.server(chunk, nowMs)
    })
  link.toClient(greeting)
  client.on('data', onClient)
  server.on('data', onServer)
  if (fromServer.length > 0) onServer(fromServer)
  if (fromClient.length > 0) onClient(fromClient)
  client.resume()
  server.resume()
  return link
}
