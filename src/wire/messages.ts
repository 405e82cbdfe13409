/** Reading what messages carry, and building those that the proxy sends in the server's place. */
import { frame, int32, text } from './frames.js'
import type { ServerMessage } from './types.js'

/** The text up to the next zero byte and what follows it; the whole rest when there is no zero byte. */
export function cString(bytes: Buffer, from = 0): { value: string; next: number } {
  const end = bytes.indexOf(0, from)
  return end < 0
    ? { value: bytes.toString('utf8', from), next: bytes.length }
    : { value: bytes.toString('utf8', from, end), next: end + 1 }
}

/** Payload of an ErrorResponse or NoticeResponse; one that was cut off has a cut-off last field. */
export function readServerMessage(payload: Buffer, atMs: number): ServerMessage & { heldBack: boolean } {
  const fields = new Map<string, string>()
  for (let at = 0; at < payload.length && payload[at] !== 0;) {
    const code = String.fromCharCode(payload[at] ?? 0)
    const { value, next } = cString(payload, at + 1)
    fields.set(code, value)
    at = next
  }
  return {
    atMs,
    // Servers before 9.6 have no V; S is localised, but there it is all there is.
    severity: fields.get('V') ?? fields.get('S') ?? '',
    sqlstate: fields.get('C') ?? '',
    message: fields.get('M') ?? '',
    fields,
    heldBack: false,
  }
}

/** Whether the server ends the session with this message. */
export const isFatal = (message: ServerMessage): boolean => message.severity === 'FATAL' || message.severity === 'PANIC'

/** An ErrorResponse of a server, thrown. Its message and fields may hold data. */
export class ServerError extends Error {
  readonly severity: string
  /** SQLSTATE. */
  readonly code: string
  readonly detail: string | undefined
  readonly schema_name: string | undefined
  readonly table_name: string | undefined
  readonly column_name: string | undefined
  readonly constraint_name: string | undefined
  readonly fields: ReadonlyMap<string, string>

  constructor(message: ServerMessage) {
    super(message.message)
    this.name = 'ServerError'
    this.severity = message.severity
    this.code = message.sqlstate
    this.fields = message.fields
    this.detail = message.fields.get('D')
    this.schema_name = message.fields.get('s')
    this.table_name = message.fields.get('t')
    this.column_name = message.fields.get('c')
    this.constraint_name = message.fields.get('n')
  }
}

/** An ErrorResponse of the proxy's own that ends the connection, with the fields that every server sends. */
export const fatal = (sqlstate: string, message: string): Buffer =>
  frame('E', text('SFATAL'), text('VFATAL'), text(`C${sqlstate}`), text(`M${message}`), text(''))

export const readyForQuery = (status: string): Buffer => frame('Z', Buffer.from(status, 'latin1'))

export const backendKeyData = (pid: number, key: Buffer): Buffer => frame('K', int32(pid), key)

/** Payload of a Parse. */
export function readParse(payload: Buffer): { name: string; sql: string } {
  const name = cString(payload)
  return { name: name.value, sql: cString(payload, name.next).value }
}

/** Payload of a Bind without its values. */
export function readBind(payload: Buffer): { portal: string; statement: string; next: number } {
  const portal = cString(payload)
  const statement = cString(payload, portal.next)
  return { portal: portal.value, statement: statement.value, next: statement.next }
}

/** The values of a Bind in text form; null for NULL, for binary ones, and for what was cut off. */
export function readParameters(payload: Buffer, from: number): (string | null)[] {
  let at = from
  const take = (bytes: 2 | 4): number => {
    if (at + bytes > payload.length) {
      at = payload.length + 1
      return 0
    }
    const value = bytes === 2 ? payload.readInt16BE(at) : payload.readInt32BE(at)
    at += bytes
    return value
  }
  const formats = Array.from({ length: Math.max(0, take(2)) }, () => take(2))
  const count = take(2) & 0xffff
  const values: (string | null)[] = []
  for (let i = 0; i < count; i++) {
    const length = take(4)
    // One format code holds for all, none means text.
    const format = formats.length > 1 ? formats[i] : (formats[0] ?? 0)
    const whole = length >= 0 && at + length <= payload.length
    values.push(whole && format === 0 ? payload.toString('utf8', at, at + length) : null)
    at += Math.max(0, length)
  }
  return values
}

/** Payload of a Describe or Close. */
export const readTarget = (payload: Buffer): { kind: string; name: string } => ({
  kind: String.fromCharCode(payload[0] ?? 0),
  name: cString(payload, 1).value,
})

/** Payload of a ParameterStatus. */
export function readParameterStatus(payload: Buffer): { name: string; value: string } {
  const name = cString(payload)
  return { name: name.value, value: cString(payload, name.next).value }
}

/** Name and type OID of each column of a RowDescription. */
export function readRowDescription(payload: Buffer): { name: string; type: number }[] {
  const columns: { name: string; type: number }[] = []
  let at = 2
  for (let left = payload.readInt16BE(0); left > 0; left--) {
    const { value, next } = cString(payload, at)
    columns.push({ name: value, type: payload.readUInt32BE(next + 6) })
    at = next + 18
  }
  return columns
}

/** The values of a DataRow in text form. */
export function readDataRow(payload: Buffer): (string | null)[] {
  const values: (string | null)[] = []
  let at = 2
  for (let left = payload.readInt16BE(0); left > 0; left--) {
    const length = payload.readInt32BE(at)
    at += 4
    values.push(length < 0 ? null : payload.toString('utf8', at, at + length))
    at += Math.max(0, length)
  }
  return values
}
