/** The compatibility matrix in words. Pure; shared by all outputs. */
import type { CompatCell, Outcome, QuietPass, Release } from '../recording.js'

export interface CompatRow {
  release: Release
  operation: string
  /** One cell a state, in the order of the states; null where nothing was probed. */
  cells: (CompatCell | null)[]
}

/** Rows of the matrix: the operations of the old release, then those of the new. */
export const compatRows = (quiet: QuietPass): CompatRow[] =>
  (['old', 'new'] as const).flatMap((release) =>
    [...new Set(quiet.compat.filter((cell) => cell.release === release).map((cell) => cell.operation))].map(
      (operation) => ({
        release,
        operation,
        cells: quiet.states.map(
          (state) =>
            quiet.compat.find(
              (cell) => cell.release === release && cell.operation === operation && cell.state === state.id,
            ) ?? null,
        ),
      }),
    ),
  )

export const sqlstateOf = (outcome: Outcome): string | null => (outcome.ok ? null : outcome.error.sqlstate)

const because = (outcome: Outcome): string => (outcome.ok ? '' : `${outcome.error.sqlstate} ${outcome.error.message}`)

const MOST_NAMES = 12

/** `a`, `a and b`, `a, b and 4 more`. */
const together = (names: readonly string[]): string => {
  const shown = names.slice(0, MOST_NAMES)
  const last = names.length > MOST_NAMES ? `${names.length - MOST_NAMES} more` : shown.pop()
  return [...(shown.length > 0 ? [shown.join(', ')] : []), last ?? ''].join(' and ')
}

/**
 * What the matrix means for the order of a deploy. `bad`: the old release breaks. Operations of which the same is to be
 * said share a sentence.
 */
export const compatSentences = (quiet: QuietPass): { text: string; bad: boolean }[] => {
  const said = new Map<string, { operations: string[]; words: (names: string, one: boolean) => string; bad: boolean }>()
  const say = (operation: string, words: (names: string, one: boolean) => string, bad: boolean): void => {
    const key = words('', true)
    const known = said.get(key)
    if (known) known.operations.push(operation)
    else said.set(key, { operations: [operation], words, bad })
  }
  const newBefore: string[] = []
  for (const { release, operation, cells } of compatRows(quiet)) {
    const at = (kinds: readonly string[]) =>
      quiet.states.flatMap((state, i) => {
        const cell = cells[i] ?? null
        return kinds.includes(state.kind) && cell !== null ? [{ state, cell }] : []
      })
    const before = at(['before'])[0]?.cell
    const onTheWay = at(['during', 'after'])
    if (release === 'old') {
      if (before !== undefined && !before.fresh.ok) {
        const why = because(before.fresh)
        say(
          operation,
          (names, one) => `old ${names} already ${one ? 'fails' : 'fail'} before the migration: ${why}.`,
          false,
        )
        continue
      }
      const broken = onTheWay.find(({ cell }) => !cell.fresh.ok)
      const stale = onTheWay.find(({ cell }) => cell.fresh.ok && cell.prepared?.ok === false)
      if (broken !== undefined) {
        const where = `in the state “${broken.state.label}”: ${because(broken.cell.fresh)}`
        say(operation, (names, one) => `old ${names} ${one ? 'breaks' : 'break'} ${where}.`, true)
      }
      if (stale?.cell.prepared?.ok === false) {
        const where = `in the state “${stale.state.label}”: ${because(stale.cell.prepared)}`
        say(
          operation,
          (names, one) =>
            `old ${names}, if ${one ? 'it is' : 'they are'} already prepared, ${one ? 'fails' : 'fail'} ${where}.`,
          false,
        )
      }
      const back = at(['rolled-back']).find(({ cell }) => !cell.fresh.ok)
      if (back !== undefined) {
        const why = because(back.cell.fresh)
        say(operation, (names, one) => `old ${names} ${one ? 'fails' : 'fail'} after the rollback: ${why}.`, true)
      }
    } else {
      const after = at(['after'])[0]?.cell
      if (after !== undefined && !after.fresh.ok) {
        const why = because(after.fresh)
        say(operation, (names, one) => `new ${names} ${one ? 'fails' : 'fail'} after the migration: ${why}.`, true)
      } else if (before !== undefined && !before.fresh.ok) newBefore.push(operation)
    }
  }
  const out = [...said.values()].map(({ operations, words, bad }) => ({
    text: words(together(operations), operations.length === 1),
    bad,
  }))
  if (newBefore.length > 0)
    out.push({
      text: `Migrate first, then deploy: before the migration the new release fails in ${together(newBefore)}.`,
      bad: false,
    })
  return out
}
