/** Checks what a seed.ts exports by default. */
import { z } from 'zod'
import { RehearsalError } from '../errors.js'
import type { Seed } from './define.js'

const shape = z.object({
  tables: z
    .record(
      z.string().min(1),
      z.object({
        rows: z.union([z.number().int().nonnegative(), z.function()], 'rows: a whole number or a function is wanted'),
        columns: z.array(z.string().min(1)).min(1),
        row: z.function(),
      }),
    )
    .refine((tables) => Object.keys(tables).length > 0, 'no table'),
})

const invalid = (file: string, message: string, cause?: unknown): RehearsalError =>
  new RehearsalError('SCENARIO_INVALID', { file, message }, cause)

/** Checks the shape of what a seed file exports. `file` is its name in the message. Throws SCENARIO_INVALID. */
export function checkSeed(exported: unknown, file: string): Seed {
  const checked = shape.safeParse(exported)
  if (checked.success) return exported as Seed
  const issue = checked.error.issues[0]
  const where = issue && issue.path.length > 0 ? `${issue.path.join('.')}: ` : ''
  throw invalid(file, `the default export is not a seed (see defineSeed): ${where}${issue?.message ?? ''}`)
}
