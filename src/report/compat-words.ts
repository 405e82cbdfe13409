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

/** What the matrix means for the order of a deploy, one sentence each. `bad`: the old release breaks. */
export const compatSentences = (quiet: QuietPass): { text: string; bad: boolean }[] => {
  const out: { text: string; bad: boolean }[] = []
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
        out.push({ text: `old ${operation} already fails before the migration: ${because(before.fresh)}.`, bad: false })
        continue
      }
      const broken = onTheWay.find(({ cell }) => !cell.fresh.ok)
      const stale = onTheWay.find(({ cell }) => cell.fresh.ok && cell.prepared?.ok === false)
      if (broken !== undefined)
        out.push({
          text: `old ${operation} breaks in the state “${broken.state.label}”: ${because(broken.cell.fresh)}.`,
          bad: true,
        })
      if (stale?.cell.prepared?.ok === false)
        out.push({
          text: `old ${operation}, if it is already prepared, fails in the state “${stale.state.label}”: ${because(stale.cell.prepared)}.`,
          bad: false,
        })
      const back = at(['rolled-back']).find(({ cell }) => !cell.fresh.ok)
      if (back !== undefined)
        out.push({ text: `old ${operation} fails after the rollback: ${because(back.cell.fresh)}.`, bad: true })
    } else {
      const after = at(['after'])[0]?.cell
      if (after !== undefined && !after.fresh.ok)
        out.push({ text: `new ${operation} fails after the migration: ${because(after.fresh)}.`, bad: true })
      else if (before !== undefined && !before.fresh.ok) newBefore.push(operation)
    }
  }
  if (newBefore.length > 0)
    out.push({
      text: `Migrate first, then deploy: before the migration the new release fails in ${newBefore.join(', ')}.`,
      bad: false,
    })
  return out
}
