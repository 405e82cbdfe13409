import type { Finding, Severity, ToolNote } from '../../recording.js'
import type { Facts } from '../facts.js'
import { isCalled, toolName } from '../tool-words.js'
import { count, finding } from '../words.js'

type Kind = ToolNote['kind']

/** What the tool passes over in silence, from its files and its journal. */
export function toolNotes(facts: Facts): Finding[] {
  const notes = facts.recording.tool?.notes ?? []
  const name = toolName(facts.recording.tool)
  const of = (kind: Kind): ToolNote[] => notes.filter((note) => note.kind === kind)
  return [
    ...together(facts, of('skipped'), 'tool-skipped', 'fail', {
      one: (file) => `${name} passes over ${file} without a word`,
      many: (files) => `${name} passes over ${files} without a word`,
      more: 'It reports success all the same, and the new release meets a schema that lacks what never ran.',
    }),
    ...impossible(facts, of('impossible')),
    ...together(facts, of('unlisted'), 'tool-unlisted', 'warn', {
      one: (file) => `${name} never runs ${file}: it is none of its migrations`,
      many: (files) => `${name} never runs ${files} in its folder: they are none of its migrations`,
      more: null,
    }),
    ...together(facts, of('order'), 'tool-order', 'warn', {
      one: (file) => `The order in which ${name} runs ${file} is not checked`,
      many: (files) => `The order in which ${name} runs ${files} is not checked`,
      more: null,
    }),
    ...[...of('blocked'), ...of('other')].map((note) =>
      finding('tool-note', 'info', withFile(note), { at: place(facts, note), advice: advice(note) }),
    ),
  ]
}

/** Whether a note already says that the tool passes this migration over. */
export const isSkipped = (facts: Facts, name: string): boolean =>
  (facts.recording.tool?.notes ?? []).some((note) => {
    if (note.kind !== 'skipped' || note.file === null) return false
    const file = facts.recording.migrations.find((m) => m.file === note.file)
    return isCalled(file ?? { file: note.file, name: null }, name)
  })

const advice = (note: ToolNote): Finding['advice'] => (note.advice === null ? null : { text: note.advice, sql: null })

/** The statement of a note, or the file alone where no statement of the migration stands there. */
function place(facts: Facts, note: ToolNote): Finding['at'] {
  if (note.file === null) return null
  const file = facts.recording.migrations.find((m) => m.file === note.file)
  const line = note.line ?? 1
  const statement = file?.statements.findLast((s) => s.line <= line) ?? file?.statements[0]
  return { file: note.file, line: note.line ?? statement?.line ?? 1, statement: statement?.id ?? note.file }
}

/** The message as a sentence that stands alone: many begin with what the file does. */
function withFile(note: ToolNote): string {
  if (note.file === null || note.message.includes(note.file)) return note.message
  return `${note.file}: ${note.message}`
}

/** Messages of more notes than these are left to the section of the tool. */
const MOST_MESSAGES = 12

/** Notes of one kind are one finding: a folder can hold dozens of files of the same fate. */
function together(
  facts: Facts,
  notes: readonly ToolNote[],
  rule: string,
  severity: Severity,
  words: { one: (file: string) => string; many: (files: string) => string; more: string | null },
): Finding[] {
  const [first] = notes
  if (!first) return []
  const messages = [...new Set(notes.map(withFile))]
  return [
    finding(
      rule,
      severity,
      notes.length === 1 ? words.one(first.file ?? 'a migration') : words.many(count(notes.length, 'file')),
      {
        evidence: [
          ...messages.slice(0, MOST_MESSAGES),
          ...(messages.length > MOST_MESSAGES ? [`And ${messages.length - MOST_MESSAGES} more like these.`] : []),
          ...(words.more === null ? [] : [words.more]),
        ],
        at: place(facts, first),
        advice: advice(notes.find((note) => note.advice !== null) ?? first),
      },
    ),
  ]
}

/**
 * What cannot succeed in this tool. What was measured counts for more: a statement that failed there is told as the
 * failure, one that ran is proof against the note, and so is, for a file that is none of the pending ones, a run that ended well.
 */
function impossible(facts: Facts, notes: readonly ToolNote[]): Finding[] {
  const name = toolName(facts.recording.tool)
  return notes.flatMap((note) => {
    if (facts.quiet && (told(facts, note) || ran(facts, note))) return []
    const pending =
      note.file === null || facts.recording.migrations.some((m) => m.file === note.file) || !wentWell(facts)
    return [
      finding(
        'tool-impossible',
        pending ? 'fail' : 'info',
        pending
          ? `${name} cannot run ${note.file ?? 'this migration'}`
          : `${name} could not run ${note.file ?? ''}, which is not pending here`,
        { evidence: [withFile(note)], at: place(facts, note), advice: advice(note) },
      ),
    ]
  })
}

const wentWell = ({ quiet }: Facts): boolean =>
  quiet !== null && quiet.migration.outcome.ok && (quiet.migration.tool?.exitCode ?? 0) === 0

/** The failure at this very place is a finding of its own. */
const told = (facts: Facts, note: ToolNote): boolean =>
  [facts.quiet, facts.timed].some((pass) => {
    if (!pass || pass.migration.outcome.ok) return false
    const at = facts.at(pass.migration.failedStatement)
    return at !== null && noteOf(note, at.file, at.line, pass.migration.outcome.error.sqlstate)
  })

/** Whether a note speaks of the failure at this place. The line of a program's statement need not be exact. */
export const noteOf = (note: ToolNote, file: string, line: number, sqlstate: string): boolean =>
  note.file === file && (note.line === null || note.line === line || sqlstate === '25001')

function ran(facts: Facts, note: ToolNote): boolean {
  const statements = (facts.recording.migrations.find((m) => m.file === note.file)?.statements ?? []).filter(
    (s) => note.line === null || s.line === note.line,
  )
  return statements.length > 0 && statements.every((s) => facts.quietRun(s.id)?.outcome.ok === true)
}
