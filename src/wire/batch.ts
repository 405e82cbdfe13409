/** A pipeline of the extended protocol that came as a whole: several commands before one Sync. */
import type { Catalogue } from './catalogue.js'
import { build, payloadOf, type Frame } from './frames.js'
import { cString, readBind, readParse } from './messages.js'
import { frameOf } from './split.js'

/**
 * The messages from the first one up to Sync, when two or more of them are Executes. null when they are fewer, or when
 * something else comes before the Sync; undefined while it may still come.
 */
export function batchOf(first: Frame, held: readonly Frame[]): Frame[] | null | undefined {
  const end = held.findIndex(({ type }) => !'PBDEC'.includes(type))
  if (end === -1) return undefined
  const frames = [first, ...held.slice(0, end + 1)]
  const isWhole = frames.at(-1)?.type === 'S'
  return isWhole && frames.filter(({ type }) => type === 'E').length >= 2 ? frames : null
}

/** Text of a Query or Parse, or of the statement that is bound or executed; null when it is not known. */
export function textOf(frame: Frame, catalogue: Catalogue): string | null {
  const payload = payloadOf(frame)
  if (frame.type === 'Q') return cString(payload).value
  if (frame.type === 'P') return readParse(payload).sql
  if (frame.type === 'B') return catalogue.statement(readBind(payload).statement) || null
  if (frame.type === 'E') return catalogue.portal(cString(payload).value).sql || null
  return null
}

/** The SQL of each Execute; '' where its statement was prepared in another way. */
export function textsOf(batch: readonly Frame[], catalogue: Catalogue): string[] {
  const statements = new Map<string, string>()
  const portals = new Map<string, string>()
  const texts: string[] = []
  for (const frame of batch) {
    const payload = payloadOf(frame)
    if (frame.type === 'P') {
      const { name, sql } = readParse(payload)
      statements.set(name, sql)
    } else if (frame.type === 'B') {
      const { portal, statement } = readBind(payload)
      portals.set(portal, statements.get(statement) ?? catalogue.statement(statement))
    } else if (frame.type === 'E') {
      const { value } = cString(payload)
      texts.push(portals.get(value) ?? catalogue.portal(value).sql)
    }
  }
  return texts
}

/** The messages of a pipeline, without its Sync, as one group for each Execute, each with a Sync of its own. */
export function groupsOf(batch: readonly Frame[], nowMs: number): Frame[][] {
  const groups: Frame[][] = []
  let group: Frame[] = []
  for (const frame of batch) {
    if (frame.type === 'S') continue
    group.push(frame)
    if (frame.type !== 'E') continue
    groups.push(group)
    group = []
  }
  // What comes after the last Execute, such as Close, belongs to it.
  groups.at(-1)?.push(...group)
  for (const each of groups) each.push(frameOf('S', build.sync(), nowMs))
  return groups
}
